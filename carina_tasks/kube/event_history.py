"""Our Events, read back: what was reported about an object, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from carina_tasks.kube import paths
from carina_tasks.kube.api import Api, Raw


@dataclass(frozen=True, slots=True)
class PastEvent:
    """One Event. Any client that may write Events may write one in our name.

    It is for users, and nothing is decided on it.
    """

    kind: str
    name: str
    namespace: str
    type: str
    """``Normal`` or ``Warning``."""
    reason: str
    message: str
    first: float
    """When it was written first and last, seconds since the epoch."""
    last: float
    count: int

    @property
    def about(self) -> str:
        """The object: ``kind namespace/name``."""
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


def events(api: Api) -> tuple[PastEvent, ...]:
    """Return our Events of the whole cluster, oldest first.

    The API server keeps them for an hour unless configured otherwise.
    """
    found = api.list(paths.EVENTS, {"fieldSelector": "source=carina-tasks"}).items
    return tuple(sorted(map(_past_event, found), key=lambda event: event.last))


def _past_event(raw: Raw) -> PastEvent:
    about = raw.get("involvedObject")
    about = about if isinstance(about, dict) else {}
    count = raw.get("count")
    return PastEvent(
        kind=str(about.get("kind") or ""),
        name=str(about.get("name") or ""),
        namespace=str(about.get("namespace") or ""),
        type=str(raw.get("type") or ""),
        reason=str(raw.get("reason") or ""),
        message=str(raw.get("message") or ""),
        first=_seconds(raw.get("firstTimestamp")),
        last=_seconds(raw.get("lastTimestamp")),
        count=count if isinstance(count, int) else 1,
    )


def _seconds(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0
