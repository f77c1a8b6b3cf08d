"""What this machine has, what each tier of tests needs, and what to do about the difference.

A test that lacks its real part fails where `CI` is set and skips, with the reason, elsewhere: a
green run in CI means that everything ran. `python -m tests.lab.parts` prints one line for each
tier.
"""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import paths

LACKS = "lacks a real part: "
"""What the reason of a skipped test begins with."""
INSTALL = "tests/lab/install.sh"


@dataclass(frozen=True)
class Part:
    """One real part: how to look for it, what to say when it is not there, how to get it."""

    present: Callable[[], bool]
    lacking: str
    get: str


def _commands(*names: str) -> Callable[[], bool]:
    """Look for commands; the folders of root's commands count also where PATH leaves them out."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    return lambda: all(shutil.which(name, path=path) for name in names)


def _control_plane(*names: str) -> Callable[[], bool]:
    return lambda: all(paths.control_plane_binary(name) for name in names)


def _user_mode_linux() -> bool:
    modules = Path("/usr/lib/uml/modules")
    has_modules = modules.is_dir() and any(modules.iterdir())
    return (
        has_modules and _commands("linux.uml", "ip", "modprobe")() and Path("/dev/net/tun").exists()
    )


PARTS: dict[str, Part] = {
    "apiserver": Part(
        _control_plane("etcd", "kube-apiserver"),
        "no etcd and kube-apiserver",
        f"run {INSTALL}, or point KUBEBUILDER_ASSETS at what `setup-envtest use -p path` prints",
    ),
    "controlplane": Part(
        _control_plane("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        f"no Kubernetes control plane in KUBEBUILDER_ASSETS or {paths.control_plane_folder()}",
        f"run {INSTALL} (builds it from the Go module in about 5 minutes)",
    ),
    "kwok": Part(
        lambda: paths.kwok_binary() is not None,
        f"no kwok in {paths.kwok_folder()}",
        f"run {INSTALL} (builds it in about 2 minutes)",
    ),
    "kubectl": Part(lambda: paths.kubectl_binary() is not None, "no kubectl", f"run {INSTALL}"),
    "helm": Part(
        lambda: paths.helm_binary() is not None,
        f"no helm in {paths.helm_folder()} or on PATH",
        f"run {INSTALL} (builds it in about 2 minutes)",
    ),
    "uml": Part(
        _user_mode_linux,
        "no user-mode-linux with its modules, iproute2, kmod and /dev/net/tun",
        f"run {INSTALL}, or apt-get install user-mode-linux kmod iproute2",
    ),
    "lvm2": Part(
        _commands("lvm", "thin_check"), "no lvm2", "apt-get install lvm2 thin-provisioning-tools"
    ),
    "redis-server": Part(
        _commands("redis-server"), "no redis-server", "apt-get install redis-server"
    ),
    "podman": Part(
        _commands("podman", "runc", "podman-compose", "debootstrap"),
        "no podman, runc, podman-compose and debootstrap",
        "apt-get install podman runc podman-compose debootstrap",
    ),
    "prometheus": Part(
        _commands("prometheus", "promtool"),
        "no prometheus and promtool",
        "apt-get install prometheus",
    ),
    "chromium": Part(
        _commands("/usr/bin/chromium"),
        "no chromium",
        "apt-get install --no-install-recommends chromium",
    ),
    "root": Part(
        lambda: os.geteuid() == 0, "not root", "run as root: namespaces, taps and mounts are made"
    ),
}

TIERS: dict[str, tuple[str, ...]] = {
    "unit": (),
    "contract": ("apiserver", "kubectl", "helm"),
    "integration": (),
    "browser": ("chromium",),
    "system": ("root", "controlplane", "kwok", "kubectl", "uml", "lvm2", "redis-server"),
    "containers": ("root", "podman"),
}


def missing(*names: str) -> list[str]:
    """Return what of `names` this machine lacks, a line each with how to get it.

    Raises KeyError for a name that is not in `PARTS`.
    """
    parts = [PARTS[name] for name in names]
    return [f"{part.lacking} ({part.get})" for part in parts if not part.present()]


def in_ci() -> bool:
    """Return whether this run must be complete (`CI` is set to anything but an empty string, 0 or
    false).
    """
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


def require(*names: str) -> None:
    """Continue when every part is there; otherwise fail in CI and skip, with the reason,
    elsewhere.
    """
    lacking = missing(*names)
    if not lacking:
        return
    reason = LACKS + "; ".join(lacking)
    if in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def main() -> int:
    """Print one line for each tier; exit 1 in CI when a tier lacks something."""
    complete = True
    for tier, names in TIERS.items():
        lacking = missing(*names)
        complete = complete and not lacking
        print(f"{tier:<12} {'can run' if not lacking else 'CANNOT RUN: ' + '; '.join(lacking)}")
    return 1 if in_ci() and not complete else 0


if __name__ == "__main__":
    sys.exit(main())
