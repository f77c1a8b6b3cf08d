"""The two commands of docs/install.md on a real API server, and what then runs.

The chart's pods are run by `tests.lab.kubelet`: with their own environment, files, users, tokens
and probes. Node workers run on their nodes' machines, beside real lvm2. What stands for something
else: the image is this virtual environment, Valkey is Redis, `kubectl exec` enters the process.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from carina_tasks.enrolment import passwords
from carina_tasks.model import well_known
from tests.lab import chart, parts, paths
from tests.lab import kube as k
from tests.lab.errors import LabError
from tests.lab.kubelet.kubelet import Kubelet
from tests.lab.lab import Lab
from tests.lab.processes import start, wait_until

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
LAB_VALUES = (
    # The node's process 1 has no /dev of its own here: the worker is on the machine already.
    "node.lvmCommand=lvm",
    "node.zeroCommand=blkdiscard",
    "settings.CONFIRM_ABSENCE=1",
)


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

    def plugin(self, *words: str) -> tuple[int, str]:
        """Run `kubectl carina`, which runs in a control pod; return its code and output."""
        folder = self.lab.folder / "bin"
        self.kubelet.kubectl(folder)
        env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "NO_COLOR": "1"}
        argv = ["sh", str(paths.REPOSITORY / "deploy" / "plugin" / "kubectl-carina"), *words]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=90)
        return done.returncode, done.stdout + done.stderr

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


@pytest.fixture(scope="module")
def release(whole_lab: Lab) -> Iterator[Release]:
    """Type the first command of docs/install.md, and wait until every pod is Ready."""
    parts.require("helm")
    lab = whole_lab
    lab.clean()
    text = (paths.REPOSITORY / "docs" / "install.md").read_text()
    line = next(one for one in text.splitlines() if one.startswith("helm install"))
    _, *words = shlex.split(line.replace("REGISTRY", "localhost"))
    words = [str(chart.CHART) if word.startswith("deploy/") else word for word in words]
    sets = [part for value in LAB_VALUES for part in ("--set", value)]
    with chart.definition_left_to_it(lab.kubectl), Kubelet(lab) as kubelet:
        made = Release(lab, kubelet)
        begun = time.monotonic()
        try:
            made.helm_said = chart.helm(*words, *sets, kubeconfig=lab.kubeconfig)
            made.wait("every pod is Ready", lambda: made.ready() == COUNTS, 120)
            print(f"\nevery pod is Ready {time.monotonic() - begun:.1f} s after `helm install`")
            yield made
        finally:
            remove = ("uninstall", chart.RELEASE, "--no-hooks", "--ignore-not-found")
            chart.helm(*remove, "-n", NAMESPACE, kubeconfig=lab.kubeconfig)
            lab.kube.delete(f"/api/v1/namespaces/{NAMESPACE}")


def test_the_second_command_finds_everything_well(release: Release) -> None:
    """`kubectl carina doctor`, by the plugin, in a control pod: nothing fails; `helm test` too."""
    assert "carina doctor" in release.helm_said
    code, said = release.plugin("doctor")
    assert code < 2, said
    assert "FAIL" not in said
    assert "alive on all 3 nodes" in said
    words = ("test", chart.RELEASE, "-n", NAMESPACE, "--timeout", "80s")
    assert "Succeeded" in chart.helm(*words, kubeconfig=release.lab.kubeconfig)


def test_each_process_has_what_its_pod_says_and_no_more(release: Release) -> None:
    """User, read-only root, no capability, the pod's own environment, its own token for the API
    server or none, and in the node's pod only a token that the API server refuses.
    """
    accounts = {}
    for component in ("control", "node-watch", "beat", "flower", "enrolment", "carina-tasks-redis"):
        pod = release.kubelet.of(component)[0]
        pid = int((pod.folder / "pid").read_text())
        status = Path(f"/proc/{pid}/status").read_text()
        uid, caps = re.findall(r"^(?:Uid|CapBnd):\t(\w+)", status, re.M)
        assert (uid in ("10001", "999"), int(caps, 16)) == (True, 0), component
        root = Path(f"/proc/{pid}/root")
        token = root / "var/run/secrets/kubernetes.io/serviceaccount/token"
        accounts[component] = claims_of(token.read_text())["sub"] if token.exists() else ""
        inside = ["sh", "-c", "! touch /x && ! touch /usr/x && touch /tmp/x"]
        assert pod.started[0][1].run(inside, 10) == 0, component
    control, watch, enrolment = (
        f"system:serviceaccount:{NAMESPACE}:carina-tasks-{name}"
        for name in ("control", "node-watch", "enrolment")
    )
    assert accounts == {
        "control": control,
        "node-watch": watch,
        "beat": "",
        "flower": "",
        "enrolment": enrolment,
        "carina-tasks-redis": "",
    }
    pod = release.kubelet.of("node", release.lab.names[0])[0]
    folder = pod.folder / "volumes" / "enrolment"
    assert {one.name for one in folder.iterdir()} == {"token", "ca.crt"}
    claims = claims_of((folder / "token").read_text())
    assert (claims["aud"], claims["exp"] - claims["iat"]) == (["carina-tasks"], 600)
    assert claims["kubernetes.io"]["node"]["name"] == release.lab.names[0]
    with pytest.raises(LabError, match="401"):
        as_token(release.lab, folder / "token").get(k.NODES)
    pid = release.lab.nodes[pod.node].worker_status()["pid"]
    env = release.lab.nodes[pod.node].run("cat", f"/proc/{pid}/environ").stdout
    assert "redis://" not in env
    assert list(release.node_users()) == list(release.lab.names)


def as_token(lab: Lab, token: Path) -> k.Kube:
    """Return a client that shows a pod's token to the API server."""
    return k.Kube(lab.control_plane.url, token.read_text(), lab.control_plane.ca)


