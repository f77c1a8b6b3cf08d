"""Rules for every tier: a test's marker is its folder, and each folder's real parts must be
there.
"""

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


def tier_of(item: pytest.Item) -> str | None:
    """Return the tier that a test's folder names, None for a folder that is no tier."""
    try:
        folder = item.path.relative_to(HERE).parts[0]
    except ValueError:
        return None
    return folder if folder in parts.TIERS else None
