"""Real kubectl, as people and scripts use it."""

import contextlib
import json
import subprocess
import time

import pytest
import yaml

from tests.contract.kubectl import background
from tests.contract.objects import claim, event, logic_volume, node, pod, stateful_set, volume
from tests.contract.server import LOGIC_VOLUMES, NODES, VOLUMES, Server
from tests.lab import parts

pytestmark = pytest.mark.contract


@pytest.fixture(autouse=True)
def _kubectl() -> None:
    """Need kubectl, for the emulator's half too."""
    parts.require("kubectl")


def manifest(*objects: dict) -> str:
    """Return objects as one stream of documents."""
    return yaml.safe_dump_all(objects)


def test_get_lv(cluster: Server, prefix: str) -> None:
    """`kubectl get lv` prints the table of Carina's manual, by its short name."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix, nodeName="10.20.9.154"))
    cluster.patch(f"{LOGIC_VOLUMES}/{prefix}/status", {"status": {"status": "Success"}}).ok()
    header, row = cluster.kubectl("get", "lv", prefix).splitlines()
    assert header.split() == ["NAME", "SIZE", "GROUP", "NODE", "STATUS"]
    assert row.split() == [prefix, "5Gi", "carina-vg-hdd", "10.20.9.154", "Success"]


def test_output_forms(cluster: Server, prefix: str) -> None:
    """-o wide, name, json, yaml, jsonpath, custom-columns and --sort-by work."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    assert cluster.kubectl("get", "lv", prefix, "-o", "wide").splitlines()[1].split()[-2:] == [
        "default",
        "data",
    ]
    assert (
        cluster.kubectl("get", "lv", prefix, "-o", "name")
        == f"logicvolume.carina.storage.io/{prefix}\n"
    )
    assert json.loads(cluster.kubectl("get", "lv", prefix, "-o", "json"))["spec"]["size"] == "5Gi"
    assert "  size: 5Gi\n" in cluster.kubectl("get", "lv", prefix, "-o", "yaml")
    assert cluster.kubectl("get", "lv", prefix, "-o", "jsonpath={.spec.nodeName}") == "n1"
    assert (
        cluster.kubectl("get", "lv", prefix, "--no-headers", "-o", "custom-columns=S:.spec.size")
        == "5Gi\n"
    )
    assert prefix in cluster.kubectl("get", "lv", "--sort-by=.metadata.name", "-L", "some-label")


def test_apply(cluster: Server, namespace: str, prefix: str) -> None:
    """`kubectl apply -f` creates, leaves unchanged, and configures built-in and custom
    resources.
    """
    texts = []
    for size, image in (("5Gi", "app:1"), ("5Gi", "app:1"), ("6Gi", "app:2")):
        db = stateful_set("db")
        db["metadata"]["namespace"] = namespace
        del db["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        del db["spec"][
            "volumeClaimTemplates"
        ]  # kubectl always finds a difference in their defaults
        db["spec"]["template"]["spec"]["containers"][0]["image"] = image
        texts.append(
            cluster.kubectl("apply", "-f", "-", stdin=manifest(logic_volume(prefix, size=size), db))
        )
    verbs = [[line.split()[-1] for line in text.splitlines()] for text in texts]
    assert verbs == [["created"] * 2, ["unchanged"] * 2, ["configured"] * 2]
    assert cluster.get(f"{LOGIC_VOLUMES}/{prefix}").ok()["spec"]["size"] == "6Gi"


def test_apply_list(cluster: Server, prefix: str) -> None:
    """`kubectl apply` takes a List, as `kubectl get -o json` writes it."""
    both = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [logic_volume(f"{prefix}-a"), logic_volume(f"{prefix}-b")],
    }
    done = cluster.kubectl("apply", "-f", "-", stdin=json.dumps(both))
    assert [line.split()[-1] for line in done.splitlines()] == ["created"] * 2


def test_apply_server_side(cluster: Server, namespace: str, prefix: str) -> None:
    """`kubectl apply --server-side` creates and takes over what was applied from the client."""
    text = manifest(
        logic_volume(prefix), {**pod("one"), "metadata": {"name": "one", "namespace": namespace}}
    )
    for arguments in (("--server-side",), ("--server-side",)):
        done = cluster.kubectl("apply", *arguments, "-f", "-", stdin=text)
        assert [line.split()[-1] for line in done.splitlines()] == ["serverside-applied"] * 2
    other = manifest(logic_volume(f"{prefix}-b"))
    cluster.kubectl("apply", "-f", "-", stdin=other)
    changed = manifest(logic_volume(f"{prefix}-b", size="7Gi"))
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=changed)
    assert cluster.get(f"{LOGIC_VOLUMES}/{prefix}-b").ok()["spec"]["size"] == "7Gi"


