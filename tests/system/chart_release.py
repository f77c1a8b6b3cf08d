"""A release of the chart whose pods `tests.lab.kubelet` runs, and the release that comes after."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import redis

from carina_tasks.model import well_known
from tests.lab import chart, paths
from tests.lab import kube as k
from tests.lab.errors import LabError
from tests.lab.kubelet.kubelet import Kubelet
from tests.lab.lab import Lab
from tests.lab.processes import wait_until

NAMESPACE = "carina-tasks"
COUNTS = {
    "control": 2,
    "node-watch": 2,
    "beat": 1,
    "flower": 1,
    "enrolment": 2,
    "node": 3,
    "carina-tasks-redis": 1,
}


class Release:
    """The installed chart, its pods, and the cluster."""

    def __init__(self, lab: Lab, kubelet: Kubelet) -> None:
        self.lab, self.kubelet = lab, kubelet
        self.helm_said = ""

    def wait(self, what: str, check: Callable[[], object], timeout: float = 60) -> float:
        """Wait; show what the pods wrote when it does not come."""
        try:
            return wait_until(what, check, timeout, every=0.2)
        except LabError as error:
            logs = self.kubelet.logs().items()
            raise LabError(f"{error}" + "".join(f"\n--- {n}\n{t}" for n, t in logs)) from None

    def ready(self) -> dict[str, int]:
        """Return how many pods of each component are Ready."""
        found = dict.fromkeys(COUNTS, 0)
        for pod in self.lab.kube.list(k.pods(NAMESPACE)):
            labels = pod["metadata"]["labels"]
            name = labels.get("app.kubernetes.io/component") or labels["app.kubernetes.io/name"]
            conditions = pod.get("status", {}).get("conditions", ())
            ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
            if name in found and ready:
                found[name] += 1
        return found

    def rebuilt(self, names: list[str], away_from: str) -> bool:
        """Return whether these volumes are elsewhere, whole, and no journal is left."""
        found = {one["metadata"]["name"]: one for one in self.lab.kube.list(k.LOGIC_VOLUMES)}
        return not self.journals(names) and all(
            found[name]["spec"]["nodeName"] != away_from
            and found[name]["status"].get("status") == "Success"
            for name in names
        )

    def journals(self, names: list[str]) -> list[str]:
        """Return which of these volumes have a journal."""
        return [
            one["metadata"]["name"]
            for one in self.lab.kube.list(k.LOGIC_VOLUMES)
            if one["metadata"]["name"] in names
            and well_known.JOURNAL in one["metadata"].get("annotations", {})
        ]

    def journal(self, name: str) -> str:
        """Return a volume's journal as it is written, empty when it has none."""
        meta = self.lab.kube.get(f"{k.LOGIC_VOLUMES}/{name}")["metadata"]
        return str(meta.get("annotations", {}).get(well_known.JOURNAL, ""))

    def helm(self, verb: str, *words: str | Path) -> str:
        """Run helm on this release."""
        where = ("-n", NAMESPACE)
        return chart.helm(verb, chart.RELEASE, *words, *where, kubeconfig=self.lab.kubeconfig)

    def plugin(self, *words: str) -> tuple[int, str]:
        """Run `kubectl carina`, which runs in a control pod; return its code and output."""
        folder = self.lab.folder / "bin"
        self.kubelet.kubectl(folder)
        env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "NO_COLOR": "1"}
        argv = ["sh", str(paths.REPOSITORY / "deploy" / "plugin" / "kubectl-carina"), *words]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=90)
        return done.returncode, done.stdout + done.stderr

    def celery(self, *words: str) -> str:
        """Run `celery -A carina_tasks` in a control pod and return its output."""
        kubectl = self.kubelet.kubectl(self.lab.folder / "bin")
        pod = self.kubelet.of("control")[0].meta["name"]
        argv = [kubectl, "exec", pod, "--", "celery", "-A", "carina_tasks", *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False)
        return done.stdout + done.stderr

    def secret(self, name: str, key: str) -> str:
        """Return a value of one of the chart's Secrets."""
        data = self.lab.kube.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}")["data"]
        return base64.b64decode(data[key]).decode()

    def node_users(self) -> dict[str, str]:
        """Return the Redis users of nodes with their rules and the digests of their passwords.

        Asked as the enrolment service's own user.
        """
        url = self.secret("carina-tasks-enrolment", "url")
        (broker,) = self.kubelet.of("carina-tasks-redis")
        with redis.Redis.from_url(re.sub("@[^:]*", f"@{broker.place.address}", url)) as client:
            lines = self.kubelet.inside(client.acl_list)
        users = {line.split()[1]: line for line in lines}
        return {name: users[name] for name in self.lab.names if name in users}


def next_release(folder: Path) -> Path:
    """Return sources of a release that calls itself the next one and writes a newer journal; it
    reads both.
    """
    made = folder / "src-next"
    shutil.copytree(folder / "src", made)
    for name, changes in {
        "__init__.py": {"0.1.0": "0.2.0"},
        "model/journal.py": {
            "VERSION: Final = 1": "VERSION: Final = 2",
            "version: Literal[1] = 1": "version: Literal[1, 2] = 1",
            "encode(self)": "encode(msgspec.structs.replace(self, version=2))",
        },
    }.items():
        file = made / "carina_tasks" / name
        text = file.read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        file.write_text(text)
    return made
