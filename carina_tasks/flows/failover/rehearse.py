"""Before anything of a volume is touched: would the API server take every write of its rebuild?

Each write is made as a dry run (dryRun=All), so that validation, policies and webhooks answer while
nothing has changed. What they refuse keeps the volume where it is, with those that its pods use
too. A webhook that takes no dry runs (sideEffects Some or Unknown) is not asked: the real write
shows its answer.

The volumes of a deleted node that the API server looks at alike (`decisions.admission_classes`) are
tried once for all of them: nothing of theirs can be kept any more. On a node that may come back the
data is there, so each of its volumes is tried itself; and so is each that shares a pod with
another, because one of them alone must not move.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import structlog

from carina_tasks.decisions import eviction, pv_manifest
from carina_tasks.decisions.admission_classes import admission_class
from carina_tasks.errors import ApiConflict, CarinaTasksError, DryRunUnsupported, NotFound
from carina_tasks.flows import one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.threads import spread
from carina_tasks.model.journal import Journal
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot


def rehearse(
    ctx: Context, snapshot: ClusterSnapshot, volumes: Mapping[str, tuple[LogicVolume, Journal]]
) -> dict[str, str]:
    """Return the volumes whose rebuild the API server would refuse, by name, with the reason.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        volumes: The volumes that are to be rebuilt, by name, each with the journal that it would
            get.

    Raises:
        CarinaTasksError: What concerns everything: the API server is away, the credentials are not
            known.
    """
    refused = {name: reason for name, one in volumes.items() if (reason := _cannot(*one))}
    classes: dict[Hashable, list[str]] = {}
    for name in (one for one in volumes if one not in refused):
        classes.setdefault(_class_of(snapshot, *volumes[name]), []).append(name)
    if not classes:
        return refused
    with ThreadPoolExecutor(min(len(volumes), ctx.settings.concurrency)) as pool:

        def tried(names: Sequence[str]) -> dict[str, _Answer]:
            answers = spread(pool, lambda name: _try_all(ctx, snapshot, *volumes[name]), names)
            return dict(zip(names, answers, strict=True))

        found = tried([names[0] for names in classes.values()])
        # An answer that is not a yes to everything is one about that volume alone.
        found |= tried(
            [
                name
                for first, *others in classes.values()
                if not found[first].all_taken
                for name in others
            ]
        )
    return refused | {name: answer.refusal for name, answer in found.items() if answer.refusal}


def replacement(ctx: Context, body: dict[str, object]) -> None:
    """Try to create the PV that replaces one which is about to be deleted.

    Raises what the API server would refuse it with.
    """
    _try(lambda: ctx.writes.rehearsal.create_persistent_volume(body))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the API server says of all writes of one volume."""

    refusal: str
    """Why it refuses one of them; empty when it refuses none."""
    all_taken: bool
    """It would take every one of them as it was sent."""


def _class_of(snapshot: ClusterSnapshot, logic_volume: LogicVolume, journal: Journal) -> Hashable:
    """Return what the volumes share of which one is tried for all."""
    if journal.kind == "rebuild" and not journal.together:
        return admission_class(snapshot, logic_volume, journal)
    return logic_volume.name


def _try_all(
    ctx: Context, snapshot: ClusterSnapshot, logic_volume: LogicVolume, journal: Journal
) -> _Answer:
    taken = True
    try:
        for step in _steps(ctx, snapshot, logic_volume, journal):
            try:
                _try(step)
            except (ApiConflict, NotFound):
                # It has changed since it was read: the real write looks again.
                taken = False
    except CarinaTasksError as exc:
        one_object.check(ctx, exc)
        refusal = f"the API server would refuse a step of its rebuild: {exc.message}"
        return _Answer(refusal, all_taken=False)
    return _Answer("", taken)


def _cannot(logic_volume: LogicVolume, journal: Journal) -> str:
    """Return why no request about this volume could be taken; empty when one could."""
    if reason := pv_manifest.annotations_too_large(logic_volume, journal):
        return reason
    if not pv_manifest.is_complete(journal.manifest, logic_volume.name):
        return (
            "its PersistentVolume has fields of a wrong type: no PersistentVolume can be made from "
            "it again"
        )
    return ""


def _steps(
    ctx: Context, snapshot: ClusterSnapshot, logic_volume: LogicVolume, journal: Journal
) -> Iterator[Callable[[], object]]:
    dry, pv = ctx.writes.rehearsal, snapshot.persistent_volumes[logic_volume.name]
    claim = snapshot.claims.get(pv.claim_key)
    yield lambda: dry.write_journal(logic_volume, journal)
    yield lambda: dry.clear_status(logic_volume, "")
    if pv.policy != "Retain":
        yield lambda: dry.retain(pv)
    yield lambda: dry.create_persistent_volume(pv_manifest.replacement(journal))
    yield lambda: dry.delete_persistent_volume(pv)
    if claim is not None:
        yield lambda: dry.annotate_claim(claim, 0.0)
    for pod in snapshot.pods_of(pv.claim_key):
        verdict = eviction.judge_pod(pod, journal.kind, alive=False)
        if pod.node == journal.source and isinstance(verdict, eviction.EvictPod) and verdict.delete:
            yield partial(dry.evict, pod)
            if pod.meta.finalizers:
                yield partial(dry.fail_pod, pod, "", snapshot.now)


def _try(step: Callable[[], object]) -> None:
    try:
        step()
    except DryRunUnsupported as exc:
        structlog.get_logger().info("a write could not be tried beforehand", reason=exc.message)
