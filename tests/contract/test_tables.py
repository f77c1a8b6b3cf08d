"""Tables: what `kubectl get` prints."""

import pytest

from tests.contract.objects import (
    claim,
    config_map,
    event,
    logic_volume,
    node,
    pod,
    stateful_set,
    volume,
)
from tests.contract.server import LOGIC_VOLUMES, NODE_STORAGE, NODES, TABLE, VOLUMES, Server

pytestmark = pytest.mark.contract


def cells(cluster: Server, path: str) -> dict[str, object]:
    """Return one object's cells by column; ages are left out, as time passes."""
    table = cluster.http("GET", path, accept=TABLE).ok()
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    columns = [column["name"] for column in table["columnDefinitions"]]
    (row,) = table["rows"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    return {name: cell for name, cell in zip(columns, row["cells"], strict=True) if name != "Age"}


def test_logic_volume(cluster: Server, prefix: str) -> None:
    """A LogicVolume's row has Carina's columns; two of them are shown by -o wide only."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    assert cells(cluster, f"{LOGIC_VOLUMES}/{prefix}") == {
        "Name": prefix,
        "SIZE": "5Gi",
        "GROUP": "carina-vg-hdd",
        "NODE": "n1",
        "STATUS": None,
        "NAMESPACE": "default",
        "PVC": "data",
    }
    columns = cluster.http("GET", LOGIC_VOLUMES, accept=TABLE).ok()["columnDefinitions"]
    assert [column["name"] for column in columns if column["priority"]] == ["NAMESPACE", "PVC"]


def test_node_storage(cluster: Server, prefix: str) -> None:
    """A NodeStorageResource's time is shown as an age."""
    sent = {
        "apiVersion": "carina.storage.io/v1beta1",
        "kind": "NodeStorageResource",
        "metadata": {"name": prefix},
        "spec": {"nodeName": "n1"},
    }
    cluster.create(NODE_STORAGE, sent)
    status = {"syncTime": "2020-01-01T00:00:00Z", "capacity": {"carina.storage.io/vg": 20}}
    cluster.patch(f"{NODE_STORAGE}/{prefix}/status", {"status": status}).ok()
    row = cells(cluster, f"{NODE_STORAGE}/{prefix}")
    assert (row["Name"], row["node"]) == (prefix, "n1")
    assert str(row["time"])[0].isdigit()
    assert "y" in str(row["time"])


def test_node(cluster: Server, prefix: str) -> None:
    """A node's row has its readiness, whether it is cordoned, roles and version."""
    sent = node(
        prefix,
        conditions=[{"type": "Ready", "status": "True"}],
        nodeInfo={
            "kubeletVersion": "v1.34.4",
            "osImage": "",
            "kernelVersion": "6.1",
            "containerRuntimeVersion": "",
        },
        addresses=[{"type": "InternalIP", "address": "10.0.0.1"}],
    )
    sent["metadata"]["labels"] = {
        "node-role.kubernetes.io/worker": "",
        "node-role.kubernetes.io/db": "",
    }
    cluster.create(NODES, {**sent, "spec": {"unschedulable": True}})
    assert cells(cluster, f"{NODES}/{prefix}") == {
        "Name": prefix,
        "Status": "Ready,SchedulingDisabled",
        "Roles": "db,worker",
        "Version": "v1.34.4",
        "Internal-IP": "10.0.0.1",
        "External-IP": "<none>",
        "OS-Image": "<unknown>",
        "Kernel-Version": "6.1",
        "Container-Runtime": "<unknown>",
    }


@pytest.mark.parametrize(
    ("conditions", "shown"),
    [
        ([], "Unknown"),
        ([{"type": "Ready", "status": "Unknown"}], "NotReady"),
        ([{"type": "Ready", "status": "False"}], "NotReady"),
    ],
)
def test_node_readiness(cluster: Server, prefix: str, conditions: list, shown: str) -> None:
    """A node that is not Ready, or says nothing, is shown so."""
    cluster.create(NODES, node(prefix, conditions=conditions))
    assert cells(cluster, f"{NODES}/{prefix}")["Status"] == shown


def test_pod(cluster: Server, pods: str) -> None:
    """A pod's row has its ready containers, its state and its node."""
    cluster.create(pods, pod("one", "n1"))
    assert cells(cluster, f"{pods}/one") == {
        "Name": "one",
        "Ready": "0/1",
        "Status": "Pending",
        "Restarts": "0",
        "IP": "<none>",
        "Node": "n1",
        "Nominated Node": "<none>",
        "Readiness Gates": "<none>",
    }
    state = {
        "name": "app",
        "ready": True,
        "restartCount": 2,
        "image": "app:1",
        "imageID": "",
        "state": {"running": {}},
    }
    running = {
        "phase": "Running",
        "podIP": "10.1.0.1",
        "podIPs": [{"ip": "10.1.0.1"}],
        "containerStatuses": [state],
    }
    cluster.patch(f"{pods}/one/status", {"status": running}).ok()
    row = cells(cluster, f"{pods}/one")
    assert [row[key] for key in ("Ready", "Status", "Restarts", "IP")] == [
        "1/1",
        "Running",
        "2",
        "10.1.0.1",
    ]
    cluster.delete(f"{pods}/one").ok()
    assert cells(cluster, f"{pods}/one")["Status"] == "Terminating"


def test_pod_that_waits(cluster: Server, pods: str) -> None:
    """A pod whose container waits or has ended shows that reason."""
    cluster.create(pods, pod("one", "n1"))
    base = {"name": "app", "ready": False, "restartCount": 0, "image": "app:1", "imageID": ""}
    for state, shown in (
        ({"waiting": {"reason": "CrashLoopBackOff"}}, "CrashLoopBackOff"),
        ({"terminated": {"exitCode": 2}}, "ExitCode:2"),
        ({"terminated": {"exitCode": 0, "reason": "Completed"}}, "Completed"),
    ):
        cluster.patch(
            f"{pods}/one/status", {"status": {"containerStatuses": [{**base, "state": state}]}}
        ).ok()
        assert cells(cluster, f"{pods}/one")["Status"] == shown


def test_volume(cluster: Server, prefix: str) -> None:
    """A PersistentVolume's row has capacity, modes, policy, phase and claim."""
    sent = volume(prefix)
    sent["spec"]["claimRef"] = {"namespace": "default", "name": "data"}
    cluster.create(VOLUMES, sent)
    assert cells(cluster, f"{VOLUMES}/{prefix}") == {
        "Name": prefix,
        "Capacity": "5Gi",
        "Access Modes": "RWO",
        "Reclaim Policy": "Delete",
        "Status": "Pending",
        "Claim": "default/data",
        "StorageClass": "csi-carina",
        "VolumeAttributesClass": "<unset>",
        "Reason": "",
        "VolumeMode": "Filesystem",
    }
    cluster.delete(f"{VOLUMES}/{prefix}").ok()
    assert cells(cluster, f"{VOLUMES}/{prefix}")["Status"] == "Terminating"


def test_claim(cluster: Server, claims: str) -> None:
    """A claim's row shows volume, capacity and modes once it is bound."""
    cluster.create(claims, claim("one"))
    empty = cells(cluster, f"{claims}/one")
    assert [empty[key] for key in ("Status", "Volume", "Capacity", "Access Modes")] == [
        "Pending",
        "",
        "",
        "",
    ]
    cluster.patch(f"{claims}/one", {"spec": {"volumeName": "v1"}}).ok()
    bound = {"phase": "Bound", "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"]}
    cluster.patch(f"{claims}/one/status", {"status": bound}).ok()
    assert cells(cluster, f"{claims}/one") == {
        "Name": "one",
        "Status": "Bound",
        "Volume": "v1",
        "Capacity": "5Gi",
        "Access Modes": "RWO",
        "StorageClass": "csi-carina",
        "VolumeAttributesClass": "<unset>",
        "VolumeMode": "Filesystem",
    }


