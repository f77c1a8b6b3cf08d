"""Chaos runs only when it is asked for; each case has an empty laboratory and tells one line."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.chaos.proxy import Proxy
from tests.chaos.story import Case, Story
from tests.lab import parts
from tests.lab.lab import Lab
from tests.system.conftest import FAILED

HERE = Path(__file__).parent
ASKED = "CARINA_CHAOS"


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker of CI's selection."""
    config.addinivalue_line("markers", "short: a quick case of chaos, for CI")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave this folder out unless it is named, or the environment asks for it."""
    named = any(
        (config.invocation_params.dir / arg.split("::")[0]).is_relative_to(HERE)
        for arg in config.args
    )
    asked = os.environ.get(ASKED, "") not in {"", "0"}
    return True if collection_path.is_relative_to(HERE) and not (named or asked) else None


@pytest.fixture(scope="session")
def whole_lab() -> Iterator[Lab]:
    """Bring the laboratory up once; about 12 s."""
    parts.require(*parts.TIERS["system"])
    with Lab() as lab:
        yield lab


@pytest.fixture
def lab(whole_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Give a case the laboratory, empty and healthy."""
    whole_lab.clean()
    yield whole_lab
    whole_lab.end_processes()


@pytest.fixture
def case() -> Case:
    """Give a case its line."""
    return Case()


@pytest.fixture
def proxy(lab: Lab) -> Iterator[Proxy]:
    """Put a proxy before the API server; a story that has one sends the product through it."""
    with Proxy(lab.control_plane, lab.folder) as proxy:
        yield proxy


@pytest.fixture
def story(lab: Lab, case: Case, request: pytest.FixtureRequest) -> Story:
    """Give a case its beginning and its end."""
    return Story(
        lab, case, request.getfixturevalue("proxy") if "proxy" in request.fixturenames else None
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Print the case's line at its end, and the ends of the product's logs with a failure."""
    report = yield
    arguments = getattr(item, "funcargs", {})
    case, lab = arguments.get("case"), arguments.get("whole_lab")
    if case is not None and (report.when == "call" or report.failed):
        reporter = item.config.pluginmanager.get_plugin("terminalreporter")
        if call.excinfo is not None and report.failed:
            case.seen = (
                f"{case.seen} {call.excinfo.typename}: "
                f"{str(call.excinfo.value).splitlines()[0][:200]}"
            ).strip()
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(case.line("kept" if report.passed else "BROKEN"))
    if report.failed and lab is not None:
        item.stash[FAILED] = True
        for title, text in lab.logs(30).items():
            short = "\n".join(line[:300] for line in text.splitlines())
            report.sections.append((f"{title} (all of it: {lab.folder})", short))
    return report
