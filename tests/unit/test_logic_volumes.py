"""Which LogicVolumes without a PV are deleted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.decisions.logic_volumes import (
    DeleteLogicVolume,
    FinishDeletion,
    KeepLogicVolume,
    judge_logic_volume,
)
from carina_tasks.model import objects, well_known
from tests.builders.kubernetes import NOW, at, claim, journal, logic_volume, pv

GRACE = 600.0


def verdict(raw, volume=None, held=None):
    """Judge a raw LogicVolume."""
    return judge_logic_volume(
        objects.parse_logic_volume(raw),
        objects.parse_persistent_volume(volume) if volume else None,
        objects.parse_claim(held) if held else None,
        NOW,
        GRACE,
    )


def test_one_without_a_pv_older_than_the_grace_is_deleted():
    """Nothing needs it any more: deleted."""
    assert verdict(logic_volume()) == DeleteLogicVolume("it has no PersistentVolume")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"created": NOW - 599}, "younger"),
        ({"journal": journal()}, "being rebuilt"),
        ({"journal": "not a journal"}, "being rebuilt"),
        ({"manage": "raw"}, "raw"),
        ({"manage": "host"}, "host"),
        ({"manage": None}, "not set"),
        ({"ownerReferences": [{"kind": "LogicVolume", "name": "half", "uid": "u"}]}, "half"),
    ],
)
def test_what_is_young_journalled_owned_or_not_ours_is_kept(facts, why):
    """Each of these alone keeps it, with its reason."""
    kept = verdict(logic_volume(**facts))
    assert isinstance(kept, KeepLogicVolume)
    assert why in kept.reason


def test_a_pv_keeps_it_even_in_deletion():
    """With a PV it is never ours to touch."""
    assert isinstance(
        verdict(logic_volume(deletionTimestamp=at(NOW - 9999)), pv()), KeepLogicVolume
    )


def test_a_claim_that_still_names_it_keeps_it():
    """A PV deleted by mistake leaves its claim behind; the data is kept for the operator who
    creates the PV
    again.
    """
    assert isinstance(verdict(logic_volume(), held=claim()), KeepLogicVolume)


def test_a_claim_of_another_volume_keeps_nothing():
    """A claim of the same name that is bound elsewhere does not hold it."""
    other = claim()
    other["spec"]["volumeName"] = "pvc-other"
    assert isinstance(verdict(logic_volume(), held=other), DeleteLogicVolume)


def test_one_in_deletion_is_left_to_its_finalizers_owner_then_helped():
    """For the grace Carina's agent has the first word, after it we take the finalizer off."""
    assert isinstance(verdict(logic_volume(deletionTimestamp=at(NOW - 599))), KeepLogicVolume)
    assert isinstance(verdict(logic_volume(deletionTimestamp=at(NOW - 600))), FinishDeletion)


def test_somebody_elses_finalizer_is_not_ours_to_take():
    """Hanging on another's finalizer alone, it is left."""
    assert isinstance(
        verdict(logic_volume(deletionTimestamp=at(NOW - 9999), finalizers=["backup.example/x"])),
        KeepLogicVolume,
    )


@given(
    has_pv=st.booleans(),
    has_journal=st.booleans(),
    owned=st.booleans(),
    manage=st.sampled_from(["lvm", "raw", "host", None, ""]),
    age=st.integers(0, 1200),
    deleting=st.one_of(st.none(), st.integers(0, 1200)),
    claimed=st.booleans(),
)
def test_nothing_that_somebody_may_want_is_deleted(
    has_pv, has_journal, owned, manage, age, deleting, claimed
):
    """Delete and Help only ever meet an old, plain, free LogicVolume without PV and journal."""
    meta = {"ownerReferences": [{"kind": "X", "name": "x", "uid": "u"}]} if owned else {}
    meta |= {} if deleting is None else {"deletionTimestamp": at(NOW - deleting)}
    raw = logic_volume(
        created=NOW - age, manage=manage, journal=journal() if has_journal else None, **meta
    )
    got = verdict(raw, pv() if has_pv else None, claim() if claimed else None)
    free = not has_pv and not has_journal and not owned and manage == "lvm"
    assert isinstance(got, DeleteLogicVolume) == (
        free and deleting is None and not claimed and age >= GRACE
    )
    assert isinstance(got, FinishDeletion) == (free and deleting is not None and deleting >= GRACE)


def test_the_names_are_carinas():
    """The rule hangs on Carina's own constants, spelt as in its CRDs."""
    assert (well_known.MANAGE_TYPE, well_known.LOGIC_VOLUME_FINALIZER) == (
        "carina.io/volume-manage-type",
        "carina.storage.io/logicvolume",
    )
