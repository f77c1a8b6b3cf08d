"""What score and space read of a group: its volumes, their bytes and the owners of its pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from carina_tasks.model.objects import LogicVolume


class Load(Protocol):
    """Volumes that go to one node together."""

    @property
    def logic_volumes(self) -> tuple[LogicVolume, ...]:
        """The volumes."""
        ...

    @property
    def needs(self) -> Mapping[str, int]:
        """Bytes that they take, by VG."""
        ...

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        ...

    @property
    def owners(self) -> frozenset[str]:
        """UIDs of the controllers of their pods."""
        ...
