"""A release of the chart from its install to its uninstall, by a real helm on a real API server."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from carina_tasks.model import well_known
from tests.contract import objects
from tests.contract.server import FAILOVER_STATUSES, LOGIC_VOLUMES, Server
from tests.lab import chart, parts, paths
from tests.lab.errors import LabError
from tests.lab.processes import wait_until

JOB = "jobs/carina-tasks-uninstall"
QUICK = ("--set", "settings.CONFIRM_ABSENCE=0")


class Release:
    """The release in one namespace."""

    def __init__(self, server: Server, namespace: str, folder: Path) -> None:
        self.server, self.namespace, self.folder = server, namespace, folder

    def helm(self, verb: str, *arguments: str | Path) -> str:
        """Run helm on this release."""
        return chart.helm(
            verb, chart.RELEASE, *arguments, "-n", self.namespace, kubeconfig=self.server.kubeconfig
        )

    def get(self, what: str, group: str = "api/v1") -> dict:
        """Return an object of the namespace."""
        return self.server.get(f"/{group}/namespaces/{self.namespace}/{what}").body

    def secrets(self) -> dict[str, str]:
        """Return what the chart's Secrets hold."""
        return {
            f"{name}/{key}": base64.b64decode(value).decode()
            for name in (
                "carina-tasks-redis",
                "carina-tasks-redis-acl",
                "carina-tasks-flower",
                "carina-tasks-enrolment",
                "carina-tasks-enrolment-tls",
            )
            for key, value in self.get(f"secrets/{name}")["data"].items()
        }

    def left(self) -> list[str]:
        """Return every object of ours that is there, of all kinds that the chart makes."""
        kinds = {one["kind"] for one in chart.rendered("x")}
        said = self.server.kubectl(
            "get",
            ",".join(sorted(kinds)),
            "-A",
            "-o",
            "name",
            "-l",
            "app.kubernetes.io/instance=carina-tasks",
        )
        return said.split()

    def uninstall(self) -> str:
        """Run `helm uninstall`, and the hook's pod as a kubelet would: with its own command,
        environment and token; return the pod's words.

        Raises:
            LabError: helm refused.
        """
        with ThreadPoolExecutor(1) as pool:
            helm: Future[str] = pool.submit(self.helm, "uninstall", "--timeout", "60s")
            wait_until(
                "the hook's Job is there",
                lambda: helm.done() or self.get(JOB, "apis/batch/v1").get("kind") == "Job",
                20,
                every=0.1,
            )
            said = self.run_pod()
            helm.result()
        return said

    def run_pod(self) -> str:
        """Run what the Job's pod runs, and write the Job's end."""
        (container,) = self.get(JOB, "apis/batch/v1")["spec"]["template"]["spec"]["containers"]
        env = self.get("configmaps/carina-tasks-settings")["data"]
        done = subprocess.run(
            [sys.executable, "-m", *container["command"]],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(paths.REPOSITORY),
                "KUBECONFIG": str(self.kubeconfig()),
                "CARINA_TASKS_NAMESPACE": self.namespace,
                # Nobody listens there: an uninstall needs no broker.
                "CARINA_TASKS_BROKER_URL": "redis://127.0.0.1:1/0",
                **env,
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        now = "2026-01-01T00:00:00Z"
        # An API server before 1.31 refuses the first for a Job without a success policy.
        well = ("SuccessCriteriaMet", "Complete") if self.server.minor >= 31 else ("Complete",)
        ends = well if done.returncode == 0 else ("FailureTarget", "Failed")
        status = {
            "startTime": now,
            "conditions": [{"type": one, "status": "True"} for one in ends],
            **({"completionTime": now, "succeeded": 1} if done.returncode == 0 else {"failed": 1}),
        }
        path = f"/apis/batch/v1/namespaces/{self.namespace}/{JOB}/status"
        self.server.patch(path, {"status": status}).ok()
        return done.stdout + done.stderr

    def kubeconfig(self) -> Path:
        """Return a kubeconfig with a token of the control workers' account."""
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/carina-tasks-control/token"
        token = self.server.create(path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
        config = json.loads(self.server.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        file = self.folder / "kubeconfig"
        file.write_text(json.dumps(config))
        return file


@pytest.fixture
def release(real: Server, prefix: str, tmp_path: Path) -> Iterator[Release]:
    """Install the chart with its defaults, on a cluster without logic volumes."""
    parts.require("helm")
    for one in real.get(LOGIC_VOLUMES).ok()["items"]:
        path = f"{LOGIC_VOLUMES}/{one['metadata']['name']}"
        real.patch(path, {"metadata": {"finalizers": None}})
        real.delete(path)
    found = Release(real, prefix, tmp_path)
    with chart.definition_left_to_it(real.kubectl):
        said = found.helm("install", chart.CHART, "--create-namespace", *QUICK)
        assert "carina doctor" in said
        yield found
        if found.left():
            found.helm("uninstall", "--no-hooks")
    wait_until(
        "the definition is served", lambda: real.get(FAILOVER_STATUSES).code == 200, 30, every=0.1
    )


def test_an_upgrade_keeps_what_was_made_and_what_was_decided(release: Release) -> None:
    """Passwords and the operator's pause stay, and pods start again only when settings changed."""
    state = f"/api/v1/namespaces/{release.namespace}/configmaps/carina-tasks-state"
    release.server.patch(state, {"data": {"paused": "racks"}}).ok()
    secrets, before = release.secrets(), sums(release)
    assert secrets["carina-tasks-redis/control-password"] in secrets["carina-tasks-redis/url"]
    release.helm("upgrade", chart.CHART, *QUICK)
    assert sums(release) == before
    release.helm("upgrade", chart.CHART, *QUICK, "--set", "settings.NOT_READY_AFTER=60")
    assert release.secrets() == secrets
    assert release.get("configmaps/carina-tasks-state")["data"] == {"paused": "racks"}
    after = sums(release)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == after.keys() - {"carina-tasks-redis"}


def test_a_password_that_was_taken_away_is_made_anew(release: Release) -> None:
    """The way to other passwords: the Secret is deleted, and an upgrade makes URL, password and the
    broker's digest of it again, and starts every process with them. A rollback takes all back.
    """
    before, sum_before, acl = release.secrets(), sums(release), "carina-tasks-redis-acl/users.acl"
    name = "carina-tasks-redis"
    release.server.kubectl("delete", "secret", name, "-n", release.namespace)
    release.helm("upgrade", chart.CHART, *QUICK)
    after, sum_after = release.secrets(), sums(release)
    for user, key in (("control", "url"), ("flower", "flower-url")):
        password = after[f"{name}/{user}-password"]
        assert password != before[f"{name}/{user}-password"]
        assert f":{password}@" in after[f"{name}/{key}"]
        assert f"#{hashlib.sha256(password.encode()).hexdigest()} " in after[acl]
    assert all(sum_after[one] != sum_before[one] for one in sum_before)
    assert after["carina-tasks-enrolment/url"] == before["carina-tasks-enrolment/url"]
    release.helm("rollback", "1")
    assert (release.secrets(), sums(release)) == (before, sum_before)


def sums(release: Release) -> dict[str, dict]:
    """Return the checksums that the pods of each Deployment carry."""
    items = release.get("deployments", "apis/apps/v1")["items"]
    return {
        one["metadata"]["name"]: {
            key: value
            for key, value in one["spec"]["template"]["metadata"]["annotations"].items()
            if key.startswith("checksum/")
        }
        for one in items
    }


def test_an_uninstall_waits_for_a_rebuild_and_leaves_nothing(release: Release, prefix: str) -> None:
    """While a journal exists helm refuses and everything stays, running; afterwards no object, no
    user of the broker and no annotation of ours is left, and Carina's own stay.
    """
    made = objects.logic_volume(prefix)
    made["metadata"].setdefault("annotations", {})
    made["metadata"]["annotations"] |= {
        well_known.JOURNAL: "{}",
        well_known.PROGRESS: "creating",
        well_known.HISTORY: "[]",
        "carina.storage.io/theirs": "kept",
    }
    release.server.create(LOGIC_VOLUMES, made)
    path = f"{LOGIC_VOLUMES}/{prefix}"
    before = set(release.left())
    with pytest.raises(LabError, match="carina-tasks-uninstall"):
        release.uninstall()
    assert set(release.left()) - {"job.batch/carina-tasks-uninstall"} == before - {
        "job.batch/carina-tasks-uninstall"
    }
    assert not release.get("configmaps/carina-tasks-state").get("data")
    release.server.patch(path, {"metadata": {"annotations": {well_known.JOURNAL: None}}}).ok()
    assert "1 LogicVolumes" in release.uninstall()
    assert release.left() == []
    kept = release.server.get(path).ok()["metadata"]["annotations"]
    assert not [key for key in kept if key.startswith(well_known.OURS)]
    assert kept["carina.storage.io/theirs"] == "kept"
