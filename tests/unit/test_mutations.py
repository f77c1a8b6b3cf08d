"""The catalogue of guards is about the code as it is; taking them out is `make mutations`."""

from pathlib import Path

import pytest

from carina_tasks.settings import FIELDS
from tests.planted.catalogue import BUGS, Chaos
from tests.planted.edits import ROOT, copy_of_code, file_of, places_of, survives
from tests.planted.guards import GUARDS, table

EDITS = [edit for guard in GUARDS for edit in guard.edits]
CHAOS = [finder.edit for bug in BUGS for finder in bug.found_by if isinstance(finder, Chaos)]


@pytest.mark.parametrize("edit", EDITS + CHAOS, ids=lambda edit: f"{edit.where}:{edit.test}")
def test_each_place_and_each_test_is_there(edit):
    """The code that an edit replaces is in its function once, and its test exists."""
    assert len(places_of(edit, (ROOT / file_of(edit)).read_text())) == 1
    file, _, name = edit.test.partition("::")
    folder = ROOT if file.startswith("tests/") else ROOT / "tests/unit"
    assert f"def {name}(" in (folder / file).read_text() or not name


def test_the_settings_are_there():
    """A guard's settings are settings."""
    named = {one for guard in GUARDS for one in guard.setting.split(", ") if one.isupper()}
    assert named <= {name.upper() for name in FIELDS}


def test_the_table_is_up_to_date():
    """docs/reliability.md has the table; `python -m tests.mutations --table` prints it."""
    assert table() in (ROOT / "docs/reliability.md").read_text()


def test_a_guard_that_no_test_misses_is_told(tmp_path: Path):
    """One edit that a test finds, and the same one with a test that looks at something else."""
    copy = copy_of_code(tmp_path)
    edit = next(e for e in EDITS if e.test.endswith("test_no_age_replaces_the_mark"))
    assert survives(edit, copy) == ""
    blind = type(edit)(
        edit.where,
        edit.old,
        edit.new,
        "test_orphans.py::test_a_marked_volume_in_use_loses_its_mark",
    )
    assert survives(blind, copy) == "the test passes without it"
