"""Events of the core group."""

from __future__ import annotations

from datetime import datetime

from .. import durations
from ..errors import JSON, Cause, invalid_value
from .base import NAME_FIELDS, Behaviour, Column, Resource, dig

_INVOLVED = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"]


class EventBehaviour(Behaviour):
    """An event lies in the namespace of the object that it is about."""

    create_on_update = True

    def default(self, obj: JSON) -> None:
        """Write the fields that the API always shows."""
        obj.setdefault("source", {})
        obj.setdefault("firstTimestamp", None)
        obj.setdefault("lastTimestamp", None)
        obj.setdefault("eventTime", None)
        obj.setdefault("reportingComponent", "")
        obj.setdefault("reportingInstance", "")

    def validate(self, obj: JSON, old: JSON | None) -> list[Cause]:
        """Refuse an event outside its object's namespace (`default` for cluster objects)."""
        involved = dig(obj, "involvedObject", "namespace") or ""
        if obj["metadata"].get("namespace") != (involved or "default"):
            return [
                invalid_value(
                    "involvedObject.namespace", f'"{involved}"', "does not match event.namespace"
                )
            ]
        return []


def _last_seen(obj: JSON, now: datetime) -> str:
    series = dig(obj, "series", "lastObservedTime")
    last = series or obj.get("lastTimestamp") or obj.get("eventTime") or obj.get("firstTimestamp")
    return durations.age(last, now)


def _first_seen(obj: JSON, now: datetime) -> str:
    return durations.age(obj.get("firstTimestamp") or obj.get("eventTime"), now)


def _source(obj: JSON) -> str:
    component = dig(obj, "source", "component") or obj.get("reportingComponent") or ""
    host = dig(obj, "source", "host") or ""
    return f"{component}, {host}" if host else component


def _object(obj: JSON) -> str:
    kind, name = dig(obj, "involvedObject", "kind"), dig(obj, "involvedObject", "name")
    return f"{str(kind or '').lower()}/{name or ''}"


EVENTS = Resource(
    "",
    "v1",
    "events",
    "Event",
    namespaced=True,
    short_names=("ev",),
    fields={
        **NAME_FIELDS,
        **{f"involvedObject.{key}": ("involvedObject", key) for key in _INVOLVED},
        "reason": ("reason",),
        "reportingComponent": ("reportingComponent",),
        "source": ("source", "component"),
        "type": ("type",),
    },
    generic_fields=False,
    behaviour=EventBehaviour(),
    columns=(
        Column("Last Seen", _last_seen),
        Column("Type", lambda obj, _: obj.get("type", "")),
        Column("Reason", lambda obj, _: obj.get("reason", "")),
        Column("Object", lambda obj, _: _object(obj)),
        Column(
            "Subobject", lambda obj, _: dig(obj, "involvedObject", "fieldPath") or "", priority=1
        ),
        Column("Source", lambda obj, _: _source(obj), priority=1),
        Column("Message", lambda obj, _: str(obj.get("message", "")).strip()),
        Column("First Seen", _first_seen, priority=1),
        Column(
            "Count", lambda obj, _: dig(obj, "series", "count") or obj.get("count") or 1, priority=1
        ),
        Column("Name", lambda obj, _: obj["metadata"]["name"], format="name", priority=1),
    ),
)
