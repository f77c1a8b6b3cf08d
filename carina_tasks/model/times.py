"""Durations and times as text, in the formats that kubectl users know."""

from __future__ import annotations

from datetime import UTC, datetime


def age(seconds: float) -> str:
    """Return a duration as kubectl shows it: ``45s``, ``12m``, ``3h20m``, ``2d``."""
    seconds = max(0, int(seconds))
    if seconds < 120:
        return f"{seconds}s"
    minutes = seconds // 60
    if minutes < 120:
        return f"{minutes}m"
    hours = minutes // 60
    return f"{hours}h{minutes % 60:02d}m" if hours < 48 else f"{hours // 24}d"


def moment(seconds: float) -> str:
    """Return a time (seconds since the epoch) in UTC, or ``-`` when it is not known."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if seconds else "-"
