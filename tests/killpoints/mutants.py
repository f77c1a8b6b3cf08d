"""Bugs planted on purpose: the harness is only worth something if it finds each of them.

Each is a patch of the product's code and the entry of the catalogue that must break with it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import msgspec.structs

from carina_tasks.decisions import colocation, eviction, logic_volumes, orphans, rebuild, selection
from carina_tasks.flows import one_object
from carina_tasks.flows.failover import advance, planning, steps
from carina_tasks.flows.failover import events as telling
from carina_tasks.flows.sweeps import logic_volumes as sweep_logic
from carina_tasks.kube.api import Api
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.lvm import commands
from carina_tasks.model import well_known
from carina_tasks.model.journal import Journal
from tests.killpoints.sim import Sim

Patch = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Mutant:
    """One planted bug."""

    bug: str
    finder: str
    """Name of the entry of the catalogue that finds it."""
    patch: Patch


def _next_step(change: Callable[[rebuild.RebuildView, rebuild.Step], rebuild.Step]) -> Patch:
    original = rebuild.next_step
    return lambda: mock.patch.object(
        rebuild, "next_step", lambda view: change(view, original(view))
    )


def _status_stays() -> AbstractContextManager[Any]:
    original = rebuild.next_step

    def next_step(view: rebuild.RebuildView) -> rebuild.Step:
        step = original(view)
        return (
            original(replace(view, logic_volume=replace(view.logic_volume, status="")))
            if step == rebuild.ClearStatus()
            else step
        )

    return mock.patch.object(rebuild, "next_step", next_step)


def _whole_status_cleared() -> AbstractContextManager[Any]:
    def clear_status(self: ClusterWrites, volume: Any, message: str) -> Any:
        return self._status(volume, {"status": "", "code": 0, "volumeID": ""})

    return mock.patch.object(ClusterWrites, "clear_status", clear_status)


def _event_after_the_journal() -> AbstractContextManager[Any]:
    tell, act, stack = telling.finished, advance.act, ExitStack()

    def act_then_tell(ctx: Any, view: Any, step: Any) -> Any:
        result = act(ctx, view, step)
        if step == rebuild.DropJournal():
            tell(ctx, view.logic_volume, view.claim, view.journal)
        return result

    stack.enter_context(mock.patch.object(telling, "finished", mock.Mock(return_value=None)))
    stack.enter_context(mock.patch.object(advance, "act", act_then_tell))
    return stack


def _manifest_in_memory() -> AbstractContextManager[Any]:
    to_json, from_json, run = Journal.to_json, Journal.from_json, Sim._run
    memory: dict[str, dict[str, Any]] = {}

    def forgetful(self: Journal) -> str:
        memory[self.intent] = self.manifest
        return to_json(msgspec.structs.replace(self, manifest={}))

    def remembering(text: str) -> Journal:
        journal = from_json(text)
        return msgspec.structs.replace(journal, manifest=memory.get(journal.intent, {}))

    def new_process(self: Sim, task: str, node: str) -> Any:
        memory.clear()
        return run(self, task, node)

    stack = ExitStack()
    stack.enter_context(mock.patch.object(Journal, "to_json", forgetful))
    stack.enter_context(mock.patch.object(Journal, "from_json", staticmethod(remembering)))
    stack.enter_context(mock.patch.object(Sim, "_run", new_process))
    return stack


def _deletes_without_preconditions() -> AbstractContextManager[Any]:
    def delete(
        self: Api,
        path: str,
        *,
        uid: str,
        version: str = "",
        grace: int | None = None,
        dry_run: bool = False,
    ) -> None:
        if dry_run:
            return
        self._call("DELETE", path, body={"gracePeriodSeconds": grace} if grace is not None else {})

    return mock.patch.object(Api, "delete", delete)


def _touch_without_version() -> AbstractContextManager[Any]:
    def touch(self: ClusterWrites, claim: Any, now: float) -> None:
        body = {"metadata": {"uid": claim.meta.uid, "annotations": {well_known.TOUCH: str(now)}}}
        self._api.merge(
            f"/api/v1/namespaces/{claim.meta.namespace}/persistentvolumeclaims/{claim.meta.name}",
            body,
        )

    # A touch that is left is removed by the sweep: only without both guards does it stay.
    stack = ExitStack()
    stack.enter_context(mock.patch.object(ClusterWrites, "annotate_claim", touch))
    stack.enter_context(mock.patch.object(sweep_logic, "_untouch", mock.Mock()))
    return stack


def _mark_age_ignored() -> AbstractContextManager[Any]:
    original = orphans.OrphanRules
    return mock.patch.object(
        orphans, "OrphanRules", lambda **rules: original(**rules | {"mark_age": 0.0})
    )


def _journal_no_shield() -> AbstractContextManager[Any]:
    original = logic_volumes.judge_logic_volume

    def judge(volume: Any, pv: Any, claim: Any, now: float, grace: float) -> Any:
        return original(replace(volume, journal=None), pv, None, now, grace)

    return mock.patch.object(logic_volumes, "judge_logic_volume", judge)


def intent_tag_at_once() -> AbstractContextManager[Any]:
    """Tag the LV with its intent in the call that creates it, before lvm has wiped it."""
    original = commands.create

    def create(wanted: Any, size: int) -> Any:
        words = original(wanted, size)
        # One that is to be zeroed would be found out by that.
        return (
            words
            if wanted.zero
            else tuple(
                word.replace(well_known.TAG_CREATING, well_known.TAG_INTENT) for word in words
            )
        )

    return mock.patch.object(commands, "create", create)


def _finished_pod_deleted() -> AbstractContextManager[Any]:
    original = eviction.judge_pod

    def judge(pod: Any, kind: str, *, alive: bool) -> Any:
        return (
            eviction.EvictPod(pod, at_once=True)
            if pod.phase == "Succeeded"
            else original(pod, kind, alive=alive)
        )

    return mock.patch.object(eviction, "judge_pod", judge)


def _denial_ends_the_flow() -> AbstractContextManager[Any]:
    def check(ctx: Any, exc: Exception) -> None:
        raise exc

    return mock.patch.object(one_object, "check", check)


def _rehearsal_left_out() -> AbstractContextManager[Any]:
    stack = ExitStack()
    stack.enter_context(mock.patch.object(planning, "rehearse", mock.Mock(return_value={})))
    return stack


def newer_copy_forgotten() -> AbstractContextManager[Any]:
    """Take the copy that a failback left for any orphan: neither its way into the trash nor its
    time there is its own.
    """
    old_copy, judge_trash = orphans.old_copy, orphans.judge_trash

    def failed_back(logic_volume: Any) -> bool:
        return bool(
            logic_volume and logic_volume.history and logic_volume.history[-1].kind == "failback"
        )

    def no_old_copy(local: Any, node: str, logic_volume: Any) -> bool:
        return old_copy(local, node, logic_volume) and not failed_back(logic_volume)

    def soon(
        local: Any, inventory: Any, logic_volume: Any, volume: Any, now: float, rules: Any
    ) -> Any:
        short = replace(rules, old_copies=0.0) if failed_back(logic_volume) else rules
        return judge_trash(local, inventory, logic_volume, volume, now, short)

    stack = ExitStack()
    stack.enter_context(mock.patch.object(orphans, "old_copy", no_old_copy))
    stack.enter_context(mock.patch.object(orphans, "judge_trash", soon))
    return stack


def unzeroed_counts() -> AbstractContextManager[Any]:
    """Give an LV its intent once lvm has wiped it, whatever its pod can read of the device."""
    original = commands.confirm

    def confirm(volume: Any, intent: str, before: str, after: str) -> Any:
        return original(volume, intent, before, well_known.TAG_INTENT)

    return mock.patch.object(commands, "confirm", confirm)


MUTANTS = (
    Mutant(
        "an LV that is not zeroed is shown to a pod that reads the device",
        "rebuild",
        unzeroed_counts,
    ),
    Mutant("a failback forgets the newer copy", "failback", newer_copy_forgotten),
    Mutant(
        "a failback parts the volumes of a pod",
        "failback",
        lambda: mock.patch.object(steps, "_parted_from", return_value=""),
    ),
    Mutant("the finished pod is deleted", "migrate", _finished_pod_deleted),
    Mutant("one denial ends the flow", "frozen", _denial_ends_the_flow),
    Mutant("nothing is tried beforehand", "frozen", _rehearsal_left_out),
    Mutant("the status is not cleared before the PV goes", "rebuild", _status_stays),
    Mutant("the status is cleared with its volumeID", "rebuild", _whole_status_cleared),
    Mutant(
        "the PV is deleted without Retain",
        "rebuild",
        _next_step(
            lambda view, step: (
                rebuild.DeletePersistentVolume()
                if step == rebuild.RetainPersistentVolume()
                else step
            )
        ),
    ),
    Mutant(
        "the journal goes before status Success",
        "rebuild",
        _next_step(
            lambda view, step: rebuild.DropJournal() if step == rebuild.SetSuccess() else step
        ),
    ),
    Mutant("the journal goes before the owner is told", "rebuild", _event_after_the_journal),
    Mutant("the manifest of the PV is in memory alone", "rebuild", _manifest_in_memory),
    Mutant(
        "the touch is left on the claim",
        "rebuild",
        _next_step(
            lambda view, step: (
                rebuild.SetSuccess() if step == rebuild.RemoveClaimAnnotation() else step
            )
        ),
    ),
    Mutant(
        "deletions without UID and resourceVersion",
        "another worker",
        _deletes_without_preconditions,
    ),
    Mutant(
        "touches without resourceVersion, left ones not removed",
        "another worker",
        _touch_without_version,
    ),
    Mutant(
        "the sweep of LogicVolumes ignores the journal", "a sweep in between", _journal_no_shield
    ),
    Mutant(
        "what leaves a dead target is not planned together",
        "replan",
        lambda: mock.patch.object(selection, "leaving", return_value=[]),
    ),
    Mutant(
        "what a failover left behind is not fetched",
        "the node returns anywhere",
        lambda: mock.patch.object(colocation, "separated", return_value=()),
    ),
    Mutant("the age of a mark is ignored", "another sweep", _mark_age_ignored),
    Mutant("an unwiped LV counts as created", "rebuild", intent_tag_at_once),
)
