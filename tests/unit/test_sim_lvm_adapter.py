"""The lvm adapter on the simulated executable; beside it, ``tests/system/test_lvm_loop.py`` runs
the same tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from carina_tasks.emulator.lvm.install import install, set_locked, set_open
from carina_tasks.lvm.command import Lvm
from carina_tasks.model.quantity import GIB
from tests.unit.lvm_behaviour import *  # noqa: F403 - every test there
from tests.unit.lvm_behaviour import VG, Node


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Return a simulated node."""
    state = tmp_path / "state.json"
    path = install(tmp_path / "bin", state, {VG: 40 * GIB})

    @contextmanager
    def hold(name: str) -> Iterator[None]:
        set_open(state, VG, name, True)
        yield
        set_open(state, VG, name, False)

    @contextmanager
    def lock(name: str) -> Iterator[None]:
        set_locked(state, VG, name, True)
        yield
        set_locked(state, VG, name, False)

    return Node(Lvm((str(path),)), hold, lock)


@pytest.fixture
def knowing_node(node: Node) -> Node:
    """Return the same: the simulated lvm knows what is open."""
    return node