def claims_of(token: str) -> dict:
    """Return the claims of a token."""
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def test_a_deleted_node_is_rebuilt_and_a_node_that_joins_is_enrolled(release: Release) -> None:
    """`kubectl delete node` with the power off: its volumes are on other nodes. The machine comes
    back as a new Node: it is enrolled with nothing done, with another password, and serves again.
    """
    lab, kubelet = release.lab, release.kubelet
    (broker,) = kubelet.of("carina-tasks-redis")
    victim = next(name for name in lab.names if name != broker.node)
    volumes = [lab.world.add_volume(f"data-{n}", victim, "1Gi").name for n in range(3)]
    kubelet.lose(victim)
    lab.kubectl("delete", "node", victim)
    seconds = release.wait("the volumes are rebuilt", lambda: release.rebuilt(volumes, victim))
    print(f"\n3 volumes rebuilt {seconds:.1f} s after `kubectl delete node`")
    on = [lv for name, lvs in lab.lvs().items() if name != victim for lv in lvs]
    assert sorted(on) == sorted(f"volume-{name}" for name in volumes)
    before = release.node_users().get(victim)
    kubelet.find_again(victim)
    lab.world.add_node(victim)
    lab.report_storage(victim)
    seconds = release.wait(
        "it is enrolled", lambda: release.node_users().get(victim, before) != before
    )
    release.wait("its worker is Ready", lambda: release.ready()["node"] == 3, 60)
    print(f"a node that joined has a user of its own after {seconds:.1f} s")
    code, said = release.plugin("doctor")
    assert code < 2, said
    assert "alive on all 3 nodes" in said


def test_an_upgrade_during_a_failover_finishes_it(release: Release) -> None:
    """`helm upgrade` to the next release while both targets stand still: pods of the old release
    end in good order, and those of the new one finish what was begun.
    """
    lab, kubelet = release.lab, release.kubelet
    (broker,) = kubelet.of("carina-tasks-redis")
    victim = next(name for name in lab.names if name != broker.node)
    volumes = [lab.world.add_volume(f"mid-{n}", victim, "1Gi").name for n in range(2)]
    kubelet.images["localhost/carina-tasks:next"] = next_release(lab.folder)
    old = kubelet.of("control")
    kubelet.lose(victim)
    lab.kubectl("delete", "node", victim)
    release.wait("a journal is there", lambda: release.journals(volumes))
    targets = [lab.nodes[name] for name in lab.names if name != victim]
    for node in targets:
        node.freeze()
    try:
        words = ("--reuse-values", "--set", "image.tag=next", "-n", NAMESPACE)
        chart.helm("upgrade", chart.RELEASE, chart.CHART, *words, kubeconfig=lab.kubeconfig)
        release.wait("a control worker was told to end", lambda: any(one.ending for one in old))
        assert release.journals(volumes), "the failover was over before the upgrade began"
    finally:
        for node in targets:
            node.thaw()
    seconds = release.wait("the volumes are rebuilt", lambda: release.rebuilt(volumes, victim), 90)
    print(f"\nrebuilt {seconds:.1f} s after the nodes ran again")
    kubelet.find_again(victim)
    lab.world.add_node(victim)
    release.wait(
        "the new control workers run alone",
        lambda: all(one.ended for one in old) and release.ready()["control"] == 2,
        90,
    )
    _, said = release.plugin("doctor")
    # The heartbeat of one that has ended is there for 20 s more.
    assert re.search(r"^control +OK +[2-4] alive", said, re.M), said
    assert "0.2.0" in said


