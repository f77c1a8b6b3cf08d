"""The journal annotation: written, read back, and refused when it is not one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.decisions import rebuild
from carina_tasks.errors import BadObject
from carina_tasks.model import objects
from carina_tasks.model.journal import Journal
from tests.builders.kubernetes import done, journal, logic_volume
from tests.builders.rebuild import Model

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_journal_comes_back_as_it_was(manifest):
    """Whatever stands in the manifest, fields of tomorrow included, survives the annotation."""
    before = journal(manifest=manifest)
    assert Journal.from_json(before.to_json()) == before


@pytest.mark.parametrize(
    "change",
    [
        {"version": "2"},
        {"version": 0},
        {"intent": "x"},
        {"intent": "01234567-89ab-cdef-0123-456789abcdef\n"},
        {"kind": "repair"},
        {"source": ""},
        {"target": "N 2"},
        {"target": "n2\n"},
        {"target": 5},
        {"manifest": []},
        {"started": "yesterday"},
        {"more": 1},
    ],
)
def test_a_field_that_is_wrong_or_unknown_makes_it_unreadable(change):
    """A later release's journal, or one edited manually, is no journal to this release."""
    with pytest.raises(BadObject, match="does not parse"):
        Journal.from_json(json.dumps(json.loads(journal().to_json()) | change))


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", '"x"', "[" * 100_000, "\ud800", '{"intent": NaN}']
)
def test_nonsense_is_unreadable_and_nothing_worse(text):
    """No text makes anything but BadObject."""
    with pytest.raises(BadObject):
        Journal.from_json(text)


def test_an_unreadable_journal_still_counts_as_one():
    """The volume is being rebuilt: sweeps leave it alone, and the reason is reported."""
    volume = objects.parse_logic_volume(logic_volume(journal="{"))
    assert volume.journal is None
    assert volume.journalled
    assert "does not parse" in volume.journal_error


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: m.clear(),
        lambda m: m.pop("spec"),
        lambda m: m.update(metadata=None),
        lambda m: m.update(metadata=[1]),
        lambda m: m["metadata"].update(name="pvc-other"),
        lambda m: m["metadata"].update(annotations="x"),
        lambda m: m["spec"].pop("csi"),
        lambda m: m["spec"].update(csi="x"),
        lambda m: m["spec"]["csi"].update(volumeAttributes=[]),
        lambda m: m["spec"].update(capacity=5),
        lambda m: m["spec"].update(claimRef="x"),
    ],
)
@pytest.mark.parametrize("gone", [True, False])
def test_a_manifest_that_makes_no_pv_is_refused_before_anything_is_done(spoil, gone):
    """People can edit annotations: such a journal is the operator's business, whatever else is
    there.
    """
    plan = journal()
    spoil(plan.manifest)
    model = Model(journal=plan, local=done(), status="")
    if gone:
        model.pv = None
    assert isinstance(model.next(), rebuild.RefuseRebuild)
