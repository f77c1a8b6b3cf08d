"""Where the lab finds its binaries and keeps its files.

Two places outside the repository:

* `cache()`: binaries that take minutes to build, named by version:
  `${XDG_CACHE_HOME:-~/.cache}/carina-tasks`.
* `shared()`: what the user-mode-linux nodes must read. They run as an unprivileged user, and a home
  folder is often closed to others, so this is `/var/cache/carina-tasks` (world-readable, owned by
  root) unless `CARINA_LAB_DIR` says otherwise.
"""

import os
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
KUBERNETES_VERSION = os.environ.get("CARINA_TASKS_LAB_KUBERNETES", "v1.34.4")
KWOK_VERSION = "v0.8.0"
HELM_VERSION = "v3.21.4"


def cache() -> Path:
    """Return the folder of built binaries."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "carina-tasks"


def shared() -> Path:
    """Return the folder that unprivileged processes may read; it need not exist yet."""
    return Path(os.environ.get("CARINA_LAB_DIR", "/var/cache/carina-tasks"))


def xstate_preload() -> Path:
    """Return where `install.sh` puts the library that it builds from `uml/xstate.c`; it need not
    exist yet.
    """
    return shared() / "xstate.so"


def other_lvm() -> Path:
    """Return the root folder of Debian 13, whose lvm2 the nodes run beside their own; it need not
    exist yet.
    """
    return shared() / "trixie"


def control_plane_folder() -> Path:
    """Return where `controlplane/build.sh` puts the binaries of `KUBERNETES_VERSION`."""
    return cache() / f"controlplane-{KUBERNETES_VERSION}"


def kwok_folder() -> Path:
    """Return where `install.sh` puts the `kwok` binary and `stages.yaml`."""
    return cache() / f"kwok-{KWOK_VERSION}"


def control_plane_binary(name: str) -> Path | None:
    """Find `etcd`, `kube-apiserver`, `kube-controller-manager` or `kube-scheduler`; None when it is
    nowhere.

    `KUBEBUILDER_ASSETS` comes first, as everywhere in the ecosystem. `setup-envtest` puts only etcd
    and kube-apiserver (and kubectl) there, so each name is looked for by itself.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    for folder in ([Path(assets)] if assets else []) + [control_plane_folder()]:
        if os.access(folder / name, os.X_OK):
            return folder / name
    return None


def kubectl_binary() -> Path | None:
    """Find `kubectl`: on PATH, else beside the control plane; None when it is nowhere."""
    found = shutil.which("kubectl")
    return Path(found) if found else control_plane_binary("kubectl")


def kwok_binary() -> Path | None:
    """Find `kwok` with its stages beside it; None when either is lacking."""
    folder = kwok_folder()
    return (
        folder / "kwok"
        if os.access(folder / "kwok", os.X_OK) and (folder / "stages.yaml").is_file()
        else None
    )


def helm_folder() -> Path:
    """Return where `install.sh` puts the `helm` binary."""
    return cache() / f"helm-{HELM_VERSION}"


def helm_binary() -> Path | None:
    """Find `helm`: the built one, so that every run has the same version, else on PATH; None when
    it is nowhere.
    """
    built = helm_folder() / "helm"
    if os.access(built, os.X_OK):
        return built
    found = shutil.which("helm")
    return Path(found) if found else None
