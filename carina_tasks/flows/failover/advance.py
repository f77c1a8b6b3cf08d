"""The journalled volumes of one run, target by target; `stepping` brings each on.

Whatever fails leaves the journal where it is: resume, or another worker, continues.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType

import msgspec.structs

from carina_tasks.decisions import answers, rebuild
from carina_tasks.errors import CarinaTasksError, NodeSilent, Refused
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context, not_approved
from carina_tasks.flows.failover import events, stepping
from carina_tasks.flows.failover.results import VolumeResult
from carina_tasks.flows.failover.stepping import CreatedLv
from carina_tasks.flows.failover.steps import (
    Advance,
    AwaitsBinding,
    AwaitsLastLook,
    Brought,
    NeedsLocalVolume,
    NeedsTarget,
    may_continue,
    unfinished_result,
)
from carina_tasks.flows.threads import spread
from carina_tasks.model import task_names
from carina_tasks.model.messages import CreateLvs, LvResult, LvResults, LvToCreate, batch_time
from carina_tasks.model.names import local_volume_of
from carina_tasks.model.objects import Pod
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_node

LAST_LOOKS = 3
"""Looks at the pods of the source before a volume is left for resume: it had a new one each time.
"""
BATCH = 50
"""Volumes of one request to a node: a node that falls silent is noticed within two minutes, however
many there are.
"""
AT_ONCE = 4
"""Volumes under way for each thread: one is worked on, the others wait for the volume controller.
"""
FIRST_LOOK, LONGEST_PAUSE = 0.01, 0.1
"""Seconds between two looks at the watches, when there is nothing else to do."""


class ProgressReporter:
    """Counts the volumes of one run, for the operator who watches it.

    The groups' threads share it.
    """

    def __init__(self, progress: Callable[[str], None], volumes: int) -> None:
        self._progress, self._volumes = progress, volumes
        self._rebuilt = itertools.count(1)

    def made(self, number: int, target: str) -> None:
        """Count local volumes that a node has made."""
        self._progress(f"{number} of {self._volumes} local volumes made on {target}")

    def ended(self, result: VolumeResult) -> VolumeResult:
        """Count a volume that is rebuilt, and hand it on."""
        if result.moved:
            self._progress(
                f"{next(self._rebuilt)} of {self._volumes} volumes {result.outcome}, the last "
                f"{result.claim or result.volume}"
            )
        return result


def advance_all(
    ctx: Context,
    targets: Mapping[str, str],
    sources: Mapping[str, str] = MappingProxyType({}),
    views: Mapping[str, rebuild.RebuildView] = MappingProxyType({}),
) -> list[VolumeResult | NeedsTarget]:
    """Bring the journalled volumes as far as they get.

    Each target node is a group of its own, so that one that does not answer delays no other.

    Args:
        ctx: The outside world.
        targets: The target node of each volume.
        sources: The node that each volume leaves. While all is stopped but for nodes that the
            operator approved, only volumes that leave one of these continue.
        views: Volumes whose journal has just been written, as they are since.
    """
    groups: dict[str, list[str]] = {}
    for name, target in targets.items():
        groups.setdefault(target, []).append(name)
    if not groups:
        return []
    with ThreadPoolExecutor(min(len(groups), ctx.settings.concurrency)) as pool:
        tally = ProgressReporter(ctx.progress, len(targets))
        parts = spread(
            pool,
            lambda item: _advance_group(ctx, item[0], item[1], tally, sources, views),
            groups.items(),
        )
        return [result for part in parts for result in part]


REPLANNED = "it was planned again meanwhile, for another node"


def _advance_group(
    ctx: Context,
    target: str,
    names: list[str],
    tally: ProgressReporter,
    sources: Mapping[str, str],
    views: Mapping[str, rebuild.RebuildView],
) -> list[VolumeResult | NeedsTarget]:
    done: list[VolumeResult | NeedsTarget] = []
    local: dict[str, CreatedLv] = {}
    waiting = names
    seen: dict[str, stepping.Seen] = {}
    with ThreadPoolExecutor(min(len(names), ctx.settings.concurrency)) as pool:
        # Round one stops at the LV, round two goes to the end, a third is for a volume expanded
        # meanwhile.
        for _ in range(4):
            stopped = _stopped(ctx, waiting, sources)
            done += [unfinished_result(name, reason) for name, reason in stopped.items()]
            waiting = [name for name in waiting if name not in stopped]
            if not waiting:
                return done
            begin = [partial(stepping.advance, ctx, local, views, seen, name) for name in waiting]
            results = [
                tally.ended(result) if isinstance(result, VolumeResult) else result
                for result in _looked_at(ctx, pool, local, _brought_on(ctx, pool, local, begin))
            ]
            needs = [result for result in results if isinstance(result, NeedsLocalVolume)]
            views = {}
            seen = {
                need.logic_volume.name: stepping.Seen(need.pv, need.claim, need.planned_pods)
                for need in needs
            }
            done += [result for result in results if not isinstance(result, NeedsLocalVolume)]
            # Another worker may have planned it again since `targets` was read: this node must not
            # make it.
            astray = [need for need in needs if need.journal.target != target]
            done += [
                unfinished_result(need.logic_volume.name, REPLANNED, need.journal, again=True)
                for need in astray
            ]
            needs = [need for need in needs if need.journal.target == target]
            if not needs:
                return done
            local, failed = _create_all(ctx, target, needs, tally)
            done += failed
            waiting = list(local)
            if not waiting:
                return done
    return done + [
        unfinished_result(name, "it keeps growing while it is rebuilt") for name in waiting
    ]


def _brought_on(
    ctx: Context,
    pool: ThreadPoolExecutor,
    local: Mapping[str, CreatedLv],
    begin: Iterable[Callable[[], Advance]],
) -> list[Brought]:
    """Bring volumes on until none waits for its claim any more.

    A volume whose claim is not Bound yet keeps no thread: the next one begins meanwhile. Not all
    begin at once, because the first should be done long before the last.

    Args:
        ctx: The outside world.
        pool: The threads.
        local: What the target answered about each LV, by LogicVolume.
        begin: Begins with each volume.
    """
    todo, waits, done = deque(begin), list[AwaitsBinding](), list[Brought]()
    pause = FIRST_LOOK
    while todo or waits:
        room = max(0, AT_ONCE * ctx.settings.concurrency - len(waits))
        jobs = [todo.popleft() for _ in range(min(room, len(todo)))]
        ready = [may_continue(ctx, one) for one in waits]
        jobs += [
            partial(stepping.bound, ctx, local, one)
            for one, now in zip(waits, ready, strict=True)
            if now
        ]
        waits = [one for one, now in zip(waits, ready, strict=True) if not now]
        if not jobs:
            ctx.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            continue
        pause = FIRST_LOOK
        for result in spread(pool, lambda job: job(), jobs):
            if isinstance(result, AwaitsBinding):
                waits.append(result)
            else:
                done.append(result)
    return done


def _looked_at(
    ctx: Context, pool: ThreadPoolExecutor, local: Mapping[str, CreatedLv], results: list[Brought]
) -> list[VolumeResult | NeedsLocalVolume | NeedsTarget]:
    """Bring on the volumes that wait for the last look at the pods of their source.

    A list serves `BATCH` of them, which are done within a second or two of it.

    Args:
        ctx: The outside world.
        pool: The threads.
        local: What the target answered about each LV, by LogicVolume.
        results: How far the volumes came.
    """
    for _ in range(LAST_LOOKS):
        waits = [result.view for result in results if isinstance(result, AwaitsLastLook)]
        results = [result for result in results if not isinstance(result, AwaitsLastLook)]
        for start in range(0, len(waits), BATCH):
            batch = waits[start : start + BATCH]
            looks = {key: _last_look(ctx, *key) for key in dict.fromkeys(map(_look_of, batch))}
            finish = [
                partial(stepping.finish, ctx, local, looks[_look_of(view)], view) for view in batch
            ]
            results += _brought_on(ctx, pool, local, finish)
    reason = "pods that use it keep being bound to its source"
    return [
        unfinished_result(result.view.logic_volume.name, reason, result.view.journal)
        if isinstance(result, AwaitsLastLook)
        else result
        for result in results
    ]


def _look_of(view: rebuild.RebuildView) -> tuple[str, str]:
    """Return the node and the namespace whose pods are listed."""
    return view.journal.source, view.logic_volume.namespace


def _last_look(ctx: Context, node: str, namespace: str) -> stepping.LastLook:
    """List the pods; what cannot be listed is the error of each volume that asks for it."""
    try:
        return ctx.cluster.pods_on(node, namespace).using
    except CarinaTasksError as exc:
        error = exc

    def fail(claim: str) -> tuple[Pod, ...]:
        raise error

    return fail


def _stopped(ctx: Context, names: Sequence[str], sources: Mapping[str, str]) -> dict[str, str]:
    """Return the volumes that may not continue now, each with why."""
    try:
        only = ctx.approved_alone()
    except Refused as exc:
        return dict.fromkeys(names, exc.message)
    reasons = {name: not_approved(only, sources.get(name, "")) for name in names}
    return {name: reason for name, reason in reasons.items() if reason}


def _create_all(
    ctx: Context, target: str, needs: Sequence[NeedsLocalVolume], tally: ProgressReporter
) -> tuple[dict[str, CreatedLv], list[VolumeResult]]:
    """Have the LVs made, batch by batch, until one is not answered; return the rest as unfinished.

    Args:
        ctx: The outside world.
        target: The node.
        needs: The volumes that need an LV there.
        tally: Counts them for the operator.
    """
    local: dict[str, CreatedLv] = {}
    for start in range(0, len(needs), BATCH):
        batch = needs[start : start + BATCH]
        try:
            local |= _all_or_none(batch, _create(ctx, target, batch))
            tally.made(len(batch), target)
        except CarinaTasksError as exc:
            left = needs[start:]
            # A node that is silent may be lost by now: worth another look at once.
            again = isinstance(exc, NodeSilent)
            for need in left:
                events.waits(ctx, need.logic_volume, need.claim, need.journal, 1, exc.message)
            return local, [
                unfinished_result(need.logic_volume.name, exc.message, need.journal, again=again)
                for need in left
            ]
    return local, []


def _create(ctx: Context, target: str, needs: Sequence[NeedsLocalVolume]) -> dict[str, CreatedLv]:
    """Ask `target` to make these LVs; return its answer about each, by LogicVolume.

    Args:
        ctx: The outside world.
        target: The node.
        needs: The volumes that need an LV there.

    Raises:
        CarinaTasksError: The node did not answer, or with what does not count.
    """
    # The clock is asked for only when something may go to the trash: an old copy that an earlier
    # failover left.
    kept = max(ctx.settings.trash_retention, ctx.settings.old_copy_retention)
    trash = kept > 0 and any(need.journal.stale for need in needs)
    request = CreateLvs(
        reserve=ctx.settings.reserve,
        trash_at=int(ctx.cluster.now()) if trash else 0,
        volumes=tuple(
            LvToCreate(
                group=need.logic_volume.group,
                name=local_volume_of(need.logic_volume.name),
                size=need.size,
                intent=need.journal.intent,
                stale=need.journal.stale or None,
                copy=need.journal.copy or None,
                zero=need.zero,
                in_use=need.journal.given_up,
            )
            for need in needs
        ),
    )
    # A volume may take four commands: the stale copy deactivated and renamed, another purged for
    # its space.
    more = batch_time(4 * len(needs))
    with metrics.STEP_SECONDS.labels("create-local").time():
        said = ask_nodes.accepted_results(
            ctx,
            target,
            request.volumes,
            answers.CREATE,
            lambda: ctx.nodes.ask(target, task_names.CREATE_VOLUMES, request, LvResults, more=more),
        )
    for purged in said:
        if purged.outcome == "purged":
            ctx.audit.acted(
                "purge-local-volume",
                about_node(target),
                f"local volume {purged.group}/{purged.name} of node {target} removed permanently: "
                f"{purged.reason}",
                "TrashPurged",
                node=target,
                volume=purged.name,
            )
    by_name = {(done.group, done.name): done for done in said}
    result = {}
    for need, asked in zip(needs, request.volumes, strict=True):
        done = by_name.get((asked.group, asked.name))
        result[need.logic_volume.name] = CreatedLv(
            need.journal.intent,
            done
            or LvResult(
                asked.group,
                asked.name,
                "failed",
                f"node {target} did not say what became of it",
                transient=True,
            ),
        )
    return result


def _all_or_none(
    needs: Sequence[NeedsLocalVolume], made: dict[str, CreatedLv]
) -> dict[str, CreatedLv]:
    """Return `made`, with the old copies that share a pod failed together.

    The pod needs all of them on one node.
    """
    failed = {name: one.done for name, one in made.items() if one.done.outcome == "failed"}
    result = dict(made)
    for need in needs:
        name = need.logic_volume.name
        other = next((each for each in need.journal.together if each in failed), "")
        if need.journal.failback and other and name not in failed:
            why = f"{other}, which its pod uses too, was not restored: {failed[other].reason}"
            done = msgspec.structs.replace(
                made[name].done,
                outcome="failed",
                reason=why[:2000],
                transient=failed[other].transient,
            )
            result[name] = CreatedLv(made[name].intent, done)
    return result
