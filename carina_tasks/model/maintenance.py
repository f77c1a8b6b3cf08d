"""Maintenance of a node, as it is stored.

An operator announced that the machine may be away, and that its data comes back with it.

One entry for each node in the state ConfigMap, under ``maintenance.<node>``: JSON that `kubectl`
users can read and write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from carina_tasks.errors import BadInput
from carina_tasks.model import times

PREFIX: Final = "maintenance."
LONGEST: Final = 30 * 86400
"""Seconds that one maintenance may be announced for."""
_KEY: Final = 253
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")

Moment = Annotated[datetime, Meta(tz=True)]


class _Entry(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What the ConfigMap holds of one node."""

    until: Moment
    since: Moment
    reason: Annotated[str, Meta(min_length=1, max_length=1000)]
    by: Annotated[str, Meta(max_length=300)] = ""


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Maintenance of one node. Times are seconds since the epoch, by the API server's clock."""

    node: str
    since: float
    until: float
    """When the operator expects to be done. The maintenance continues until it is ended: an alert
    fires meanwhile.
    """
    reason: str
    by: str = ""
    """Who announced it; empty when that is not known."""
    error: str = ""
    """Why the entry cannot be read; then the node counts as in maintenance, because that loses
    nothing.
    """

    @property
    def key(self) -> str:
        """Its key in the ConfigMap."""
        return PREFIX + self.node

    def overdue(self, now: float) -> bool:
        """Return whether the time that was announced is over."""
        return now >= self.until

    def to_json(self) -> str:
        """Return the entry as it is stored."""
        moments = [datetime.fromtimestamp(int(at), UTC) for at in (self.until, self.since)]
        return msgspec.json.encode(_Entry(moments[0], moments[1], self.reason, self.by)).decode()

    def __str__(self) -> str:
        """Return what users read: until when, and why."""
        if self.error:
            return f"in maintenance, but its entry cannot be read ({self.error})"
        who = f", by {self.by}" if self.by else ""
        return f"in maintenance until {times.moment(int(self.until))} ({self.reason}{who})"


def new(node: str, now: float, seconds: float, reason: str, by: str = "") -> Maintenance:
    """Return the maintenance of `node` that begins now.

    Args:
        node: Name of the node.
        now: Seconds since the epoch, by the API server's clock.
        seconds: How long the machine may be away.
        reason: The reason, for users.
        by: Who announces it.

    Raises:
        BadInput: It explains what to change.
    """
    if not reason.strip():
        raise BadInput("say why (--reason): the next operator on call reads it")
    if not 0 < seconds <= LONGEST:
        raise BadInput(
            f"a maintenance lasts more than 0 seconds and at most {LONGEST // 86400} days"
        )
    if len(PREFIX + node) > _KEY:
        raise BadInput(
            f"the name of node {node} is too long for a key of a ConfigMap: use `carina pause` "
            "instead"
        )
    return Maintenance(node, now, now + seconds, reason.strip()[:1000], by[:300])


def parse(node: str, text: str) -> Maintenance:
    """Return the entry of `node` as it is stored.

    One that cannot be read is a maintenance with an `error`.
    """
    try:
        entry = msgspec.json.decode(text, type=_Entry)
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        return Maintenance(node, 0.0, 0.0, "", error=str(exc)[:200])
    since, until = entry.since.timestamp(), entry.until.timestamp()
    return Maintenance(node, since, until, entry.reason, entry.by)


def duration(text: str) -> float:
    """Return a duration such as ``45m``, ``2h`` or ``1d12h`` in seconds.

    Raises:
        BadInput: An argument is not what the task takes.
    """
    found = _DURATION.fullmatch(text.strip())
    if not text.strip() or found is None:
        raise BadInput(f"{text!r} is not a duration: write for example 45m, 2h or 1d12h")
    return float(
        sum(
            int(number or 0) * unit
            for number, unit in zip(found.groups(), (86400, 3600, 60, 1), strict=True)
        )
    )
