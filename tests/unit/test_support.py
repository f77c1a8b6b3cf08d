"""The matrix of versions: what a run says, and the page that is made from it."""

import subprocess
import sys

import pytest

from tests.matrix import results, versions
from tests.matrix.__main__ import counts, environment, fits
from tests.matrix.results import Results, Row
from tests.matrix.versions import There
from tools.reference import support_page

ROOT = versions.paths.REPOSITORY


def run_of(*rows: Row) -> Results:
    """Make a run."""
    return Results(day="2026-11-28", release="0.1.0", machine="2 cores", rows=rows)


def row(version: str, outcome: results.Outcome = "passed", **more) -> Row:
    """Make a row about Kubernetes."""
    return Row(part="Kubernetes", version=version, outcome=outcome, tests=("tests/unit",), **more)


def test_support_page_is_up_to_date():
    """docs/support.md is made from the recorded run."""
    assert (ROOT / "docs" / "support.md").read_text() == support_page.page()


def test_every_version_is_in_the_recorded_run():
    """A version that is added to the matrix is in the page, if only as not tested; tests are those
    that the matrix names now.
    """
    recorded = {(one.part, one.version): one for one in results.read().rows}
    current = {(one.part, one.version): one.tests for one in versions.all_versions()}
    assert recorded.keys() == current.keys()
    for key, one in recorded.items():
        assert one.tests == current[key] or one.outcome == "not tested", key


def test_a_pass_needs_tests_that_passed():
    """What is recorded as passed has an exact version and at least one test, and no failure."""
    for one in results.read().rows:
        assert one.outcome == (
            results.outcome(one.passed, one.failed) if one.exact else "not tested"
        ), one
    assert results.outcome(0, 0) == "not tested"
    assert results.outcome(9, 1) == "failed"


def test_only_a_pass_is_called_tested():
    """A failure shows the names of its tests, and what was not there is not tested."""
    page = support_page.page(
        run_of(
            row("1.30", "not tested", why="no control plane"),
            row("1.34", passed=5, exact="v1.34.4"),
            row("1.37", "failed", passed=4, failed=1, broken=("a.py::test_x",), exact="v1.37.2"),
        )
    )
    assert "| 1.30 | not tested | none |" in page
    assert "| 1.34 (v1.34.4) | tested | 5 passed |" in page
    assert "| 1.37 (v1.37.2) | **1 failed** | 4 passed; failed: `test_x` |" in page


def test_what_passes_by_itself_is_named():
    """A second try mends a row, stays visible, and does not hide what fails twice."""
    broken = row("1.37", "failed", passed=4, failed=2, broken=("a.py::x", "a.py::y"), exact="v")
    once = results.repeated(broken, {"a.py::x", "a.py::z"})
    assert (once.outcome, once.passed, once.failed, once.broken) == ("failed", 5, 1, ("a.py::y",))
    both = results.repeated(once, {"a.py::y"})
    assert (both.outcome, both.passed, both.again) == ("passed", 6, ("a.py::x", "a.py::y"))
    page = support_page.page(run_of(both))
    assert "| tested | 6 passed, 2 of them when run again by themselves |" in page


def test_the_tests_of_the_matrix_exist():
    """Every row names tests that there are."""
    for one in versions.all_versions():
        for test in one.tests:
            path, _, name = test.partition("::")
            if path.startswith("tests/"):
                assert (ROOT / path).exists(), test
                assert not name or f"def {name}(" in (ROOT / path).read_text(), test


REPORT = """<testsuites><testsuite>
<testcase classname="tests.unit.a" name="good[1]"/>
<testcase classname="tests.unit.a" name="left"><skipped/></testcase>
<testcase classname="tests.unit.a" name="bad"><failure/></testcase>
<testcase classname="tests.unit.a" name="worse"><error/></testcase>
</testsuite></testsuites>"""


def test_counts(tmp_path):
    """Skipped is not passed, an error is a failure, and no report is no pass."""
    report = tmp_path / "report.xml"
    assert counts(report) == ([], ["pytest wrote no report"], 0)
    report.write_text(REPORT)
    assert counts(report) == (
        ["tests/unit/a.py::good[1]"],
        ["tests/unit/a.py::bad", "tests/unit/a.py::worse"],
        1,
    )


def test_a_repeated_row_leaves_the_others(tmp_path):
    """`--only` replaces its row; what was written is read again."""
    old, new = run_of(row("1.34", passed=1), row("1.37", passed=2)), run_of(row("1.37", passed=3))
    merged = results.merge(old, new)
    assert [(one.version, one.passed) for one in merged.rows] == [("1.34", 1), ("1.37", 3)]
    results.write(tmp_path / "build" / "matrix.json", merged)
    assert results.read(tmp_path / "build" / "matrix.json") == merged


def test_a_row_uses_its_own_program(tmp_path, monkeypatch):
    """The broker of a row comes before the machine's; another control plane is out of the way."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/elsewhere")
    env = environment(There("8", programs={"redis-server": "#!/bin/sh\necho v=8.0\n"}), tmp_path)
    assert "KUBEBUILDER_ASSETS" not in env
    assert env["CI"] == "true"
    said = subprocess.run(["sh", "-c", "redis-server"], env=env, capture_output=True, text=True)
    assert said.stdout == "v=8.0\n"


def test_a_version_is_what_the_program_reports(tmp_path):
    """A server of another major version is not taken for this one, nor one that does not run."""
    server = tmp_path / "valkey-server"
    server.write_text("#!/bin/sh\necho 'Server v=9.1.2 sha=0'\n")
    server.chmod(0o755)
    assert versions.said([str(server)], r"(?<=v=)[\d.]+") == "9.1.2"
    assert versions.said([str(tmp_path / "none")], ".*") == ""
    assert versions.said([sys.executable, "-c", "pass"], "v=") == ""


@pytest.mark.parametrize(("asked", "many"), [("valkey", 2), ("Valkey 8", 1), ("valkey 7", 0)])
def test_only(asked, many):
    """A part is all its versions; a name is one."""
    assert sum(fits(one, asked) for one in versions.all_versions()) == many
