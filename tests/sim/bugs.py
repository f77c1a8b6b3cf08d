"""Bugs planted on purpose: the simulation is only worth something if it finds each of them.

The first are what Carina's own controller does (docs/reliability.md says where that was seen); the
others take one guard of the product away each. Every one is a patch of the product's code for the
time of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Final
from unittest import mock

import msgspec.structs

from carina_tasks.decisions import colocation, guards, node_loss, orphans, rebuild, selection
from carina_tasks.emulator.lvm import program
from carina_tasks.errors import CarinaTasksError
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import lost_node
from carina_tasks.flows.sweeps import local_volumes, removal
from carina_tasks.flows.sweeps import rules as sweep_rules
from carina_tasks.kube.api import Api, Listing
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.state import StateMap
from carina_tasks.lvm import commands, report
from carina_tasks.model.journal import Journal
from tests.killpoints.mutants import intent_tag_at_once, newer_copy_forgotten, unzeroed_counts
from tests.sim.control import ControlWorkers

Patch = Callable[[], AbstractContextManager[Any]]


def _patched(where: Any, name: str, change: Callable[[Any], Any]) -> Patch:
    return lambda: mock.patch.object(where, name, change(getattr(where, name)))


def _one_tick(original: Any) -> Any:
    return lambda node, lease, alive, now, rules: original(
        node, None, False, now, node_loss.NotReadyRules(0, 0, 0, 0)
    )


@contextmanager
def _errors_are_absence() -> Iterator[None]:
    """Take a list that failed for empty, and an object whose read failed for absent, as Carina's
    clean-up does.
    """

    def get(self: Cluster, path: str, parser: Any) -> Any:
        try:
            return original_get(self, path, parser)
        except CarinaTasksError:
            return None

    def whole(self: Api, path: str, query: Any = None) -> Listing:
        try:
            return original_list(self, path, query)
        except CarinaTasksError:
            if path.endswith(("/logicvolumes", "/persistentvolumes")):
                return Listing((), "0", self.read("/version")[1])
            raise

    original_get, original_list = Cluster._get, Api.list
    with mock.patch.object(Cluster, "_get", get), mock.patch.object(Api, "list", whole):
        yield


@contextmanager
def _no_journal() -> Iterator[None]:
    """Keep what is to be created again in the memory of the process alone."""
    memory: dict[str, dict[str, Any]] = {}
    to_json, from_json, start = Journal.to_json, Journal.from_json, ControlWorkers.start

    def forgetful(self: Journal) -> str:
        memory[self.intent] = self.manifest
        return to_json(msgspec.structs.replace(self, manifest={}))

    def remembering(text: str) -> Journal:
        journal = from_json(text)
        return msgspec.structs.replace(journal, manifest=memory.get(journal.intent, {}))

    def again(self: ControlWorkers, number: int) -> None:
        memory.clear()
        start(self, number)

    with (
        mock.patch.object(Journal, "to_json", forgetful),
        mock.patch.object(Journal, "from_json", staticmethod(remembering)),
        mock.patch.object(ControlWorkers, "start", again),
    ):
        yield


def _without_metadata(original: Any) -> Any:
    def manifest_of(pv: Any, policy: str) -> dict[str, Any]:
        manifest: dict[str, Any] = original(pv, policy)
        manifest["metadata"].pop("annotations", None)
        return manifest

    return manifest_of


def _renamed(original: Any) -> Any:
    def replacement(*arguments: Any) -> dict[str, Any]:
        body: dict[str, Any] = original(*arguments)
        body["metadata"]["name"] += "-1"
        return body

    return replacement


def _panics(original: Any) -> Any:
    def of_deleted_node(world: Any, node: str) -> Any:
        for volume in world.logic_volumes.values():
            if volume.node == node:
                _ = world.claims[f"{volume.namespace}/{volume.claim}"]
        return original(world, node)

    return of_deleted_node


@contextmanager
def _open_removed() -> Iterator[None]:
    """Nobody asks whether a volume is open: not the worker, not the selection in its commands, not
    lvm2 itself.
    """
    volume, may_go = report._volume, commands._may_go
    change, remove = program._CHANGES["lvchange"], program._CHANGES["lvremove"]

    def closed(group: str, lv: Any, in_pool: dict[str, int]) -> Any:
        return msgspec.structs.replace(volume(group, lv, in_pool), is_open=False)

    def careless(decision: Any) -> str:
        return may_go(decision).replace(' && lv_device_open!="open"', "")

    def blind(command: Any) -> Any:
        def run(state: Any, options: Any) -> str:
            held = [v for group in state.groups for v in group.volumes if v.open]
            for one in held:
                one.open = False
            try:
                said: str = command(state, options)
            finally:
                for one in held:
                    one.open = True
            return said

        return run

    with (
        mock.patch.object(report, "_volume", closed),
        mock.patch.object(commands, "_may_go", careless),
        mock.patch.dict(program._CHANGES, {"lvchange": blind(change), "lvremove": blind(remove)}),
    ):
        yield


@contextmanager
def _locked_ignored() -> Iterator[None]:
    """Do not look at what lvm is working on, neither in the decision nor in lvm's selection."""
    same = commands._same
    with (
        mock.patch.object(report, "at_work", return_value=""),
        mock.patch.object(commands, "_same", lambda volume, state="": same(volume, 'lv_name!=""')),
    ):
        yield


