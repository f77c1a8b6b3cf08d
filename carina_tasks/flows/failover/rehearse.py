"""Before anything of a volume is touched: would the API server take every write of its rebuild?

Each write is made as a dry run (dryRun=All), so that validation, policies and webhooks answer while
nothing has changed. What they refuse keeps the volume where it is, with those that its pods use
too. A webhook that takes no dry runs (sideEffects Some or Unknown) is not asked: the real write
shows its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from carina_tasks.decisions import eviction, pv_manifest
from carina_tasks.errors import ApiConflict, CarinaTasksError, DryRunUnsupported, NotFound
from carina_tasks.flows import one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.threads import spread
from carina_tasks.model.journal import Journal
from carina_tasks.model.objects import LogicVolume, PersistentVolume
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
    if not volumes:
        return {}
    with ThreadPoolExecutor(min(len(volumes), ctx.settings.concurrency)) as pool:
        reasons = spread(pool, lambda item: _refusal(ctx, snapshot, *item), volumes.values())
        return {name: reason for name, reason in zip(volumes, reasons, strict=True) if reason}


def replacement(ctx: Context, pv: PersistentVolume, body: dict[str, object]) -> None:
    """Try to delete the PV and to create the one in its place.

    Raises what the API server would refuse it with.
    """
    dry = ctx.writes.rehearsal
    for step in (
        lambda: dry.create_persistent_volume(body),
        lambda: dry.delete_persistent_volume(pv),
    ):
        _try(step)


def _refusal(
    ctx: Context, snapshot: ClusterSnapshot, logic_volume: LogicVolume, journal: Journal
) -> str:
    if reason := pv_manifest.annotations_too_large(logic_volume, journal):
        return reason
    if not pv_manifest.is_complete(journal.manifest, logic_volume.name):
        return (
            "its PersistentVolume has fields of a wrong type: no PersistentVolume can be made from "
            "it again"
        )
    try:
        for step in _steps(ctx, snapshot, logic_volume, journal):
            try:
                _try(step)
            except (ApiConflict, NotFound):
                # It has changed since it was read: the real write looks again.
                continue
    except CarinaTasksError as exc:
        one_object.check(ctx, exc)
        return f"the API server would refuse a step of its rebuild: {exc.message}"
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