def test_apply_refuses_unknown_fields(cluster: Server, prefix: str) -> None:
    """`kubectl apply` lets the server find a field that is not in the schema."""
    text = cluster.kubectl(
        "apply", "-f", "-", stdin=manifest(logic_volume(prefix, unknown=1)), check=False
    )
    assert 'unknown field "spec.unknown"' in text


def test_create_twice(cluster: Server, prefix: str) -> None:
    """`kubectl create` says AlreadyExists the second time."""
    text = manifest(logic_volume(prefix))
    assert "created" in cluster.kubectl("create", "-f", "-", stdin=text)
    assert "(AlreadyExists)" in cluster.kubectl("create", "-f", "-", stdin=text, check=False)


def test_label_annotate_cordon(cluster: Server, prefix: str) -> None:
    """Labels and annotations come and go; a cordoned node is shown as such."""
    cluster.create(NODES, node(prefix, conditions=[{"type": "Ready", "status": "True"}]))
    cluster.kubectl("label", "node", prefix, "a=b")
    cluster.kubectl("annotate", "node", prefix, "c=d")
    metadata = cluster.get(f"{NODES}/{prefix}").ok()["metadata"]
    assert (metadata["labels"], metadata["annotations"]) == ({"a": "b"}, {"c": "d"})
    cluster.kubectl("label", "node", prefix, "a-")
    assert "labels" not in cluster.get(f"{NODES}/{prefix}").ok()["metadata"]
    cluster.kubectl("cordon", prefix)
    assert "Ready,SchedulingDisabled" in cluster.kubectl("get", "node", prefix)
    cluster.kubectl("uncordon", prefix)
    assert "SchedulingDisabled" not in cluster.kubectl("get", "node", prefix)


def test_taint(cluster: Server, prefix: str) -> None:
    """`kubectl taint` adds a taint and takes it off."""
    cluster.create(NODES, node(prefix))
    cluster.kubectl("taint", "node", prefix, "k=v:NoExecute")
    taints = cluster.get(f"{NODES}/{prefix}").ok()["spec"]["taints"]
    assert {"key": "k", "value": "v", "effect": "NoExecute"} in taints
    cluster.kubectl("taint", "node", prefix, "k-")
    assert all(
        taint["key"] != "k"
        for taint in cluster.get(f"{NODES}/{prefix}").ok()["spec"].get("taints", [])
    )


def test_describe(cluster: Server, namespace: str, prefix: str, pods: str, claims: str) -> None:
    """`kubectl describe` works for pod, node, LogicVolume, PV and claim, with the object's
    Events.
    """
    cluster.create(NODES, node(prefix, conditions=[{"type": "Ready", "status": "True"}]))
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    cluster.create(VOLUMES, volume(prefix))
    cluster.create(pods, pod("one", prefix))
    made = cluster.create(claims, claim("data"))
    about = event("a", namespace, "PersistentVolumeClaim", "data", "the volume is new and empty")
    about["involvedObject"]["uid"] = made["metadata"]["uid"]
    cluster.create(f"/api/v1/namespaces/{namespace}/events", about)
    for kind, name, word in (
        ("node", prefix, "Unschedulable:"),
        ("lv", prefix, "carina-vg-hdd"),
        ("pv", prefix, f"volume-{prefix}"),
        ("pod", "one", "QoS Class:"),
        ("pvc", "data", "the volume is new and empty"),
    ):
        assert word in cluster.kubectl("-n", namespace, "describe", kind, name)


def test_get_events(cluster: Server, namespace: str) -> None:
    """`kubectl get events` lists them, `kubectl events --for` those of one object."""
    path = f"/api/v1/namespaces/{namespace}/events"
    cluster.create(path, event("a", namespace, "Pod", "one", "first"))
    cluster.create(path, event("b", namespace, "Pod", "two", "second"))
    listed = cluster.kubectl("-n", namespace, "get", "events")
    assert "pod/one" in listed
    assert "second" in listed
    selected = cluster.kubectl(
        "-n", namespace, "get", "events", "--field-selector=involvedObject.name=two"
    )
    assert "first" not in selected


