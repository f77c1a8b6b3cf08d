"""Our Events, read back: what was reported about an object, and since when."""

from __future__ import annotations

from dataclasses import dataclass

from carina_tasks.kube import event_times, paths
from carina_tasks.kube.api import Api, Raw
from carina_tasks.kube.events import CONTROLLER


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
    related: str = ""
    """Name of the other object that it concerns."""

    @property
    def about(self) -> str:
        """The object: ``kind namespace/name``."""
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


def events(api: Api) -> tuple[PastEvent, ...]:
    """Return our Events of the whole cluster, oldest first.

    The API server keeps them for an hour unless configured otherwise.
    """
    # `source` stands for the reporting controller where an Event has no source.
    found = api.list(paths.EVENTS, {"fieldSelector": f"source={CONTROLLER}"}).items
    return tuple(sorted(map(_past_event, found), key=lambda event: event.last))


def _past_event(raw: Raw) -> PastEvent:
    about = raw.get("involvedObject")
    about = about if isinstance(about, dict) else {}
    related = raw.get("related")
    first, last = event_times.first_and_last(raw)
    return PastEvent(
        kind=str(about.get("kind") or ""),
        name=str(about.get("name") or ""),
        namespace=str(about.get("namespace") or ""),
        type=str(raw.get("type") or ""),
        reason=str(raw.get("reason") or ""),
        message=str(raw.get("message") or ""),
        first=first,
        last=last,
        count=event_times.count(raw),
        related=str(related.get("name") or "") if isinstance(related, dict) else "",
    )
