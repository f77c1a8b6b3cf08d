"""A bill of materials of each image, CycloneDX 1.6: ``python -m tools.sbom FOLDER``.

Made from the lock files, which name every Python package of an image with the sums of its files,
and from the packages' own metadata for licences. Debian's packages of the base image and of the
node image are not in it: docs/images.md names what lists those. The same tree gives the same bytes.
"""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any, Final

import carina_tasks
from tools import licences, lock_files
from tools.lock_files import IMAGES, Pin

NAMES: Final = {"node": "carina-tasks-node", "runtime": "carina-tasks", "demo": "carina-tasks-demo"}


def main(arguments: list[str]) -> int:
    """Write a file for each image; return 2 without a folder."""
    if len(arguments) != 1:
        print("usage: python -m tools.sbom FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for image in IMAGES:
        path = folder / f"{NAMES[image]}.cdx.json"
        path.write_text(json.dumps(bill(image), indent=2) + "\n")
        print(path)
    return 0


def bill(image: str) -> dict[str, Any]:
    """Return the bill of one image.

    Args:
        image: A key of `lock_files.IMAGES`.

    Raises:
        licences.UnknownLicenceError: A package does not state its licence.
    """
    pins = lock_files.read(IMAGES[image])
    name, version = NAMES[image], carina_tasks.__version__
    root = f"{name}@{version}"
    # A number of its own for each content, and none that chance or the day decides.
    content = " ".join([root, *(pin.purl for pin in pins)])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": root,
                "name": name,
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [_component(pin) for pin in pins],
        "dependencies": [
            {"ref": root, "dependsOn": [pin.purl for pin in pins]},
            *({"ref": pin.purl} for pin in pins),
        ],
    }


def _component(pin: Pin) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        # Whether one with a marker is in an image depends on the base's Python.
        "scope": "optional" if pin.marker else "required",
        "licenses": [{"expression": licences.licence(pin)}],
        "purl": pin.purl,
        # Of these files an image has one: the wheel of its platform.
        "externalReferences": [
            {
                "type": "distribution",
                "url": pin.purl,
                "hashes": [{"alg": "SHA-256", "content": one} for one in pin.hashes],
            }
        ],
    }
    if pin.marker:
        found["properties"] = [{"name": "carina-tasks:marker", "value": pin.marker}]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