def test_patch(cluster: Server, prefix: str, namespace: str) -> None:
    """`kubectl patch` sends all three types, also to the status."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    cluster.create(NODES, node(prefix))
    cluster.kubectl("patch", "lv", prefix, "--type=merge", "-p", '{"spec":{"size":"6Gi"}}')
    operation = '[{"op":"replace","path":"/spec/pvc","value":"other"}]'
    cluster.kubectl("patch", "lv", prefix, "--type=json", "-p", operation)
    status = '{"status":{"status":"Success"}}'
    cluster.kubectl("patch", "lv", prefix, "--subresource=status", "--type=merge", "-p", status)
    found = cluster.get(f"{LOGIC_VOLUMES}/{prefix}").ok()
    assert (found["spec"]["size"], found["spec"]["pvc"], found["status"]["status"]) == (
        "6Gi",
        "other",
        "Success",
    )
    ready = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    cluster.kubectl(
        "patch", "node", prefix, "--subresource=status", "--type=strategic", "-p", ready
    )
    assert "Ready" in cluster.kubectl("get", "node", prefix)


def test_wait(cluster: Server, prefix: str) -> None:
    """`kubectl wait` sees a condition, a JSON path that comes later, and a deletion."""
    cluster.create(NODES, node(prefix, conditions=[{"type": "Ready", "status": "True"}]))
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    cluster.kubectl("wait", "--for=condition=Ready", f"node/{prefix}", "--timeout=10s")
    command = ("wait", f"lv/{prefix}", "--timeout=20s")
    with background(cluster, *command, "--for=jsonpath={.status.status}=Success") as waiting:
        time.sleep(0.5)
        cluster.patch(f"{LOGIC_VOLUMES}/{prefix}/status", {"status": {"status": "Success"}}).ok()
        assert waiting.wait(20) == 0
    with background(cluster, *command, "--for=delete") as waiting:
        time.sleep(0.5)
        cluster.delete(f"{LOGIC_VOLUMES}/{prefix}").ok()
        assert waiting.wait(20) == 0


def test_delete_node(cluster: Server, prefix: str) -> None:
    """`kubectl delete node` returns when the node is gone, and is refused the second time."""
    cluster.create(NODES, node(prefix))
    assert f'node "{prefix}" deleted' in cluster.kubectl("delete", "node", prefix)
    assert "(NotFound)" in cluster.kubectl("delete", "node", prefix, check=False)


def test_delete_waits_for_finalizers(cluster: Server, prefix: str) -> None:
    """`kubectl delete` waits until the last finalizer is off."""
    cluster.create(VOLUMES, volume(prefix))
    with background(cluster, "delete", "pv", prefix, "--timeout=20s") as deleting:
        with contextlib.suppress(subprocess.TimeoutExpired):
            deleting.wait(1.5)
        assert deleting.poll() is None
        cluster.patch(f"{VOLUMES}/{prefix}", {"metadata": {"finalizers": None}}).ok()
        assert deleting.wait(20) == 0


def test_force_delete_pod(cluster: Server, namespace: str, pods: str) -> None:
    """`kubectl delete pod --force --grace-period=0` removes a bound pod at once."""
    cluster.create(pods, pod("one", "n1"))
    cluster.kubectl("-n", namespace, "delete", "pod", "one", "--force", "--grace-period=0")
    assert cluster.get(f"{pods}/one").code == 404


def test_get_watch(cluster: Server, prefix: str) -> None:
    """`kubectl get -w` prints each state as a row below one header."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    # By a selector and not by name: of a single object kubectl drops the first event, be it the
    # change or not.
    with background(
        cluster, "get", "lv", f"--field-selector=metadata.name={prefix}", "-w"
    ) as watching:
        assert watching.stdout is not None
        lines = [watching.stdout.readline(), watching.stdout.readline()]
        cluster.patch(f"{LOGIC_VOLUMES}/{prefix}", {"spec": {"nodeName": "n2"}}).ok()
        lines.append(watching.stdout.readline())
    assert [line.split()[0] for line in lines] == ["NAME", prefix, prefix]
    assert [line.split()[3] for line in lines[1:]] == ["n1", "n2"]


def test_scale(cluster: Server, namespace: str) -> None:
    """`kubectl scale` sets the replicas of a StatefulSet."""
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
    cluster.create(path, stateful_set("db"))
    cluster.kubectl("-n", namespace, "scale", "statefulset", "db", "--replicas=3")
    assert cluster.get(f"{path}/db").ok()["spec"]["replicas"] == 3


def test_drain(cluster: Server, prefix: str, pods: str) -> None:
    """`kubectl drain` cordons the node and evicts its pods."""
    cluster.create(NODES, node(prefix))
    cluster.create(pods, pod("one", prefix, terminationGracePeriodSeconds=0))
    cluster.kubectl("drain", prefix, "--force", "--timeout=20s")
    assert cluster.get(f"{NODES}/{prefix}").ok()["spec"]["unschedulable"] is True
    assert cluster.get(f"{pods}/one").code == 404


def test_api_resources(cluster: Server) -> None:
    """`kubectl api-resources` names Carina's resources with their short names."""
    rows = [
        line.split()
        for line in cluster.kubectl("api-resources", "--api-group=carina.storage.io").splitlines()
    ]
    assert ["logicvolumes", "lv", "carina.storage.io/v1", "false", "LogicVolume"] in rows
    assert [
        "nodestorageresources",
        "nsr",
        "carina.storage.io/v1beta1",
        "false",
        "NodeStorageResource",
    ] in rows


def test_version(cluster: Server) -> None:
    """`kubectl version` prints the version of both servers alike."""
    assert "Server Version: v1.3" in cluster.kubectl("version")
