"""Problems: what failed and needs an operator, or has taken too long.

Each has its reason, its begin and the command that helps.

The API server and the nodes are asked now, by the same decisions that the tasks take. Task results
in the broker only add the last word on what is journalled, and failures that left no trace on an
object. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec
import msgspec.structs

from carina_tasks.decisions import guards, logic_volumes, node_loss, orphans, selection, whose
from carina_tasks.decisions.advice import CARINA, for_no_fit, start_worker
from carina_tasks.errors import ApiDenied, CarinaTasksError
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.loss import not_ready_rules
from carina_tasks.flows.report.loss_plan import ledger_of, plan_loss
from carina_tasks.flows.report.problem import PATIENCE, Problem, ProblemsResult
from carina_tasks.flows.sweeps.rules import orphan_rules
from carina_tasks.kube.event_history import PastEvent
from carina_tasks.model import progress, well_known
from carina_tasks.model.local import Inventory
from carina_tasks.model.names import VOLUME_PREFIX
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.store.task_results import TaskResult

Inventories = dict[str, Inventory | CarinaTasksError]


def find_problems(
    ctx: Context, stored: Sequence[TaskResult] | None, asked: Inventories | None = None
) -> ProblemsResult:
    """Return what needs the operator, the most urgent first.

    `stored` is what the broker knows, None when it is away; `asked` what nodes have answered
    already, None when they are to be asked now.

    Raises the adapters' errors when the API server cannot be asked.
    """
    snapshot, unknown = ctx.cluster.observe(), []
    inventories = asked
    if stored is not None and asked is None:
        inventories = ask_nodes.inventories(
            ctx, [name for name, node in snapshot.nodes.items() if node.is_ready]
        )
    elif stored is None:
        unknown.append("failures of tasks, and what nodes hold: the broker is away")
    away = Problem(
        "away",
        "broker",
        "it does not answer: no failover and no sweep until it is back",
        do=f"{CARINA} doctor",
    )
    found = [
        *([away] if stored is None else ()),
        *_held(ctx),
        *_unreadable(snapshot),
        *_journals(ctx, snapshot, stored or (), inventories),
        *_lost(ctx, snapshot, inventories, _last_words(stored or ())),
        *_kept(ctx, snapshot),
        *_held_pods(snapshot),
        *_on_nodes(ctx, snapshot, inventories or {}),
        *_tasks(stored or ()),
    ]
    events: Sequence[PastEvent] = ()
    if not all(one.since for one in found):
        try:
            events = ctx.cluster.events()
        except ApiDenied as exc:
            unknown.append(
                f"our Events cannot be read, so `since` is not known for some: {exc.message}"
            )
    return ProblemsResult(
        now=int(snapshot.now),
        findings=tuple(_whose(snapshot, _since(item, events)) for item in found),
        unknown=tuple(unknown),
    )


def _held(ctx: Context) -> Iterator[Problem]:
    state = ctx.state.read()
    if state.paused:
        yield Problem("paused", "everything", f"paused: {state.paused}", do=f"{CARINA} resume")
    if state.latched:
        reason = f"stopped by the mass-failure guard: {state.latched}"
        yield Problem("stopped", "everything", reason, do=f"{CARINA} resume")
    now = ctx.cluster.now() if state.maintenance else 0.0
    for name, entry in state.maintenance.items():
        do = f"{CARINA} maintenance end {name}"
        since = int(entry.since)
        kind: Literal["maintenance", "waiting"] = "maintenance" if entry.overdue(now) else "waiting"
        late = "; that time is over" if entry.overdue(now) and not entry.error else ""
        yield Problem(
            kind,
            name,
            f"{entry}{late}: nothing of the node is failed over",
            node=name,
            since=since,
            do=do,
        )


def _unreadable(snapshot: ClusterSnapshot) -> Iterator[Problem]:
    for one in snapshot.unreadable:
        yield Problem(
            "unreadable",
            f"{one.kind} {one.name}",
            one.reason,
            do=f"kubectl edit {one.kind} {one.name}",
        )
    for logic_volume in _sorted(snapshot):
        if logic_volume.journal_error:
            do = f"kubectl get lv {logic_volume.name} -o yaml"
            yield Problem(
                "unreadable",
                logic_volume.name,
                logic_volume.journal_error,
                node=logic_volume.node,
                do=do,
            )


def _journals(
    ctx: Context,
    snapshot: ClusterSnapshot,
    stored: Sequence[TaskResult],
    inventories: Inventories | None,
) -> Iterator[Problem]:
    """Yield the rebuilds that are under way for longer than one takes.

    Each is tried again every 30 s: what helps is to remove what it waits for.
    """
    last = _last_words(stored)
    for logic_volume in _sorted(snapshot):
        journal = logic_volume.journal
        if journal is None or snapshot.now - journal.started < PATIENCE:
            continue
        when, outcome, reason = last.get(logic_volume.name, (0.0, "", ""))
        if when < journal.started or outcome in ("rebuilt", "failed-back", "given-up"):
            reason = ""
        known = (
            reason
            or progress.waiting_reason(logic_volume.progress)
            or f"not finished yet: {journal.reason}"
        )
        silent = isinstance((inventories or {}).get(journal.target), CarinaTasksError)
        do = (
            start_worker(ctx.settings.namespace, journal.target)
            if silent
            else f"kubectl describe lv {logic_volume.name}"
        )
        yield Problem(
            "refused" if outcome == "refused" and known == reason else "unfinished",
            logic_volume.name,
            known,
            node=journal.target,
            since=journal.started,
            do=do,
        )


def _last_words(stored: Sequence[TaskResult]) -> dict[str, tuple[float, str, str]]:
    return {
        volume: (one.done, outcome, reason)
        for one in stored
        for volume, outcome, reason in one.volumes
    }


def _lost(
    ctx: Context,
    snapshot: ClusterSnapshot,
    inventories: Inventories | None,
    last: Mapping[str, tuple[float, str, str]],
) -> Iterator[Problem]:
    """Yield the unschedulable logic volumes of lost nodes, and those the operator must check."""
    rules = not_ready_rules(ctx)
    # Without the broker no worker reports its free space: what fits is not known, and nothing
    # would be done.
    answered = ask_nodes.answered(inventories) if inventories is not None else {}
    ledger = ledger_of(ctx, snapshot, answered)
    for name in sorted(guards.lost_nodes(snapshot, planned=ctx.state.read().maintenance)):
        node = snapshot.nodes.get(name)
        since = int(node.ready_since) if node else 0
        if node is not None:
            loss = node_loss.not_ready(
                node, ctx.cluster.lease(name), _alive(ctx, name), snapshot.now, rules
            )
            if not isinstance(loss, node_loss.Lost):
                yield Problem("waiting", name, loss.reason, node=name, since=since)
                continue
        waiting = 0
        for verdict in selection.of_not_ready_node(snapshot, name) if node is not None else ():
            if isinstance(verdict, selection.Skip) and verdict.blocked:
                do = f"annotate that pod {well_known.MIGRATION_ALLOWED}=true or delete it"
                yield Problem(
                    "refused",
                    verdict.logic_volume.name,
                    verdict.reason,
                    node=name,
                    since=since,
                    do=do,
                )
        for volume in plan_loss(ctx, snapshot, name, ledger, node is not None).volumes:
            if volume.outcome == "skipped":
                if node is None and not _left_alone(snapshot, volume.volume):
                    do = f"kubectl get lv,pv {volume.volume} -o yaml"
                    yield Problem("refused", volume.volume, volume.reason, node=name, do=do)
            elif volume.outcome == "no-fit" and inventories is not None:
                do = for_no_fit(volume.obstacles, name, ctx.settings.namespace).do
                yield Problem("no-fit", volume.volume, volume.reason, node=name, since=since, do=do)
            elif refused := _refused(last.get(volume.volume), since):
                do = f"change what refuses it: kubectl describe lv {volume.volume}"
                reason = f"{refused}; it is tried again every 30 s"
                yield Problem("refused", volume.volume, reason, node=name, since=since, do=do)
            else:
                waiting += 1
        if waiting:
            gone = "is not Ready" if node else "does not exist"
            then = "have a place elsewhere and wait for the next look, within 30 s"
            text = (
                f"the node {gone}; {waiting} of its volumes "
                f"{then if inventories is not None else 'wait for the broker'}"
            )
            yield Problem("waiting", name, text, node=name, since=since)


def _refused(last: tuple[float, str, str] | None, since: int) -> str:
    """Return why the last run of this failover left the volume where it is, empty when none did."""
    when, outcome, reason = last or (0.0, "", "")
    return reason if outcome in ("failed", "unfinished", "refused") and when >= since else ""


def _left_alone(snapshot: ClusterSnapshot, name: str) -> bool:
    """Return whether a logic volume is skipped by its nature or is a problem of its own."""
    logic_volume = snapshot.logic_volumes[name]
    return (
        logic_volume.journalled
        or not selection.managed(logic_volume)
        or bool(selection.goes_with_pod(snapshot, logic_volume))
    )


def _alive(ctx: Context, node: str) -> bool:
    try:
        return ctx.worker_alive(node)
    except CarinaTasksError:
        return False


def _kept(ctx: Context, snapshot: ClusterSnapshot) -> Iterator[Problem]:
    """Yield the LogicVolumes without a PV that stay until the operator acts."""
    for logic_volume in _sorted(snapshot):
        if (
            logic_volume.name in snapshot.persistent_volumes
            or logic_volume.journalled
            or not logic_volume.is_lvm
        ):
            continue
        age = snapshot.now - (logic_volume.meta.deleting or logic_volume.meta.created)
        if logic_volume.meta.owners or age < ctx.settings.logic_volume_grace:
            continue
        claim = snapshot.claims.get(logic_volume.claim_key)
        verdict = logic_volumes.judge_logic_volume(
            logic_volume, None, claim, snapshot.now, ctx.settings.logic_volume_grace
        )
        if isinstance(verdict, logic_volumes.KeepLogicVolume):
            since = int(logic_volume.meta.deleting or 0)
            do = f"kubectl describe lv {logic_volume.name}"
            yield Problem(
                "kept",
                logic_volume.name,
                verdict.reason,
                node=logic_volume.node,
                since=since,
                do=do,
            )


def _held_pods(snapshot: ClusterSnapshot) -> Iterator[Problem]:
    """Yield the pods that were evicted and that the owner of a finalizer keeps."""
    for pod in snapshot.pods:
        if pod.failed_by_us and pod.deleted_at_once and pod.meta.finalizers:
            names = ", ".join(pod.meta.finalizers)
            reason = (
                f"evicted from node {pod.node}; the owner of its finalizer has not taken it off: "
                f"{names}"
            )
            do = f"kubectl -n {pod.meta.namespace} get pod {pod.meta.name} -o yaml"
            yield Problem(
                "kept", f"pod {pod.meta.key}", reason, pod.node, int(pod.meta.deleting or 0), do
            )


def _on_nodes(
    ctx: Context, snapshot: ClusterSnapshot, inventories: Inventories
) -> Iterator[Problem]:
    """Yield what the nodes' own reports show.

    Volumes that are missing, and orphans above the cap.
    """
    for name, inventory in sorted(inventories.items()):
        if isinstance(inventory, CarinaTasksError):
            do = start_worker(ctx.settings.namespace, name)
            yield Problem("silent", name, inventory.message, node=name, do=do)
            continue
        here, grace = snapshot.logic_volumes_on(name), ctx.settings.orphan_grace
        for item in orphans.missing_local_volumes(here, inventory, snapshot.now, grace):
            yield Problem(
                "missing",
                item.logic_volume.name,
                item.reason,
                node=name,
                do=f"{CARINA} volumes {item.logic_volume.claim_key}",
            )
        yield from _above_the_cap(ctx, snapshot, inventory)


def _above_the_cap(
    ctx: Context, snapshot: ClusterSnapshot, inventory: Inventory
) -> Iterator[Problem]:
    rules, unreadable = orphan_rules(ctx), snapshot.unreadable_names
    doomed = []
    for lv in inventory.volumes:
        name = lv.name.removeprefix(VOLUME_PREFIX)
        pair = snapshot.logic_volumes.get(name), snapshot.persistent_volumes.get(name)
        if name not in unreadable and isinstance(
            orphans.judge_local_volume(lv, inventory, *pair, snapshot.now, rules),
            orphans.RemoveOrphan,
        ):
            doomed.append(lv)
    volumes = sum(lv.name.startswith(VOLUME_PREFIX) for lv in inventory.volumes)
    cap = guards.orphan_cap(
        len(doomed), volumes, ctx.settings.orphan_limit, ctx.settings.orphan_share, 0
    )
    if isinstance(cap, guards.GuardStops):
        since = min((lv.marked_at or 0 for lv in doomed), default=0)
        confirm = f"""'{{"confirm": {{"{inventory.node}": {len(doomed)}}}}}'"""
        do = f"celery -A carina_tasks call carina.sweep.local_volumes --kwargs {confirm}"
        yield Problem(
            "orphans", inventory.node, cap.reason, node=inventory.node, since=since, do=do
        )


def _tasks(stored: Sequence[TaskResult]) -> Iterator[Problem]:
    """Yield the tasks whose last run failed; one that has gone well since is no news."""
    last: dict[str, TaskResult] = {}
    for one in stored:
        last[f"{one.task} {one.args!r}"] = one
    for one in sorted(last.values(), key=lambda one: one.done):
        if one.state == "FAILURE":
            what = " ".join([one.task, *map(str, one.args)])[:200]
            yield Problem(
                "failed",
                what,
                one.reason,
                since=int(one.done),
                # Wrong arguments stay wrong, and a retry looks at none.
                do="" if one.reason.startswith("BadInput") else f"{CARINA} retry {one.id}",
                id=one.id,
            )


def _sorted(snapshot: ClusterSnapshot) -> Iterable[LogicVolume]:
    return sorted(snapshot.logic_volumes.values(), key=lambda logic_volume: logic_volume.name)


def _whose(snapshot: ClusterSnapshot, item: Problem) -> Problem:
    """Return the problem with claim and pod, when it is about a volume."""
    claim = whose.claim_of(snapshot, item.what)
    if not claim:
        return item
    return msgspec.structs.replace(item, claim=claim, pod=whose.pod_of(snapshot, claim))


def _since(item: Problem, events: Sequence[PastEvent]) -> Problem:
    """Return the problem with the time of the first Warning of its object, if unknown."""
    if item.since:
        return item
    names = {item.what.split(" ")[-1], item.node if item.kind == "orphans" else item.what}
    first = [
        e.first
        for e in events
        if e.type == "Warning" and (e.name in names or f"({item.what})" in e.message)
    ]
    return msgspec.structs.replace(item, since=int(min(first, default=0)))
