"""The licence of each pinned package, as its own metadata states it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata
from typing import Final

from tools.lock_files import Pin

ELSEWHERE: Final = {
    "async-timeout": "Apache-2.0",
    "tzdata": "Apache-2.0",
}
"""Packages that a marker keeps from being installed on the machines that make the pages: what their
metadata states at the pinned version.
"""

_SPDX: Final = {
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache License Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2": "Apache-2.0",
    "Apache-2": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "MIT License": "MIT",
    "Dual License": "Apache-2.0 OR BSD-3-Clause",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "ISC": "ISC",
}


# Packages that state no more than "BSD" have the three clauses in their licence files: amqp,
# billiard, click-plugins, flower, prompt-toolkit and vine were looked at.


class UnknownLicenceError(LookupError):
    """A package does not state its licence in a form that is known here."""


def licence(pin: Pin) -> str:
    """Return an SPDX expression.

    Args:
        pin: A package that is installed beside this program, or that `ELSEWHERE` names.

    Raises:
        UnknownLicenceError: It is not installed, at another version, or states nothing known.
    """
    if pin.marker and pin.name in ELSEWHERE:
        return ELSEWHERE[pin.name]
    try:
        found = metadata(pin.name)
    except PackageNotFoundError as exc:
        raise UnknownLicenceError(f"{pin.name} is not installed: make lint makes .venv") from exc
    if found["Version"] != pin.version:
        raise UnknownLicenceError(
            f"{pin.name} is installed at {found['Version']}, the lock file pins {pin.version}"
        )
    if expression := found.get("License-Expression"):
        return str(expression)
    words = [str(found.get("License") or "")] + [
        one.rpartition(" :: ")[2]
        for one in found.get_all("Classifier") or ()
        if one.startswith("License :: ")
    ]
    for word in words:
        if word in _SPDX or word in _SPDX.values():
            return _SPDX.get(word, word)
    raise UnknownLicenceError(f"{pin.name} states {words}: add it to tools/licences.py")
