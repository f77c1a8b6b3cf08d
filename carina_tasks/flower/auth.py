"""Who may come in, and which of Flower's options have another default here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from carina_tasks.errors import BadSetting

OPEN = "FLOWER_UNAUTHENTICATED_API"
"""Flower's own option for: no password. Without it its pages are open to everybody by default, and
only its API is closed.
"""

DEFAULTS: Mapping[str, Any] = {
    # First what it is about, last what the operator clicks to see more.
    "tasks_columns": "args,state,result,received,runtime,uuid,worker",
    # Looking is what Flower is for. Nothing that it could do to a task would last: resume and the
    # sweeps send it again.
    "read_only": True,
    # A day of one cluster: resume every 30 s, a request for each node and sweep. Saving them takes
    # well under a second.
    "max_tasks": 10000,
    "state_save_interval": 60000,
    # Seconds. A node that was taken out of the cluster is no news on the third day.
    "purge_offline_workers": 86400,
}


def check(basic_auth: Sequence[str] | None, auth: str, environ: Mapping[str, str]) -> None:
    """Raise BadSetting when Flower has no password and none was waived.

    `basic_auth` are Flower's pairs ``user:password``, `auth` is its pattern of e-mail addresses for
    OAuth2.

    Args:
        basic_auth: Flower's pairs of user and password.
        auth: Flower's OAuth2 rule.
        environ: The environment of the process.
    """
    for pair in basic_auth or ():
        user, _, password = pair.partition(":")
        if not user or not password:
            raise BadSetting(
                "FLOWER_BASIC_AUTH takes user:password, several with commas between them"
            )
    if basic_auth or auth or environ.get(OPEN, "").lower() in ("1", "true", "yes", "on"):
        return
    raise BadSetting(
        f"Flower has no password: set FLOWER_BASIC_AUTH=user:password (or {OPEN}=true for a demo "
        "on loopback)"
    )


def defaults(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return our defaults of Flower's options that the environment does not set.

    Flower reads its configuration file after the environment, so whatever is returned here would
    win over it.
    """
    given = {name.lower() for name in environ}
    options = {name: value for name, value in DEFAULTS.items() if f"flower_{name}" not in given}
    if "flower_db" in given:
        options["persistent"] = True
    return options
