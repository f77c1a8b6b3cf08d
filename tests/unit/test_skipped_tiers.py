"""What a machine lacks is told once for each tier."""

from tests.conftest import skipped_tiers
from tests.lab.parts import LACKS


def test_one_line_for_each_tier():
    """However many files and tests: each tier once, with everything that it lacks, each once."""
    skipped = [
        ("tests/system/test_a.py::one", f"Skipped: {LACKS}not root (run as root); no lvm2"),
        ("tests/system/test_b.py::two[x]", f"Skipped: {LACKS}not root (run as root); no kwok"),
        ("tests/contract/test_list.py::three", f"Skipped: {LACKS}no kubectl"),
    ]
    assert skipped_tiers(skipped) == [
        "SKIPPED contract: 1 tests, lacking: no kubectl",
        "SKIPPED system: 2 tests, lacking: not root (run as root); no lvm2; no kwok",
    ]


def test_nothing_is_told_where_nothing_was_skipped():
    """A complete run ends without such lines."""
    assert skipped_tiers([]) == []
