"""The audit trail of a volume or a node: what its objects remember, and our Events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from carina_tasks.decisions import targets, whose
from carina_tasks.errors import ApiDenied, BadInput
from carina_tasks.flows.context import Context
from carina_tasks.kube.event_history import PastEvent
from carina_tasks.model import names, progress, well_known
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot


class Record(msgspec.Struct, frozen=True):
    """One line of an audit trail."""

    at: float
    """Seconds since the epoch. Events have microseconds, a LogicVolume remembers whole seconds."""
    about: str
    what: str
    text: str
    count: int = 1


class HistoryResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened to a volume or a node, the oldest first."""

    target: str
    records: tuple[Record, ...] = ()
    unknown: tuple[str, ...] = ()


def history(ctx: Context, target: str) -> HistoryResult:
    """Return what happened to `target`, a claim, pod, volume or node, the oldest first.

    LogicVolumes remember their last failovers for as long as they live, Events are kept for an hour
    unless the API server is configured otherwise. Pauses are part of it: they are why nothing
    happened.

    Raises:
        BadInput: Nothing is known of it.
    """
    snapshot = ctx.cluster.observe()
    unknown: tuple[str, ...] = ()
    found = targets.meanings(snapshot, target)
    if found:
        one = targets.find(snapshot, target)
        subjects = one.volumes or (one.node,)
    else:
        # A node or a volume that is gone: our Events may still tell of it.
        subjects = (names.object_name(target),)
    try:
        events: tuple[PastEvent, ...] = tuple(ctx.cluster.events())
    except ApiDenied as exc:
        events, unknown = (), (f"our Events cannot be read: {exc.message}",)
    records = [record for name in subjects for record in _of_one(snapshot, events, name)]
    if not records and not found:
        raise BadInput(
            f"nothing is known of {target}: there is no volume, claim, pod or node of that name, "
            "and no Event of ours"
        )
    if records:
        records += _stops(events)
    records = list(dict.fromkeys(records))
    return HistoryResult(target, tuple(sorted(records, key=lambda record: record.at)), unknown)


def _of_one(snapshot: ClusterSnapshot, events: Sequence[PastEvent], name: str) -> list[Record]:
    """Return the records of one volume or node."""
    records = [
        record for each in snapshot.logic_volumes.values() for record in _failovers(each, name)
    ]
    records += _under_way(snapshot, name)
    return records + _events_about(events, name, snapshot.logic_volumes.get(name))


def _stops(events: Iterable[PastEvent]) -> list[Record]:
    """Return who paused and resumed carina-tasks."""
    return [
        _record(event)
        for event in events
        if event.kind == "ConfigMap" and event.name == well_known.STATE_CONFIG_MAP
    ]


def _record(event: PastEvent) -> Record:
    return Record(event.last, event.about, event.reason, event.message, event.count)


def _failovers(logic_volume: LogicVolume, target: str) -> list[Record]:
    return [
        Record(
            _seconds(one.at),
            f"LogicVolume {logic_volume.name}",
            one.kind,
            f"{_of(logic_volume, target)}{one.source} -> {one.target}, {_holds(one.kind)}: "
            f"{one.reason} (intent {one.intent})",
        )
        for one in progress.parse_history(logic_volume.meta.annotations.get(well_known.HISTORY, ""))
        if target in (logic_volume.name, one.source, one.target)
    ]


def _holds(kind: str) -> str:
    """Return what a volume holds after a failover of that kind."""
    return "with its old copy's data" if kind == "failback" else "new and empty"


def _under_way(snapshot: ClusterSnapshot, target: str) -> list[Record]:
    return [
        Record(
            v.journal.started,
            f"LogicVolume {v.name}",
            f"{v.journal.kind}, unfinished",
            f"{_of(v, target)}{v.journal.source} -> {v.journal.target}: {v.journal.reason} (intent "
            f"{v.journal.intent})",
        )
        for v in snapshot.logic_volumes.values()
        if v.journal is not None and target in (v.name, v.journal.source, v.journal.target)
    ]


def _events_about(
    events: Iterable[PastEvent], target: str, logic_volume: LogicVolume | None
) -> list[Record]:
    """Return the Events about the target, once each, though several objects have the same one.

    Of a node only what is about the node: each of its volumes has a history of its own.
    """
    records: dict[tuple[str, str], Record] = {}
    claim = logic_volume.claim_key if logic_volume else ""
    for event in events:
        mine = target in (event.name, event.related)
        mine = mine or bool(claim and f"{event.namespace}/{event.name}" == claim)
        # Of a lost node: which pods were evicted from it, on their claims or on themselves.
        evicted = event.reason == "PodEvicted" or event.kind == "Pod"
        if mine or (evicted and _names(event.message, target)):
            records.setdefault((event.reason, event.message), _record(event))
    return list(records.values())


def _of(logic_volume: LogicVolume, target: str) -> str:
    return "" if logic_volume.name == target else f"{whose.titled(logic_volume)}: "


def _names(message: str, target: str) -> bool:
    """Return whether a message names the target as a whole word: node n1 is not node n10."""
    return (
        target
        in message.replace(":", " ").replace(",", " ").replace("(", " ").replace(")", " ").split()
    )


def _seconds(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return 0
