"""The manifests of deploy/, as a cluster gets them."""

from __future__ import annotations

import subprocess

import yaml

from tests.lab import paths


def manifests() -> list[dict]:
    """Return the objects of deploy/ as kubectl builds them."""
    done = subprocess.run(
        [paths.kubectl_binary(), "kustomize", paths.REPOSITORY / "deploy"],
        check=True,
        capture_output=True,
        text=True,
    )
    return list(yaml.safe_load_all(done.stdout))
