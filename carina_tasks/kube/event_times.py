"""When an Event was said first and last, and how often, in either of its forms.

An Event of events.k8s.io/v1 has ``eventTime`` and a ``series``; one of core v1 alone has
``firstTimestamp``, ``lastTimestamp`` and ``count``. Both may be there at once.
"""

from __future__ import annotations

from datetime import UTC, datetime

from carina_tasks.kube.api import Raw


def micro_time(seconds: float) -> str:
    """Return a time (seconds since the epoch) as Kubernetes' MicroTime: just six digits."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def first_and_last(event: Raw) -> tuple[float, float]:
    """Return when an Event of core/v1 was written first and last, seconds since the epoch.

    0 for what does not parse: any client may write an Event in our name.
    """
    first = _seconds(event.get("eventTime")) or _seconds(event.get("firstTimestamp"))
    last = _seconds(_series(event).get("lastObservedTime")) or _seconds(event.get("lastTimestamp"))
    return first, last or first


def count(event: Raw) -> int:
    """Return how often an Event of core/v1 was written."""
    found = _series(event).get("count") or event.get("count")
    return found if isinstance(found, int) else 1


def _series(event: Raw) -> Raw:
    series = event.get("series")
    return series if isinstance(series, dict) else {}


def _seconds(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
