"""Every planted bug that a harness must find, with its finders.

The guards, which unit tests find, are in `tests.planted.guards`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest import mock

from carina_tasks.decisions import (
    colocation,
    guards,
    node_loss,
    orphans,
    pv_manifest,
    rebuild,
    selection,
)
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import lost_together, steps
from carina_tasks.flows.sweeps import local_volumes
from carina_tasks.kube.state import StateMap
from tests.planted import rebuilds, rules
from tests.planted.edits import Edit

Patch = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class KillPoints:
    """Found by a scenario of the kill points."""

    scenario: str

    def __str__(self) -> str:
        """Return the finder as the catalogue prints it."""
        return f"kill points ({self.scenario})"


@dataclass(frozen=True)
class Simulation:
    """Found by the simulation."""

    within: int = 0
    """Histories within which CI must find it; 0: it takes too many for CI, see
    docs/reliability.md.
    """
    first: int = 1
    """Seed of the first of them."""

    def __str__(self) -> str:
        """Return the finder as the catalogue prints it."""
        return f"simulation (within {self.within})" if self.within else "simulation"


@dataclass(frozen=True)
class Chaos:
    """Found by a chaos case on real parts, in a copy of the code."""

    edit: Edit

    def __str__(self) -> str:
        """Return the finder as the catalogue prints it."""
        return f"chaos ({self.edit.test.rpartition('::')[2]})"


@dataclass(frozen=True)
class Bug:
    """One planted bug."""

    name: str
    found_by: tuple[KillPoints | Simulation | Chaos, ...]
    plant: Patch | None = None
    """Patches the code of this process; None: `Chaos.edit` changes a copy of the code."""


def _chaos(where: str, old: str, new: str, test: str) -> Chaos:
    return Chaos(Edit(f"carina_tasks.{where}", old, new, f"tests/chaos/{test}"))


BUGS: Final = (
    # What Carina's own controller does
    Bug(
        "acts-on-one-tick",
        (Simulation(50),),
        rules.patched(node_loss, "not_ready", rules.one_tick),
    ),
    Bug("errors-are-absence", (Simulation(),), rules.errors_are_absence),
    Bug("no-journal", (Simulation(300),), rules.no_journal),
    Bug(
        "drops-metadata",
        (Simulation(20),),
        rules.patched(pv_manifest, "manifest_of", rules.without_metadata),
    ),
    Bug("renames", (Simulation(20),), rules.patched(pv_manifest, "replacement", rules.renamed)),
    Bug(
        "moves-what-is-not-annotated",
        (Simulation(50),),
        rules.patched(
            selection, "_only_annotated", lambda _: lambda snapshot, wanted, node: wanted
        ),
    ),
    Bug("panics", (Simulation(200),), rules.patched(selection, "of_deleted_node", rules.panics)),
    # A guard less
    Bug(
        "pause-ignored",
        (Simulation(100),),
        rules.patched(Context, "check_pause", lambda _: lambda self: None),
    ),
    Bug(
        "mass-failure-ignored",
        (
            Simulation(),
            _chaos(
                "flows.failover.loss:check_mass_failure",
                "isinstance(verdict, guards.GuardAllows)",
                "True",
                "test_nodes.py::test_two_of_three_nodes_fall_silent",
            ),
        ),
        rules.patched(guards, "mass_failure", lambda _: lambda *args: guards.GuardAllows("")),
    ),
    Bug("open-volume-removed", (Simulation(20),), rules.open_removed),
    Bug(
        "mark-age-ignored",
        (Simulation(), KillPoints("another sweep")),
        rules.patched(orphans, "OrphanRules", lambda o: lambda **r: o(**r | {"mark_age": 0.0})),
    ),
    Bug(
        "list-alone-marks-and-removes",
        (Simulation(),),
        rules.patched(local_volumes, "_judge", rules.first_look_counts),
    ),
    Bug(
        "list-alone-deletes-a-logic-volume",
        (
            _chaos(
                "flows.sweeps.logic_volumes:_judge",
                "return logic_volumes.judge_logic_volume("
                "logic_volume, pv, claim, snapshot.now, grace)",
                "return verdict",
                "test_api_server.py::test_lists_are_cut_short",
            ),
        ),
    ),
    Bug(
        "second-get-left-out",
        (Simulation(20),),
        rules.patched(lost_together, "confirm_absences", rules.confirmed_at_once),
    ),
    Bug(
        "others-unconfirmed",
        (Simulation(50, first=551),),
        rules.patched(lost_together, "confirm_absences", rules.others_unconfirmed),
    ),
    Bug("retention-ignored", (Simulation(),), rules.retention_ignored),
    Bug(
        "restored-is-an-orphan-again",
        (
            _chaos(
                "flows.sweeps.rules:orphan_rules",
                "conf.restore_hold",
                "0.0",
                "test_trash.py::test_a_wrong_removal_is_brought_back_while_paused",
            ),
        ),
    ),
    Bug("locked-lv-deactivated", (Simulation(50),), rules.locked_ignored),
    Bug(
        "cordon-ignored",
        (Simulation(500),),
        rules.patched(node_loss, "NotReadyRules", lambda o: lambda **r: o(**r | {"cordoned": 0.0})),
    ),
    Bug(
        "maintenance-ignored",
        (Simulation(300),),
        rules.patched(StateMap, "read", lambda o: lambda self: replace(o(self), maintenance={})),
    ),
    # What the watches show is a suspicion
    Bug(
        "acts-on-what-watches-show",
        (Simulation(),),
        rules.patched(ask_nodes, "confirmed", lambda _: lambda ctx, snapshot, nodes: snapshot),
    ),
    Bug("trusts-a-silent-watch", (Simulation(),), rules.silent_watch_trusted),
    # A step of a rebuild
    Bug(
        "unwiped-counts-as-created",
        (Simulation(), KillPoints("rebuild")),
        rebuilds.intent_tag_at_once,
    ),
    Bug(
        "unzeroed-counts-as-created",
        (Simulation(20), KillPoints("rebuild")),
        rebuilds.unzeroed_counts,
    ),
    Bug(
        "failback-forgets-the-newer-copy",
        (Simulation(300), KillPoints("failback")),
        rebuilds.newer_copy_forgotten,
    ),
    Bug(
        "failback-separates-the-volumes-of-a-pod",
        (KillPoints("failback"),),
        lambda: mock.patch.object(steps, "_parted_from", return_value=""),
    ),
    Bug(
        "left-behind-stays",
        (
            Simulation(),
            KillPoints("the node returns anywhere"),
            _chaos(
                "flows.failover.resume:_advance_journals",
                "colocation.separated",
                "(lambda *_: ())",
                "test_returns.py::test_a_failover_is_cut_off_between_the_journals_of_one_pod",
            ),
        ),
        lambda: mock.patch.object(colocation, "separated", return_value=()),
    ),
    Bug("finished-pod-deleted", (KillPoints("migrate"),), rebuilds.finished_pod_deleted),
    Bug("one-denial-ends-the-flow", (KillPoints("frozen"),), rebuilds.denial_ends_the_flow),
    Bug("no-rehearsal", (KillPoints("frozen"),), rebuilds.rehearsal_left_out),
    Bug(
        "status-stays",
        (
            KillPoints("rebuild"),
            _chaos(
                "decisions.rebuild:next_step",
                "not on_target and logic_volume.status",
                "False",
                "test_stand_ins.py::test_carinas_controller_and_agent_together",
            ),
        ),
        rebuilds.status_stays,
    ),
    Bug(
        "status-cleared-with-its-volume-id", (KillPoints("rebuild"),), rebuilds.whole_status_cleared
    ),
    Bug(
        "pv-deleted-without-retain",
        (KillPoints("rebuild"),),
        rebuilds.next_step(rebuild.RetainPersistentVolume(), rebuild.DeletePersistentVolume()),
    ),
    Bug(
        "journal-dropped-before-success",
        (KillPoints("rebuild"),),
        rebuilds.next_step(rebuild.SetSuccess(), rebuild.DropJournal()),
    ),
    Bug(
        "journal-dropped-before-the-event",
        (KillPoints("rebuild"),),
        rebuilds.event_after_the_journal,
    ),
    Bug("manifest-in-memory", (KillPoints("rebuild"),), rebuilds.manifest_in_memory),
    Bug(
        "annotation-left-on-the-claim",
        (KillPoints("rebuild"),),
        rebuilds.next_step(rebuild.RemoveClaimAnnotation(), rebuild.SetSuccess()),
    ),
    Bug(
        "deletions-without-preconditions",
        (KillPoints("another worker"),),
        rebuilds.deletes_without_preconditions,
    ),
    Bug("journal-no-shield", (KillPoints("a sweep in between"),), rebuilds.journal_no_shield),
    Bug(
        "dead-target-left-apart",
        (KillPoints("replan"),),
        lambda: mock.patch.object(selection, "leaving", return_value=[]),
    ),
)
BY_NAME: Final = {bug.name: bug for bug in BUGS}


def planted(name: str) -> AbstractContextManager[Any]:
    """Plant the bug of that name for the time of the block; none without a name."""
    bug = BY_NAME[name] if name else None
    return bug.plant() if bug is not None and bug.plant is not None else nullcontext()
