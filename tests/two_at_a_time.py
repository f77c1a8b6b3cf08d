"""How `make test` runs two tests at a time: ``-p tests.two_at_a_time -n 2 --dist loadscope``.

Most tests wait. Those of one group share what they run on, so a group belongs to one process; unit
tests need nothing and fill the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

GROUPS: Final = {
    "browser": "stage",
    "integration": "stage",
    "contract": "servers",
    "system": "lab",
    "containers": "lab",
}
"""What the tests of a tier run on."""


class ByParts(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a group to one process, the largest first.

    The marker `xdist_group` of pytest-xdist 3.8 does nothing beside pytest 9.2: it changes an id
    that pytest no longer reads.
    """

    def _split_scope(self, nodeid: str) -> str:
        return GROUPS.get(Path(nodeid).parts[1], nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Return what gives tests to the processes."""
    return ByParts(config, log)
