"""Old copies made the volume again, because an operator asks for it.

The journal and the steps of a rebuild.

Instead of creating an LV, the node restores the old copy, which its UUID identifies. The LV that
was in use becomes an old copy itself, so a failback can be undone by another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from carina_tasks.decisions import failback as decide
from carina_tasks.decisions import placement
from carina_tasks.errors import BadInput, CarinaTasksError
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.advance import advance_all
from carina_tasks.flows.failover.loss import check_mass_failure
from carina_tasks.flows.failover.lost_node import count_logic_volumes, count_run, finish, guarded
from carina_tasks.flows.failover.planning import Cause, Copies, begin
from carina_tasks.flows.failover.results import FailoverResult, VolumeResult, with_claims
from carina_tasks.model import names
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.progress import timestamp
from carina_tasks.model.snapshot import ClusterSnapshot

Copy = tuple[LocalVolume, LogicVolume]


def failback(
    ctx: Context, node: str, wanted: Sequence[str], confirmed: Sequence[str]
) -> FailoverResult:
    """Make old copies on `node` the volume again.

    Args:
        ctx: The outside world.
        node: The node that holds the old copies; registered and Ready, under whatever name.
        wanted: LogicVolumes, claims (``namespace/name``) or UUIDs of LVs; none: every volume that
            has an old copy there.
        confirmed: Names of LogicVolumes, typed out by the operator: nothing happens until each
            volume is among them.

    Raises:
        BadInput: A name that fits nothing, or more than one old copy.
        CarinaTasksError: The node or the cluster did not answer, so nothing was decided.
    """
    names.node_name(node)
    return count_run(
        "failback", guarded(ctx, node, lambda: _failback(ctx, node, wanted, confirmed))
    )


def _failback(
    ctx: Context, node: str, wanted: Sequence[str], confirmed: Sequence[str]
) -> FailoverResult:
    # One node that was approved alone is no excuse: the volumes leave others.
    ctx.check_pause()
    seen = ctx.cluster.observe()
    moved = {
        logic_volume.node for logic_volume in seen.logic_volumes.values() if logic_volume.history
    }
    snapshot = ask_nodes.confirmed(ctx, seen, {node, *moved})
    check_mass_failure(ctx, snapshot)
    inventory = ask_nodes.inventories(ctx, [node])[node]
    if isinstance(inventory, CarinaTasksError):
        raise inventory
    copies = _chosen(node, tuple(decide.old_copies(inventory, snapshot)), wanted)
    if not copies:
        return FailoverResult(node, "refused", f"node {node} holds no old copy")
    results: list[VolumeResult] = []
    possible: list[Copy] = []
    for lv, logic_volume in copies:
        if why := _forbids(ctx, snapshot, inventory, lv, logic_volume):
            results.append(VolumeResult(logic_volume.name, "refused", why, logic_volume.node, node))
        else:
            possible.append((lv, logic_volume))
    if unconfirmed := [copy for copy in possible if copy[1].name not in confirmed]:
        return FailoverResult(
            node, "refused", _ask(node, unconfirmed), with_claims(snapshot, results)
        )
    for source in sorted({logic_volume.node for _, logic_volume in possible}):
        of_source = [copy for copy in possible if copy[1].node == source]
        results += _of_source(ctx, snapshot, inventory, source, of_source)
    count_logic_volumes(results)
    done = sum(result.outcome == "failed-back" for result in results)
    outcome: Literal["done", "unfinished", "refused"] = "unfinished" if possible else "refused"
    if done == len(results):
        outcome = "done"
    reason = f"an operator asked for {len(copies)} old copies of node {node}"
    return FailoverResult(node, outcome, reason, with_claims(snapshot, results))


def _chosen(node: str, copies: Sequence[Copy], wanted: Sequence[str]) -> list[Copy]:
    """Return the old copies that the operator named, one for each volume."""
    named = [copy for copy in copies if not wanted or _names(copy) & set(wanted)]
    unknown = [word for word in wanted if not any(word in _names(copy) for copy in copies)]
    if unknown:
        there = ", ".join(sorted(logic_volume.name for _, logic_volume in copies)[:10]) or "none"
        raise BadInput(
            f"node {node} holds no old copy of {', '.join(unknown)}; it holds old copies of: "
            f"{there}"
        )
    for _, logic_volume in named:
        same = [lv.uuid for lv, other in named if other.name == logic_volume.name]
        if len(same) > 1:
            raise BadInput(
                f"node {node} holds {len(same)} old copies of {logic_volume.name}: name one by its "
                f"UUID (`carina plan {node} --failback` shows them): {', '.join(sorted(same))}"
            )
    return named


def _names(copy: Copy) -> set[str]:
    lv, logic_volume = copy
    return {
        logic_volume.name,
        logic_volume.claim_key,
        lv.uuid,
        names.trash_of(lv.uuid),
    }


def _forbids(
    ctx: Context,
    snapshot: ClusterSnapshot,
    inventory: Inventory,
    lv: LocalVolume,
    logic_volume: LogicVolume,
) -> str:
    """Return why the old copy cannot be the volume again as things are, empty when it can."""
    conf = ctx.settings
    verdict = decide.judge_copy(
        lv, inventory, snapshot, logic_volume, conf.reserve, zero_block=conf.zero_block
    )
    return verdict.reason if isinstance(verdict, decide.FailbackImpossible) else ""


def _ask(node: str, copies: Iterable[Copy]) -> str:
    """Return what the operator is to confirm: what is used again, and what becomes the old copy."""
    lines = [
        f"{logic_volume.claim_key}: confirm with {logic_volume.name}. The old "
        f"copy on {node} (LV {lv.uuid}) has data until "
        f"{_when(decide.data_until(logic_volume, node))}; what was written on {logic_volume.node} "
        f"since {_when(decide.in_use_since(logic_volume))} becomes the old copy"
        for lv, logic_volume in copies
    ]
    return "; ".join(lines)


def _when(seconds: int) -> str:
    return timestamp(seconds) if seconds else "an unknown time"


def _of_source(
    ctx: Context,
    snapshot: ClusterSnapshot,
    inventory: Inventory,
    source: str,
    copies: Sequence[Copy],
) -> list[VolumeResult]:
    """Fail the volumes back that are in use on `source`, as far as their pods could follow them."""
    node = inventory.node
    reports = ask_nodes.inventories(ctx, [source])[source]
    if isinstance(reports, CarinaTasksError):
        reason = f"which LV is in use on {source} is unknown: {reports.message}"
        return [
            VolumeResult(logic_volume.name, "refused", reason, source, node)
            for _, logic_volume in copies
        ]
    locals_ = {logic_volume.name: lv for lv, logic_volume in copies}
    room = decide.inventory_without(inventory, tuple(locals_.values()))
    rules = placement.PlacementRules(reserve=ctx.settings.reserve)
    verdicts = placement.plan(
        snapshot,
        {node: room},
        [logic_volume for _, logic_volume in copies],
        source,
        rules,
        only=node,
    )
    results = [
        VolumeResult(v.logic_volume.name, "refused", v.reason, source, node)
        for v in verdicts
        if isinstance(v, placement.Unschedulable)
    ]
    places = [verdict for verdict in verdicts if isinstance(verdict, placement.Placement)]
    both = {
        place.logic_volume.name: _copies(
            snapshot, reports, place.logic_volume, locals_[place.logic_volume.name]
        )
        for place in places
    }
    uid = snapshot.nodes[source].meta.uid if source in snapshot.nodes else ""
    reason = f"an operator had the old copy on {node} restored"
    cause = Cause("failback", source, uid, reason)
    views, left = begin(ctx, snapshot, places, lambda _: cause, both)
    targets = {name: view.journal.target for name, view in views.items()}
    sources = dict.fromkeys(targets, source)
    return results + left + finish(ctx, advance_all(ctx, targets, sources, views))


def _copies(
    snapshot: ClusterSnapshot, source: Inventory, logic_volume: LogicVolume, old: LocalVolume
) -> Copies:
    in_use = source.find(logic_volume.group, names.local_volume_of(logic_volume.name))
    pv = snapshot.persistent_volumes[logic_volume.name]
    smaller = old.size < logic_volume.rebuilt_size(pv.capacity) and not pv.block
    return Copies(old.uuid, in_use.uuid if in_use else "", old.size if smaller else 0)