def test_event(cluster: Server, namespace: str) -> None:
    """An event's row reports when, what and about which object."""
    path = f"/api/v1/namespaces/{namespace}/events"
    cluster.create(
        path,
        {
            **event("a", namespace, "Pod", "one"),
            "lastTimestamp": "2020-01-01T00:00:00Z",
            "count": 3,
        },
    )
    row = cells(cluster, f"{path}/a")
    assert "y" in str(row.pop("Last Seen"))
    assert row == {
        "Type": "Normal",
        "Reason": "Said",
        "Object": "pod/one",
        "Subobject": "",
        "Source": "contract",
        "Message": "said",
        "First Seen": "<unknown>",
        "Count": 3,
        "Name": "a",
    }


def test_other_kinds(cluster: Server, namespace: str, config_maps: str, prefix: str) -> None:
    """ConfigMaps, StatefulSets, Leases, StorageClasses and namespaces have their own columns."""
    cluster.create(config_maps, config_map("one", {"a": "1", "b": "2"}))
    assert cells(cluster, f"{config_maps}/one") == {"Name": "one", "Data": 2}
    sets = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
    cluster.create(sets, stateful_set("db"))
    assert cells(cluster, f"{sets}/db") == {
        "Name": "db",
        "Ready": "0/1",
        "Containers": "app",
        "Images": "app:1",
    }
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    cluster.create(leases, {"metadata": {"name": "one"}, "spec": {"holderIdentity": "me"}})
    assert cells(cluster, f"{leases}/one") == {"Name": "one", "Holder": "me"}
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    cluster.create(classes, {"metadata": {"name": prefix}, "provisioner": "carina.storage.io"})
    assert cells(cluster, f"{classes}/{prefix}") == {
        "Name": prefix,
        "Provisioner": "carina.storage.io",
        "ReclaimPolicy": "Delete",
        "VolumeBindingMode": "Immediate",
        "AllowVolumeExpansion": False,
    }
    assert cells(cluster, f"/api/v1/namespaces/{namespace}") == {
        "Name": namespace,
        "Status": "Active",
    }


def test_metadata_only(cluster: Server, prefix: str) -> None:
    """An object's metadata may be asked for alone."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    form = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    found = cluster.http("GET", f"{LOGIC_VOLUMES}/{prefix}", accept=form).ok()
    assert (found["kind"], found["metadata"]["name"]) == ("PartialObjectMetadata", prefix)
    assert "spec" not in found


def test_unknown_form(cluster: Server) -> None:
    """A form that is not served is not acceptable."""
    cluster.http("GET", NODES, accept="text/nonsense").refused(406, "NotAcceptable")
