"""The LVs of several volumes, asked of their target node in one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec.structs

from carina_tasks.decisions import answers
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.steps import NeedsLocalVolume
from carina_tasks.model import task_names
from carina_tasks.model.messages import CreateLvs, LvResult, LvResults, LvToCreate, batch_time
from carina_tasks.model.names import local_volume_of
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_node

BATCH = 50
"""Volumes of one request to a node: a node that falls silent is noticed within two minutes, however
many there are.
"""


@dataclass(frozen=True, slots=True)
class CreatedLv:
    """A node's answer about the LV of one logic volume, and the intent it was asked for."""

    intent: str
    done: LvResult


def create(ctx: Context, target: str, needs: Sequence[NeedsLocalVolume]) -> dict[str, CreatedLv]:
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


def all_or_none(
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
