"""The page of licences: ``python -m tools.reference.licences_page > docs/licences.md``.

Made from the lock files and from the metadata of the installed packages; a test compares.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Final

from tools import licences, lock_files
from tools.lock_files import IMAGES, Pin

HEAD: Final = """\
# Licences

Made by `python -m tools.reference.licences_page > docs/licences.md` (`make licences`); do not edit
manually.

carina-tasks is under the Apache License 2.0. Its images hold these Python packages, each under the
licence that its own metadata states (an SPDX expression). Their licence texts are in the images, in
the `*.dist-info` folder of each package. Debian's packages of the base image and lvm2 have theirs
in `/usr/share/doc/*/copyright`. `make sbom` writes the same as a bill of materials
([images.md](images.md#what-is-in-them)).

A package with a condition is in an image only where that holds: Debian 12's own Python is 3.11.2,
the published Python images have a newer one.
"""


def page() -> str:
    """Return the page, Markdown.

    Raises:
        licences.UnknownLicenceError: A package does not state its licence.
    """
    pins = {image: lock_files.read(lock) for image, lock in IMAGES.items()}
    every = {pin.name: pin for found in pins.values() for pin in found}
    count = Counter(licences.licence(pin) for pin in every.values())
    lines = [HEAD, "| package | version | licence | images |", "|---|---|---|---|"]
    for name in sorted(every):
        lines.append(_row(every[name], [one for one in pins if every[name] in pins[one]]))
    lines += ["", "| licence | packages |", "|---|---|"]
    lines += [f"| {one} | {number} |" for one, number in sorted(count.items())]
    return "\n".join(lines) + "\n"


def _row(pin: Pin, images: list[str]) -> str:
    where = ", ".join(images) + (f", only where `{pin.marker}`" if pin.marker else "")
    return f"| {pin.name} | {pin.version} | {licences.licence(pin)} | {where} |"


if __name__ == "__main__":
    sys.stdout.write(page())
