"""Kill at every step: each history ends as promised, and each planted bug is found.

Here one scenario, the main path; `make killpoints` runs all of them, and `.ci/run` does.
"""

import pytest

from tests.killpoints.catalogue import CATALOGUE
from tests.killpoints.runner import every_point
from tests.planted.catalogue import BUGS, KillPoints, planted


@pytest.mark.parametrize("name", ["rebuild"])
def test_every_point(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever dies, and wherever: the promises hold at the end, without anybody's help."""
    make, variants = CATALOGUE[name]
    report = every_point(make, variants)
    with capsys.disabled():
        print(f"\nkill points: {name}: {report}")
    assert report.histories >= len(report.points) > 10
    assert not report.broken, "\n".join(map(str, report.broken[:10]))


@pytest.mark.parametrize(
    ("bug", "scenario"),
    [
        (bug.name, finder.scenario)
        for bug in BUGS
        for finder in bug.found_by
        if isinstance(finder, KillPoints)
    ],
)
def test_a_planted_bug_is_found(
    bug: str, scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the bug in the product's code, at least one history does not end as promised."""
    make, variants = CATALOGUE[scenario]
    with planted(bug):
        report = every_point(make, variants, stop=True)
    with capsys.disabled():
        found = f"by {report.broken[0]}" if report.broken else "NOT FOUND"
        print(f"\nplanted: {bug}: after {report.histories} histories {found}"[:300])
    assert report.broken
