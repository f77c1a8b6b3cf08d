"""Patches of the product's code for the time of a block: faults in the steps of a rebuild."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any
from unittest import mock

import msgspec.structs

from carina_tasks.decisions import eviction, logic_volumes, orphans, rebuild
from carina_tasks.flows import one_object
from carina_tasks.flows.failover import events as telling
from carina_tasks.flows.failover import planning, stepping
from carina_tasks.kube.api import Api
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.lvm import commands
from carina_tasks.model import well_known
from carina_tasks.model.journal import Journal
from tests.harness.sim import Sim

Patch = Callable[[], AbstractContextManager[Any]]


def next_step(found: rebuild.Step, taken: rebuild.Step) -> Patch:
    """Return what lets a rebuild do `taken` where `found` is the next step."""
    original = rebuild.next_step

    def changed(view: rebuild.RebuildView) -> rebuild.Step:
        step = original(view)
        return taken if step == found else step

    return lambda: mock.patch.object(rebuild, "next_step", changed)


def status_stays() -> AbstractContextManager[Any]:
    """Replace the PV while the LogicVolume still has a status."""
    original = rebuild.next_step

    def next_step(view: rebuild.RebuildView) -> rebuild.Step:
        step = original(view)
        return (
            original(
                replace(view, logic_volume=msgspec.structs.replace(view.logic_volume, status=""))
            )
            if step == rebuild.ClearStatus()
            else step
        )

    return mock.patch.object(rebuild, "next_step", next_step)


def whole_status_cleared() -> AbstractContextManager[Any]:
    """Clear the LogicVolume's status with its volumeID."""

    def clear_status(self: ClusterWrites, volume: Any, message: str) -> Any:
        return self._status(volume, {"status": "", "code": 0, "volumeID": ""})

    return mock.patch.object(ClusterWrites, "clear_status", clear_status)


def event_after_the_journal() -> AbstractContextManager[Any]:
    """Write the Event for the owner after the journal was dropped."""
    tell, act, stack = telling.finished, stepping.act, ExitStack()

    def act_then_tell(ctx: Any, view: Any, step: Any) -> Any:
        result = act(ctx, view, step)
        if step == rebuild.DropJournal():
            tell(ctx, view.logic_volume, view.claim, view.journal)
        return result

    stack.enter_context(mock.patch.object(telling, "finished", mock.Mock(return_value=None)))
    stack.enter_context(mock.patch.object(stepping, "act", act_then_tell))
    return stack


def manifest_in_memory() -> AbstractContextManager[Any]:
    """Keep the PV's manifest in the memory of the process instead of the journal."""
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


def deletes_without_preconditions() -> AbstractContextManager[Any]:
    """Delete without UID and resourceVersion."""

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


def journal_no_shield() -> AbstractContextManager[Any]:
    """Let the sweep of LogicVolumes ignore the journal."""
    original = logic_volumes.judge_logic_volume

    def judge(volume: Any, pv: Any, claim: Any, now: float, grace: float) -> Any:
        return original(msgspec.structs.replace(volume, journal=None), pv, None, now, grace)

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


def finished_pod_deleted() -> AbstractContextManager[Any]:
    """Delete a pod that has run to its end."""
    original = eviction.judge_pod

    def judge(pod: Any, kind: str, *, alive: bool) -> Any:
        return (
            eviction.EvictPod(pod, at_once=True)
            if pod.phase == "Succeeded"
            else original(pod, kind, alive=alive)
        )

    return mock.patch.object(eviction, "judge_pod", judge)


def denial_ends_the_flow() -> AbstractContextManager[Any]:
    """Let an error of one object end the whole flow."""

    def check(ctx: Any, exc: Exception) -> None:
        raise exc

    return mock.patch.object(one_object, "check", check)


def rehearsal_left_out() -> AbstractContextManager[Any]:
    """Begin without the dry runs."""
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
