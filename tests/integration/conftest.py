"""One embedded default for all integration tests, empty at the beginning of each."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.integration.embedded import Embedded


@pytest.fixture(scope="session")
def whole_embedded() -> Iterator[Embedded]:
    """Bring it up once; about 5 s."""
    embedded = Embedded()
    try:
        yield embedded
    finally:
        embedded.stop()


@pytest.fixture
def embedded(whole_embedded: Embedded) -> Embedded:
    """Give a test the embedded default: three Ready nodes, no volumes, every process at work."""
    whole_embedded.reset()
    return whole_embedded


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the product's logs with each failure."""
    report = yield
    embedded = getattr(item, "funcargs", {}).get("whole_embedded")
    if report.failed and embedded is not None:
        for title, text in embedded.stage.logs().items():
            report.sections.append((title, text))
    return report
