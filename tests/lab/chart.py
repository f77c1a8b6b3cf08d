"""The Helm chart, rendered and installed by a real helm."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.lab import paths
from tests.lab.errors import LabError

CHART = paths.REPOSITORY / "deploy" / "helm" / "carina-tasks"
RELEASE = "carina-tasks"


def helm(*arguments: str | Path, kubeconfig: Path | None = None, timeout: float = 90) -> str:
    """Run helm and return its standard output.

    Args:
        arguments: Its command line.
        kubeconfig: The cluster; None: none is asked.
        timeout: Seconds after which it is ended.

    Raises:
        LabError: It failed; with its own words.
    """
    folder = kubeconfig.parent if kubeconfig else Path("/nowhere")
    names = ("CACHE", "CONFIG", "DATA")
    homes = {f"HELM_{name}_HOME": str(folder / "helm" / name.lower()) for name in names}
    done = subprocess.run(
        [str(paths.helm_binary()), *map(str, arguments)],
        env={**os.environ, **homes, "KUBECONFIG": str(kubeconfig or "/dev/null")},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        # helm says of each link in files/ that it followed it.
        words = [line for line in done.stderr.splitlines() if "symbolic link" not in line]
        raise LabError("\n".join(words))
    return done.stdout


@contextmanager
def definition_left_to_it(kubectl: Callable[..., object]) -> Iterator[None]:
    """Take the definition of FailoverStatus away for the time of a release, which brings its own.

    Helm installs nothing over an object that is not its own, and the laboratory has the definition
    from deploy/crds.

    Args:
        kubectl: Runs kubectl with its arguments.
    """
    file = str(paths.REPOSITORY / "deploy" / "crds" / "failoverstatuses.yaml")
    kubectl("delete", "-f", file, "--ignore-not-found")
    try:
        yield
    finally:
        kubectl("apply", "-f", file)


def template(namespace: str, *arguments: str | Path) -> str:
    """Return the manifests of the chart in `namespace`, hooks and tests included."""
    return helm("template", RELEASE, CHART, "--namespace", namespace, *arguments)


def rendered(namespace: str, *arguments: str | Path) -> list[dict]:
    """Return the objects of the chart in `namespace`, hooks and tests included."""
    return [one for one in yaml.safe_load_all(template(namespace, *arguments)) if one]


def kustomized(folder: Path, namespace: str, *components: str) -> list[dict]:
    """Return the objects of deploy/ in another namespace, set where docs/kustomize.md says.

    Args:
        folder: An empty folder, for a copy of deploy/.
        namespace: The namespace.
        components: Folders of deploy/ that are taken in.
    """
    deploy = shutil.copytree(paths.REPOSITORY / "deploy", folder / "deploy")
    for where in (
        deploy / "namespace.yaml",
        *(deploy / c / "kustomization.yaml" for c in components),
    ):
        where.write_text(where.read_text().replace("kube-system", namespace))
    whole = {"resources": ["deploy"], "components": [f"deploy/{one}" for one in components]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    done = subprocess.run(
        [str(paths.kubectl_binary()), "kustomize", str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    return list(yaml.safe_load_all(done.stdout))
