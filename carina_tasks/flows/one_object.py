"""Does an error concern one object, or everything?

An error about one object ends the work on that object only.

Denied by a policy or by RBAC, invalid, too large, in conflict, held by a webhook that fails: the
API server answered about this object. It is away when it answers nothing else either, and that
is asked, because a webhook that hangs looks the same.
"""

from __future__ import annotations

from carina_tasks.errors import (
    ApiUnauthorized,
    ApiUnavailable,
    BrokerUnavailable,
    CarinaTasksError,
    Refused,
)
from carina_tasks.flows.context import Context


def check(ctx: Context, exc: CarinaTasksError) -> None:
    """Return when `exc` concerns one object only; else raise what ends the flow.

    Args:
        ctx: The outside world.
        exc: What the work on one object ended with.

    Raises:
        Refused: A guard refused everything (pause, mass failure).
        ApiUnauthorized: The credentials are not known.
        BrokerUnavailable: There is no broker.
        ApiUnavailable: The API server answers no other request either.
    """
    if isinstance(exc, Refused | ApiUnauthorized | BrokerUnavailable):
        raise exc
    if isinstance(exc, ApiUnavailable):
        ctx.cluster.now()
