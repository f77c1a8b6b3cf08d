"""Patches of the product's code for the time of a block: what Carina's own controller does, and a
rule or a guard less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import msgspec.structs

from carina_tasks.decisions import node_loss, orphans
from carina_tasks.emulator.lvm import program
from carina_tasks.errors import CarinaTasksError
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.sweeps import removal
from carina_tasks.flows.sweeps import rules as sweep_rules
from carina_tasks.kube import kinds
from carina_tasks.kube.api import Api
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.informer import WatchedKind
from carina_tasks.kube.kinds import Kind
from carina_tasks.kube.parsing import Objects
from carina_tasks.lvm import commands, report
from carina_tasks.model.journal import Journal
from tests.sim.control import ControlWorkers

Patch = Callable[[], AbstractContextManager[Any]]


def patched(where: Any, name: str, change: Callable[[Any], Any]) -> Patch:
    """Return what patches `name` of `where` with a change of the original."""
    return lambda: mock.patch.object(where, name, change(getattr(where, name)))


def one_tick(original: Any) -> Any:
    """Take a node that is NotReady at this moment for lost."""
    return lambda node, lease, alive, now, rules: original(
        node, None, False, now, node_loss.NotReadyRules(0, 0, 0, 0)
    )


@contextmanager
def errors_are_absence() -> Iterator[None]:
    """Take a list that failed for empty, and an object whose read failed for absent, as Carina's
    clean-up does.
    """

    def get(self: Cluster, path: str, parser: Any) -> Any:
        try:
            return original_get(self, path, parser)
        except CarinaTasksError:
            return None

    def whole(self: Api, kind: Kind[Any], query: Any = None, path: str = "") -> Objects[Any]:
        try:
            return original_list(self, kind, query, path)
        except CarinaTasksError:
            if kind in (kinds.LOGIC_VOLUMES, kinds.PERSISTENT_VOLUMES):
                return Objects(version="0", now=self.read("/version")[1])
            raise

    original_get, original_list = Cluster._get, Api.read_all
    with mock.patch.object(Cluster, "_get", get), mock.patch.object(Api, "read_all", whole):
        yield


@contextmanager
def no_journal() -> Iterator[None]:
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


def without_metadata(original: Any) -> Any:
    """Drop the annotations of the PV, as Carina does."""

    def manifest_of(pv: Any, policy: str) -> dict[str, Any]:
        manifest: dict[str, Any] = original(pv, policy)
        manifest["metadata"].pop("annotations", None)
        return manifest

    return manifest_of


def renamed(original: Any) -> Any:
    """Create the PV under another name, as Carina does."""

    def replacement(*arguments: Any) -> dict[str, Any]:
        body: dict[str, Any] = original(*arguments)
        body["metadata"]["name"] += "-1"
        return body

    return replacement


def panics(original: Any) -> Any:
    """Fail at a LogicVolume whose claim does not exist, as Carina does."""

    def of_deleted_node(world: Any, node: str) -> Any:
        for volume in world.logic_volumes.values():
            if volume.node == node:
                _ = world.claims[f"{volume.namespace}/{volume.claim}"]
        return original(world, node)

    return of_deleted_node


@contextmanager
def open_removed() -> Iterator[None]:
    """Nothing checks whether a volume is open: not the worker, not the selection in its commands,
    not
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
def locked_ignored() -> Iterator[None]:
    """Do not look at what lvm is working on, neither in the decision nor in lvm's selection."""
    same = commands._same
    with (
        mock.patch.object(report, "at_work", return_value=""),
        mock.patch.object(commands, "_same", lambda volume, state="": same(volume, 'lv_name!=""')),
    ):
        yield


def first_look_counts(original: Any) -> Any:
    """Mark and remove by the lists alone."""

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


def others_unconfirmed(original: Any) -> Any:
    """Confirm the node of the message, and take the others for deleted as they seem to be."""

    def confirm(ctx: Context, nodes: Any, more: Any = frozenset) -> Any:
        verdicts = original(ctx, nodes)
        seem = {node: node_loss.Lost(f"node {node} was deleted") for node in more()}
        return seem | verdicts

    return confirm


def confirmed_at_once(original: Any) -> Any:
    """Read deleted nodes once instead of twice."""

    def confirm(ctx: Context, nodes: Any, more: Any = frozenset) -> Any:
        found = {node: ctx.cluster.node(node)[0] for node in {*nodes, *more()}}
        return {node: node_loss.absent(node, one, one, 0.0) for node, one in found.items()}

    return confirm


@contextmanager
def retention_ignored() -> Iterator[None]:
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


@contextmanager
def silent_watch_trusted() -> Iterator[None]:
    """Rely on watches that have shown nothing for however long, and read nothing again."""
    silent = lambda self: None if self._heard is None else 0.0  # noqa: E731
    confirmed = lambda ctx, snapshot, nodes: snapshot  # noqa: E731
    with (
        mock.patch.object(WatchedKind, "silent", silent),
        mock.patch.object(ask_nodes, "confirmed", confirmed),
    ):
        yield
