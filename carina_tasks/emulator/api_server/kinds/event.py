"""Events: one object, served as core v1 and as events.k8s.io/v1.

Stored in the form of the core group, as the real server has it inside.

Source: pkg/apis/core/validation/events.go, pkg/apis/events/v1/conversion.go of Kubernetes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from .. import durations
from ..errors import JSON, Cause, invalid_value, required
from .base import NAME_FIELDS, Behaviour, Cell, Column, Resource, dig

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
        """Refuse an event outside its object's namespace (`default` for cluster objects).

        One with an eventTime must also say who reports it, and what was done.
        """
        if obj.get("eventTime"):
            return _validate_new(obj)
        involved = dig(obj, "involvedObject", "namespace") or ""
        if obj["metadata"].get("namespace") != (involved or "default"):
            return [_elsewhere(involved)]
        return []


class EventsV1Behaviour(EventBehaviour):
    """What events.k8s.io/v1 asks beyond core v1: the fields of old are unset, the text stays."""

    def validate(self, obj: JSON, old: JSON | None) -> list[Cause]:
        """Refuse what core v1 takes for the sake of old clients."""
        causes = super().validate(obj, old)
        series = obj.get("series")
        if series is not None and (old is None or series != old.get("series")):
            if (series.get("count") or 0) < 2:
                causes.append(invalid_value("series.count", '""', "should be at least 2"))
            if not series.get("lastObservedTime"):
                causes.append(required("series.lastObservedTime"))
        if old is not None:
            return causes + [
                invalid_value(field, f'"{obj.get(field)}"', "field is immutable")
                for field in _IMMUTABLE
                if obj.get(field) != old.get(field)
            ]
        if not obj.get("eventTime"):
            causes.append(required("eventTime"))
        if obj.get("type") not in ("Normal", "Warning"):
            causes.append(
                invalid_value("type", '""', f"has invalid value: {obj.get('type') or ''}")
            )
        return causes + [
            invalid_value(field, '""', "needs to be unset")
            for field in ("firstTimestamp", "lastTimestamp", "count", "source")
            if obj.get(field)
        ]


_IMMUTABLE = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)


def _elsewhere(involved: str) -> Cause:
    return invalid_value(
        "involvedObject.namespace", f'"{involved}"', "does not match event.namespace"
    )


def _validate_new(obj: JSON) -> list[Cause]:
    involved = dig(obj, "involvedObject", "namespace") or ""
    causes = []
    if not involved and obj["metadata"].get("namespace") not in ("default", "kube-system"):
        causes.append(_elsewhere(involved))
    for field in ("reportingComponent", "reportingInstance", "action", "reason"):
        if not obj.get(field):
            causes.append(required(field.replace("Component", "Controller")))
        elif len(obj[field].encode()) > 128:
            causes.append(invalid_value(field, '""', "can have at most 128 characters"))
    if len(str(obj.get("message") or "").encode()) > 1024:
        causes.append(invalid_value("message", '""', "can have at most 1024 characters"))
    return causes


_NAMES = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
"""Fields of events.k8s.io/v1 that core v1 calls otherwise."""
_NAMES_OF_OLD = {old: new for new, old in _NAMES.items()}


def to_core(obj: JSON) -> JSON:
    """Return an Event of events.k8s.io/v1 as core v1 shows it."""
    return {_NAMES.get(key, key): value for key, value in obj.items()} | {"apiVersion": "v1"}


def to_events_v1(obj: JSON) -> JSON:
    """Return an Event of core v1 as events.k8s.io/v1 shows it."""
    shown = {_NAMES_OF_OLD.get(key, key): value for key, value in obj.items()}
    return shown | {"apiVersion": "events.k8s.io/v1"}


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


def _selected_source(obj: JSON) -> str:
    return str(dig(obj, "source", "component") or obj.get("reportingComponent") or "")


def _object(obj: JSON) -> str:
    kind, name = dig(obj, "involvedObject", "kind"), dig(obj, "involvedObject", "name")
    return f"{str(kind or '').lower()}/{name or ''}"


_COLUMNS = (
    Column("Last Seen", _last_seen),
    Column("Type", lambda obj, _: obj.get("type", "")),
    Column("Reason", lambda obj, _: obj.get("reason", "")),
    Column("Object", lambda obj, _: _object(obj)),
    Column("Subobject", lambda obj, _: dig(obj, "involvedObject", "fieldPath") or "", priority=1),
    Column("Source", lambda obj, _: _source(obj), priority=1),
    Column("Message", lambda obj, _: str(obj.get("message", "")).strip()),
    Column("First Seen", _first_seen, priority=1),
    Column(
        "Count", lambda obj, _: dig(obj, "series", "count") or obj.get("count") or 1, priority=1
    ),
    Column("Name", lambda obj, _: obj["metadata"]["name"], format="name", priority=1),
)

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
        "source": _selected_source,
        "type": ("type",),
    },
    generic_fields=False,
    behaviour=EventBehaviour(),
    columns=_COLUMNS,
)


def _cell_of_core(cell: Cell) -> Cell:
    return lambda obj, now: cell(to_core(obj), now)


EVENTS_V1 = Resource(
    "events.k8s.io",
    "v1",
    "events",
    "Event",
    namespaced=True,
    short_names=("ev",),
    fields={
        **NAME_FIELDS,
        **{f"regarding.{key}": ("involvedObject", key) for key in _INVOLVED},
        "reason": ("reason",),
        "reportingController": ("reportingComponent",),
        "type": ("type",),
    },
    generic_fields=False,
    behaviour=EventsV1Behaviour(),
    columns=tuple(replace(column, cell=_cell_of_core(column.cell)) for column in _COLUMNS),
    stored_as=EVENTS.id,
    to_stored=to_core,
    to_shown=to_events_v1,
)
