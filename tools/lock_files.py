"""The lock files of deploy/requirements, as values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "deploy" / "requirements"
IMAGES: Final = {"node": "node.txt", "runtime": "flower.txt", "demo": "demo.txt"}
"""The lock file of each image, by the name of its target in deploy/Dockerfile."""


@dataclass(frozen=True)
class Pin:
    """One pinned package.

    `marker` is empty where it is always installed; `hashes` are the SHA-256 sums of its files, of
    which an installation takes one.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Return its package URL, which names no index."""
        return f"pkg:pypi/{self.name}@{self.version}"


def read(name: str) -> tuple[Pin, ...]:
    """Return the pins of a lock file, in its order.

    Args:
        name: File in deploy/requirements, such as ``node.txt``.

    Raises:
        OSError: There is no such file.
        ValueError: A line is neither a pin, a hash nor a comment, or a pin has no hash.
    """
    pins: list[Pin] = []
    for number, line in enumerate((FOLDER / name).read_text().splitlines(), 1):
        text = line.strip().removesuffix("\\").strip()
        if not text or text.startswith("#"):
            continue
        if digest := re.fullmatch(r"--hash=sha256:([0-9a-f]{64})", text):
            if not pins:
                raise ValueError(f"{name}:{number}: a hash before the first package")
            last = pins.pop()
            pins.append(Pin(last.name, last.version, last.marker, (*last.hashes, digest[1])))
        elif pin := re.fullmatch(r"([\w.-]+)==([\w.+!-]+)(?:\s*;\s*(.+))?", text):
            pins.append(Pin(pin[1], pin[2], (pin[3] or "").strip(), ()))
        else:
            raise ValueError(f"{name}:{number}: neither a pin nor a hash: {text}")
    for pin_ in pins:
        if not pin_.hashes:
            raise ValueError(f"{name}: {pin_.name} has no hash: make lock")
    return tuple(pins)