def test_a_failover_next_to_a_node_that_floods(release: Release) -> None:
    """One of two possible targets fills Redis with its own access while the third node is deleted:
    it is cut off with an Event, and the volumes are rebuilt all the same.
    """
    lab, kubelet = release.lab, release.kubelet
    (broker,) = kubelet.of("carina-tasks-redis")
    victim, flooder = (name for name in lab.names if name != broker.node)
    volumes = [lab.world.add_volume(f"near-{n}", victim, "1Gi").name for n in range(2)]
    uid = lab.kube.get(f"{k.NODES}/{flooder}")["metadata"]["uid"]
    key = release.secret("carina-tasks-enrolment", "master-key").encode()
    secret = passwords.password(key, flooder, uid, "1")
    url = f"redis://{flooder}:{secret}@{broker.place.address}:6379/0"
    argv = [
        *lab.network.prefix_command(),
        sys.executable,
        "-m",
        "tests.system.flood",
        "values",
        url,
    ]
    env = {**os.environ, "PYTHONPATH": str(paths.REPOSITORY)}
    flood = start("flood", argv, folder=lab.folder, env=env)
    try:
        kubelet.lose(victim)
        lab.kubectl("delete", "node", victim)
        seconds = release.wait(
            "the volumes are rebuilt", lambda: release.rebuilt(volumes, victim), 120
        )
    finally:
        flood.kill()
    print(f"\nnext to a flood: rebuilt {seconds:.1f} s after `kubectl delete node`")
    events = lab.kube.list(k.events())
    cut = [one for one in events if one["reason"] == "NodeCutOff"]
    assert {one["involvedObject"]["name"] for one in cut} == {flooder}
    assert flooder not in release.node_users()


def next_release(folder: Path) -> Path:
    """Return sources of a release that says of itself that it is the next one."""
    made = folder / "src-next"
    shutil.copytree(folder / "src", made)
    package = made / "carina_tasks" / "__init__.py"
    text = package.read_text()
    assert "0.1.0" in text
    package.write_text(text.replace("0.1.0", "0.2.0"))
    return made


def test_uninstall_refuses_during_a_rebuild_and_leaves_nothing(release: Release) -> None:
    """`helm uninstall`: its hook runs as a pod, refuses while a journal exists, and afterwards no
    object, annotation, finalizer, Redis user or file of ours is there.
    """
    lab = release.lab
    node = next(name for name in lab.names if lab.nodes[name].up)
    volume = lab.world.add_volume("kept", node, "1Gi").name
    path = f"{k.LOGIC_VOLUMES}/{volume}"
    mark = {"metadata": {"annotations": {well_known.JOURNAL: "{}", well_known.HISTORY: "[]"}}}
    lab.kube.patch(path, mark)
    words = ("uninstall", chart.RELEASE, "-n", NAMESPACE)
    before = release.ready()
    with pytest.raises(LabError, match="carina-tasks-uninstall"):
        chart.helm(*words, kubeconfig=lab.kubeconfig)
    assert release.ready() == before
    lab.kube.patch(path, {"metadata": {"annotations": {well_known.JOURNAL: None}}})
    chart.helm(*words, kubeconfig=lab.kubeconfig)
    release.wait(
        "all pods have ended",
        lambda: not [one for one in lab.kube.list(k.pods(NAMESPACE)) if not _hook(one)],
    )
    meta = lab.kube.get(path)["metadata"]
    assert not [key for key in meta["annotations"] if key.startswith(well_known.OURS)]
    assert meta["finalizers"] == ["carina.storage.io/logicvolume"]
    label = "app.kubernetes.io/instance=carina-tasks"
    kinds = ",".join(sorted({one["kind"] for one in chart.rendered(NAMESPACE)}))
    assert not lab.kubectl("get", kinds, "-A", "-o", "name", "-l", label).split()
    for machine in (one for one in lab.nodes.values() if one.up):
        words = ("find", "/etc", "/run", "/var/lib", "/tmp", "-name", "*carina-tasks*")
        left = machine.run(*words, check=False).stdout.split()
        # The pod's mount, which on the lab's machines is a link.
        assert left == ["/run/secrets/carina-tasks"]


def _hook(pod: dict) -> bool:
    return bool(pod["metadata"]["labels"].get("batch.kubernetes.io/job-name"))