def _first_look_counts(original: Any) -> Any:
    def judge(ctx: Context, local: Any, inventory: Any, world: Any) -> Any:
        name = local.name.removeprefix("volume-")
        limits = sweep_rules.orphan_rules(ctx)
        return orphans.judge_local_volume(
            local,
            inventory,
            world.logic_volumes.get(name),
            world.persistent_volumes.get(name),
            world.now,
            limits,
        )

    return judge


def _confirmed_at_once(original: Any) -> Any:
    def confirm(ctx: Context, node: str) -> Any:
        first, _ = ctx.cluster.node(node)
        return node_loss.absent(node, first, first, 0.0)

    return confirm


@contextmanager
def _retention_ignored() -> Iterator[None]:
    """Purge at once, and tell the node that it may."""
    limits, request = sweep_rules.orphan_rules, removal.PurgeLvs

    def later(trashed_before: int, volumes: Any) -> Any:
        return request(trashed_before=trashed_before + 86400, volumes=volumes)

    def at_once(ctx: Context) -> Any:
        return replace(limits(ctx), retention=0.0)

    with (
        mock.patch.object(
            sweep_rules, "orphan_rules", lambda ctx: replace(limits(ctx), retention=0.0)
        ),
        mock.patch.object(removal, "PurgeLvs", later),
    ):
        yield


BUGS: Final[dict[str, Patch]] = {
    # Carina's
    "acts-on-one-tick": _patched(node_loss, "not_ready", _one_tick),
    "errors-are-absence": _errors_are_absence,
    "no-journal": _no_journal,
    "drops-metadata": _patched(rebuild, "manifest_of", _without_metadata),
    "renames": _patched(rebuild, "replacement", _renamed),
    "moves-what-is-not-annotated": _patched(
        selection, "_only_annotated", lambda _: lambda world, wanted, node: wanted
    ),
    "panics": _patched(selection, "of_deleted_node", _panics),
    # A guard less
    "pause-ignored": _patched(Context, "check_pause", lambda _: lambda self: None),
    "mass-failure-ignored": _patched(
        guards, "mass_failure", lambda _: lambda *arguments: guards.GuardAllows("")
    ),
    "open-volume-removed": _open_removed,
    "mark-age-ignored": _patched(
        orphans, "OrphanRules", lambda original: lambda **r: original(**r | {"mark_age": 0.0})
    ),
    "list-alone-marks-and-removes": _patched(local_volumes, "_judge", _first_look_counts),
    "second-get-left-out": _patched(lost_node, "confirm_absence", _confirmed_at_once),
    "retention-ignored": _retention_ignored,
    "unwiped-counts-as-created": intent_tag_at_once,
    "unzeroed-counts-as-created": unzeroed_counts,
    "locked-lv-deactivated": _locked_ignored,
    "cordon-ignored": _patched(
        node_loss, "NotReadyRules", lambda original: lambda **r: original(**r | {"cordoned": 0.0})
    ),
    "maintenance-ignored": _patched(
        StateMap, "read", lambda read: lambda self: replace(read(self), maintenance={})
    ),
    "failback-forgets-the-newer-copy": newer_copy_forgotten,
    "left-behind-stays": _patched(colocation, "parted", lambda _: lambda *arguments: ()),
}
"""Every planted bug by name."""


def planted(name: str) -> AbstractContextManager[Any]:
    """Plant the bug of that name for the time of the block; none without a name."""
    return BUGS[name]() if name else nullcontext()
