"""Rules for every tier: a test's marker is its folder, and each folder's real parts must be
there.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.lab import parts

HERE = Path(__file__).parent
# Tests of these folders use the tier's parts as a whole; the others call `parts.require` for what
# they need.
WHOLE_TIER = {"browser", "system", "containers"}


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker of each tier."""
    for tier in parts.TIERS:
        config.addinivalue_line("markers", f"{tier}: tests in tests/{tier}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier."""
    for item in items:
        if tier := tier_of(item):
            item.add_marker(tier)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail in CI, and skip elsewhere, a test whose tier lacks a real part; before any of its
    fixtures is made.
    """
    tier = tier_of(item)
    if tier in WHOLE_TIER:
        parts.require(*parts.TIERS[tier])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line for each tier whose tests were skipped, with what it lacks."""
    skipped = terminalreporter.stats.get("skipped", [])
    for line in skipped_tiers([(each.nodeid, each.longrepr[2]) for each in skipped]):
        terminalreporter.write_line(line)


def skipped_tiers(skipped: list[tuple[str, str]]) -> list[str]:
    """Return a line for each tier.

    `skipped` has the id of each skipped test (``tests/<tier>/…``) and why it was skipped.
    """
    tests: Counter[str] = Counter()
    lacks: dict[str, dict[str, None]] = {}
    for test, why in skipped:
        tier = Path(test).parts[1]
        tests[tier] += 1
        reasons = why.removeprefix("Skipped: ").removeprefix(parts.LACKS).split("; ")
        lacks.setdefault(tier, {}).update(dict.fromkeys(reasons))
    return [
        f"SKIPPED {tier}: {number} tests, lacking: {'; '.join(lacks[tier])}"
        for tier, number in sorted(tests.items())
    ]


def tier_of(item: pytest.Item) -> str | None:
    """Return the tier that a test's folder names, None for a folder that is no tier."""
    try:
        folder = item.path.relative_to(HERE).parts[0]
    except ValueError:
        return None
    return folder if folder in parts.TIERS else None
