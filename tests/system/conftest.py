"""One laboratory for all system tests, empty at the beginning of each."""

from collections.abc import Generator, Iterator

import pytest

from tests.lab.lab import Lab


@pytest.fixture(scope="session")
def whole_lab() -> Iterator[Lab]:
    """Bring the laboratory up once; about 12 s."""
    with Lab() as lab:
        yield lab


@pytest.fixture
def lab(whole_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Give a test the laboratory, empty and healthy: three Ready nodes, no volumes, Redis empty, no
    processes.

    It is cleaned before the test, so that one that fails can be looked at until the next begins.
    """
    whole_lab.clean()
    yield whole_lab
    if request.node.stash.get(FAILED, False):
        return
    whole_lab.end_processes()


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the product's logs, and where the rest lies, with each failure."""
    report = yield
    lab = getattr(item, "funcargs", {}).get("whole_lab")
    if report.failed and lab is not None:
        item.stash[FAILED] = True
        for title, text in lab.logs().items():
            report.sections.append((f"{title} (all of it: {lab.folder})", text))
    return report
