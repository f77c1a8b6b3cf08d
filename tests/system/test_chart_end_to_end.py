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
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carina_tasks.enrolment import passwords
from carina_tasks.model import task_names, well_known
from tests.lab import chart, parts, paths
from tests.lab import kube as k
from tests.lab.errors import LabError
from tests.lab.kubelet.kubelet import Kubelet
from tests.lab.kubelet.pod import RunningPod
from tests.lab.lab import Lab
from tests.lab.processes import start
from tests.system.chart_release import COUNTS, NAMESPACE, Release, next_release

NEXT = "localhost/carina-tasks:next"
LAB_VALUES = (
    # The node's process 1 has no /dev of its own here: the worker is on the machine already.
    "node.lvmCommand=lvm",
    "node.zeroCommand=blkdiscard",
    "settings.CONFIRM_ABSENCE=1",
)


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


def test_the_broker_s_node_is_lost_and_joins_again(release: Release) -> None:
    """The broker's node loses its power and is deleted: the broker is elsewhere, empty, each node
    has its user again, and that node's volumes are rebuilt. The machine comes back as a new Node:
    it is enrolled with nothing done, with another password, and serves again.
    """
    lab, kubelet = release.lab, release.kubelet
    (broker,) = kubelet.of("carina-tasks-redis")
    victim = broker.node
    others = [name for name in lab.names if name != victim]
    volumes = [lab.world.add_volume(f"data-{n}", victim, "1Gi").name for n in range(3)]
    before, begun = release.node_users()[victim], time.monotonic()
    kubelet.lose(victim)
    release.wait("the broker is elsewhere", lambda: kubelet.of("carina-tasks-redis"))
    print(f"\nthe broker is elsewhere {time.monotonic() - begun:.1f} s after the power was cut")
    lab.kubectl("delete", "node", victim)
    seconds = release.wait("the volumes are rebuilt", lambda: release.rebuilt(volumes, victim))
    print(f"3 volumes rebuilt {seconds:.1f} s after `kubectl delete node`")
    on = [lv for name, lvs in lab.lvs().items() if name != victim for lv in lvs]
    assert sorted(on) == sorted(f"volume-{name}" for name in volumes)
    assert list(release.node_users()) == others
    kubelet.find_again(victim)
    lab.world.add_node(victim)
    lab.report_storage(victim)
    seconds = release.wait(
        "it is enrolled", lambda: release.node_users().get(victim, before) != before
    )
    release.wait("its worker is Ready", lambda: release.ready()["node"] == 3, 60)
    print(f"a node that joined has a user of its own after {seconds:.1f} s")
    # Beat is seen again when it has sent something, which it does every half minute.
    release.wait("doctor is content", lambda: _content(release.plugin("doctor")))


def _content(answer: tuple[int, str]) -> bool:
    code, said = answer
    return code < 2 and "alive on all 3 nodes" in said and "silent" not in said


def test_an_upgrade_during_a_failover_finishes_it(release: Release) -> None:
    """`helm upgrade` to the next release while both targets stand still: pods of the old release
    end in good order, and those of the new one finish what was begun.
    """
    lab, kubelet = release.lab, release.kubelet
    (broker,) = kubelet.of("carina-tasks-redis")
    victim = next(name for name in lab.names if name != broker.node)
    volumes = [lab.world.add_volume(f"mid-{n}", victim, "1Gi").name for n in range(2)]
    kubelet.images[NEXT] = next_release(lab.folder)
    old = kubelet.of("control")
    kubelet.lose(victim)
    lab.kubectl("delete", "node", victim)
    release.wait("a journal is there", lambda: release.journals(volumes))
    targets = [lab.nodes[name] for name in lab.names if name != victim]
    for node in targets:
        node.freeze()
    try:
        release.helm("upgrade", chart.CHART, "--reuse-values", "--set", "image.tag=next")
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


def test_a_rollback_leaves_a_newer_journal_alone(release: Release) -> None:
    """`helm rollback` while the newer release rebuilds a volume: the older one changes nothing of
    it, and says so by name. The newer one comes back and finishes it.
    """
    lab, kubelet = release.lab, release.kubelet
    assert NEXT in kubelet.images, "this test goes back from the upgrade of the one before"
    (broker,) = kubelet.of("carina-tasks-redis")
    victim = next(name for name in lab.names if name != broker.node)
    volume = lab.world.add_volume("newer", victim, "1Gi").name
    targets = [lab.nodes[name] for name in lab.names if name != victim]
    url, newer = release.secret("carina-tasks-redis", "url"), kubelet.of("control")
    kubelet.lose(victim)
    lab.kubectl("delete", "node", victim)
    release.wait("a journal is there", lambda: release.journals([volume]))
    for node in targets:
        node.cut()
    try:
        release.helm("rollback")
        release.wait("the older control workers run alone", lambda: replaced(release, newer), 90)
    finally:
        for node in targets:
            node.heal()
    journal = release.journal(volume)
    assert json.loads(journal)["version"] == 2
    release.celery("call", task_names.RESUME)
    release.wait("it is told", lambda: events(lab, "JournalUnreadable") == {volume})
    said = release.celery("carina", "failed")
    assert "the journal is of version 2, and this release knows 1" in said, said
    assert release.journal(volume) == journal
    assert release.secret("carina-tasks-redis", "url") == url
    older = kubelet.of("control")
    release.helm("rollback", "2")
    release.wait("the newer control workers are there", lambda: replaced(release, older), 90)
    release.celery("call", task_names.RESUME)
    release.wait("the volume is rebuilt", lambda: release.rebuilt([volume], victim), 90)
    kubelet.find_again(victim)
    lab.world.add_node(victim)


def replaced(release: Release, old: list[RunningPod]) -> bool:
    """Return whether these control workers have ended and others are Ready in their place.

    Those that are told to end are killed: one that waits for a node may take a minute for that.
    """
    for one in old:
        if one.ending and not one.ended:
            one.started[-1][1].kill()
    return all(one.ended for one in old) and release.ready()["control"] == COUNTS["control"]


def events(lab: Lab, reason: str) -> set[str]:
    """Return the names of the objects that have an Event of this reason."""
    found = lab.kube.list(k.events())
    return {one["involvedObject"]["name"] for one in found if one["reason"] == reason}


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
    assert events(lab, "NodeCutOff") == {flooder}
    assert flooder not in release.node_users()


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
    before = release.ready() | {"node": 0}
    with pytest.raises(LabError, match="carina-tasks-uninstall"):
        chart.helm(*words, kubeconfig=lab.kubeconfig)
    assert release.ready() | {"node": 0} == before
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
