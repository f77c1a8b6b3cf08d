"""The sweep of local volumes: each node's LVs against the cluster's LogicVolumes and PersistentVolumes.

The order is part of the safety: inventories first, the cluster's lists after them. Carina makes the LogicVolume before the
LV, so an LV that an inventory shows has its LogicVolume in a list that is read later. And before a volume is removed, both
objects are asked for once more by name.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from carina_tasks.decisions import guards, orphans
from carina_tasks.errors import BadObject, CarinaTasksError
from carina_tasks.flows import observe
from carina_tasks.flows.context import Context
from carina_tasks.flows.results import LocalSweepNode, LocalSweepResult, shown
from carina_tasks.kube import paths
from carina_tasks.kube.cluster import parse
from carina_tasks.model import objects
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.model.messages import MarkVolumes, RemoveVolumes, Target, VolumesDone, batch_time
from carina_tasks.model.names import VOLUME_PREFIX
from carina_tasks.model.world import World
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_node, about_volume

MARK, REMOVE = "carina.volume.mark", "carina.volume.remove"


def sweep_local_volumes(ctx: Context, confirm: Mapping[str, int] | None = None) -> LocalSweepResult:
    """Mark and remove orphans on every Ready node, and report LogicVolumes whose local volume is missing.

    `confirm` is a person's yes to a number of orphans above the cap: ``{node: number}``.
    """
    ctx.check_pause()
    results: list[LocalSweepNode] = []
    ready: list[str] = []
    for raw in ctx.cluster.api.list(paths.NODES).items:
        try:
            node = parse(raw, objects.parse_node)
        except BadObject as exc:
            results.append(LocalSweepNode(str(exc.facts.get("name", "?")), "failed", exc.message))
            continue
        if node.ready == "True":
            ready.append(node.name)
        else:
            results.append(LocalSweepNode(node.name, "skipped", "the node is not Ready"))
    inventories = observe.inventories(ctx, ready)
    world = ctx.cluster.observe()
    for name, inventory in sorted(inventories.items()):
        if isinstance(inventory, CarinaTasksError):
            results.append(LocalSweepNode(name, "failed", inventory.message))
            continue
        try:
            results.append(_sweep_node(ctx, inventory, world, (confirm or {}).get(name, 0)))
        except CarinaTasksError as exc:
            # What went wrong on one node holds nobody else up.
            results.append(LocalSweepNode(name, "failed", exc.message))
    metrics.SWEEP_DONE.labels("local_volumes").set_to_current_time()
    return LocalSweepResult(nodes=tuple(results), unreadable=shown(world.unreadable))


def _sweep_node(ctx: Context, inventory: Inventory, world: World, confirmed: int) -> LocalSweepNode:
    node = inventory.node
    verdicts = [(local, _judge(ctx, local, inventory, world)) for local in inventory.volumes]
    to_mark = [local for local, verdict in verdicts if isinstance(verdict, orphans.Mark)]
    to_unmark = [local for local, verdict in verdicts if isinstance(verdict, orphans.Unmark)]
    to_remove = [(local, verdict.reason) for local, verdict in verdicts if isinstance(verdict, orphans.Remove)]
    missing = _report_missing(ctx, world, inventory)
    outcome, reason, failed = "swept", "", []

    volumes = sum(local.name.startswith(VOLUME_PREFIX) for local in inventory.volumes)
    cap = guards.orphan_cap(len(to_remove), volumes, ctx.settings.orphan_limit, ctx.settings.orphan_share, confirmed)
    if isinstance(cap, guards.Stop):
        ctx.audit.guarded("OrphanCap", f"node {node}: {cap.reason}", about_node(node))
        outcome, reason, to_remove = "refused", cap.reason, []
    if to_mark or to_unmark:
        request = MarkVolumes(
            at=int(world.now), mark=tuple(map(_target, to_mark)), unmark=tuple(map(_target, to_unmark))
        )
        answer = ctx.nodes.ask(node, MARK, request, VolumesDone, more=batch_time(len(to_mark) + len(to_unmark)))
        failed += [f"{v.group}/{v.name}: {v.reason}" for v in answer.volumes if v.outcome == "failed"]
    removed = _remove(ctx, inventory, to_remove, failed)
    return LocalSweepNode(
        node=node,
        outcome="refused" if outcome == "refused" else "swept",
        reason=reason,
        kept=sum(isinstance(verdict, orphans.Keep) for _, verdict in verdicts),
        marked=tuple(f"{v.group}/{v.name}" for v in to_mark),
        unmarked=tuple(f"{v.group}/{v.name}" for v in to_unmark),
        removed=tuple(removed),
        failed=tuple(failed),
        missing=missing,
    )


def _judge(ctx: Context, local: LocalVolume, inventory: Inventory, world: World) -> orphans.Verdict:
    name = local.name.removeprefix(VOLUME_PREFIX)
    if any(u.name == name for u in world.unreadable):
        return orphans.Keep("an object of its name cannot be read")
    rules = orphans.OrphanRules(ctx.settings.orphan_grace, ctx.settings.orphan_mark_age, ctx.settings.managed_groups)
    verdict = orphans.judge(local, inventory, world.logic_volumes.get(name), world.volumes.get(name), world.now, rules)
    if not isinstance(verdict, orphans.Mark | orphans.Remove):
        return verdict
    # A list can be stale or cut short by what stands between us and the API server: ask for these two by name.
    return orphans.judge(local, inventory, ctx.cluster.logic_volume(name), ctx.cluster.volume(name), world.now, rules)


def _remove(ctx: Context, inventory: Inventory, doomed: list[tuple[LocalVolume, str]], failed: list[str]) -> list[str]:
    if not doomed:
        return []
    node = inventory.node
    # The node checks mark, UUID and openness again, under its volume group's lock.
    newest = max(local.marked_at or 0 for local, _ in doomed)
    request = RemoveVolumes(marked_before=newest, volumes=tuple(_target(local) for local, _ in doomed))
    answer = ctx.nodes.ask(node, REMOVE, request, VolumesDone, more=batch_time(len(doomed)))
    reasons = {(local.group, local.name): reason for local, reason in doomed}
    removed = []
    for done in answer.volumes:
        name = f"{done.group}/{done.name}"
        if done.outcome == "removed":
            removed.append(name)
            ctx.audit.acted(
                "remove-local-volume", about_node(node),
                f"local volume {name} of node {node} removed: {reasons.get((done.group, done.name), '')}",
                "OrphanRemoved", node=node, volume=done.name,
            )  # fmt: skip
        elif done.outcome == "failed":
            failed.append(f"{name}: {done.reason}")
            structlog.get_logger().warning("an orphan was not removed", node=node, volume=name, reason=done.reason)
    return removed


def _report_missing(ctx: Context, world: World, inventory: Inventory) -> tuple[str, ...]:
    found = orphans.missing(world, inventory, ctx.settings.orphan_grace)
    metrics.MISSING.labels(inventory.node).set(len(found))
    for item in found:
        ctx.audit.warn(about_volume(item.volume), "LocalVolumeMissing", item.reason, node=inventory.node)
    return tuple(item.volume.name for item in found)


def _target(local: LocalVolume) -> Target:
    return Target(group=local.group, name=local.name, uuid=local.uuid)
