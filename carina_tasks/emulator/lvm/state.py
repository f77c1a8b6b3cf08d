"""What a simulated node has.

Volume groups and volumes, in one JSON file behind a file lock, replaced atomically.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Volume:
    """One LV. Plain classes and not dataclasses.

    Importing `dataclasses` takes longer than a whole call.
    """

    def __init__(self, **values: object) -> None:
        self.name: str = ""
        self.uuid: str = ""
        self.size: int = 0
        self.layout: str = "linear"
        self.role: str = "public"
        self.pool: str = ""
        self.origin: str = ""
        self.tags: list[str] = []
        self.time: int = 0
        self.minor: int = 0
        self.active: bool = True
        self.open: bool = False
        self.locked: bool = False  # as during a pvmove
        self.wiped: bool = (
            True  # False: whatever an earlier LV wrote to its extents can still be read
        )
        self.zeroed: bool = True  # False: a pod that reads the device itself could read those bytes
        self.__dict__.update(values)

    @property
    def allocated(self) -> int:
        """Bytes it takes of its VG: a thin volume takes its pool's."""
        return 0 if self.pool else self.size


class Group:
    """One VG."""

    def __init__(self, **values: object) -> None:
        self.name: str = ""
        self.uuid: str = ""
        self.size: int = 0
        self.extent: int = 4 << 20
        self.volumes: list[Volume] = []
        self.__dict__.update(values)

    @property
    def free(self) -> int:
        """Bytes no LV takes."""
        return self.size - sum(volume.allocated for volume in self.volumes)

    def find(self, name: str) -> Volume | None:
        """Return the LV of that name."""
        return next((volume for volume in self.volumes if volume.name == name), None)


class State:
    """All VGs of a node."""

    def __init__(self, groups: list[Group], next_minor: int = 0) -> None:
        self.groups = groups
        self.next_minor = next_minor

    def find(self, name: str) -> Group | None:
        """Return the VG of that name."""
        return next((group for group in self.groups if group.name == name), None)

    def take_minor(self) -> int:
        """Return a device minor no LV has had."""
        self.next_minor += 1
        return self.next_minor - 1


def new_uuid() -> str:
    """Return a new UUID in lvm's form."""
    text = "".join(_ALPHABET[byte % 62] for byte in os.urandom(32))
    cuts = (0, 6, 10, 14, 18, 22, 26, 32)
    return "-".join(text[a:b] for a, b in itertools.pairwise(cuts))


def load(path: str) -> State:
    """Return the state in the file, empty if there is none.

    A report needs no lock: the file is replaced as a whole.
    """
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except FileNotFoundError:
        return State([])
    groups = [
        Group(**(g | {"volumes": [Volume(**v) for v in g["volumes"]]})) for g in data["groups"]
    ]
    return State(groups, data["next_minor"])


@contextmanager
def changing(path: str) -> Iterator[State]:
    """Hold the lock, hand out the state, and write it back unless an exception comes."""
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = load(path)
        yield state
        groups = [
            {**vars(group), "volumes": [vars(volume) for volume in group.volumes]}
            for group in state.groups
        ]
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump({"groups": groups, "next_minor": state.next_minor}, file)
        os.replace(path + ".new", path)
