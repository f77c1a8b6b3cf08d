"""Create and read: names, defaults, refusals."""

import re
from email.utils import parsedate_to_datetime

import pytest

from tests.contract.objects import claim, config_map, logic_volume, node, pod, stateful_set, volume
from tests.contract.server import LOGIC_VOLUMES, NODES, VOLUMES, Server

pytestmark = pytest.mark.contract


def test_created_object_gets_identity(cluster: Server, config_maps: str) -> None:
    """The server sets UID, resourceVersion and creationTimestamp, whatever of them was sent."""
    sent = config_map("one")
    sent["metadata"] |= {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z"}
    made = cluster.create(config_maps, sent)["metadata"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["uid"])
    assert made["resourceVersion"].isdigit()
    assert re.fullmatch(r"20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["creationTimestamp"])
    assert made["creationTimestamp"] > "2020"
    assert "generation" not in made


def test_every_response_has_a_date(cluster: Server) -> None:
    """The Date header is a valid HTTP date, on success and on failure."""
    for path in ("/version", f"{NODES}/nobody"):
        assert parsedate_to_datetime(cluster.get(path).headers["Date"]).year >= 2020


def test_generate_name(cluster: Server, config_maps: str) -> None:
    """GenerateName makes different names with five letters or digits at the end."""
    body = {"metadata": {"generateName": "some-"}}
    names = {cluster.create(config_maps, body)["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"some-[a-z0-9]{5}", name) for name in names)


def test_already_exists(cluster: Server, config_maps: str) -> None:
    """A second create of a name is refused as AlreadyExists."""
    cluster.create(config_maps, config_map("one"))
    status = cluster.http("POST", config_maps, config_map("one")).refused(409, "AlreadyExists")
    assert status["message"] == 'configmaps "one" already exists'
    assert status["details"] == {"name": "one", "kind": "configmaps"}


def test_resource_version_on_create(cluster: Server, config_maps: str) -> None:
    """A resourceVersion may not be set on an object to be created."""
    sent = config_map("one")
    sent["metadata"]["resourceVersion"] = "5"
    answer = cluster.http("POST", config_maps, sent)
    assert (answer.code, answer.body["message"]) == (
        500,
        "resourceVersion should not be set on objects to be created",
    )


def test_not_found(cluster: Server, prefix: str) -> None:
    """A missing object is named with its group in the Status."""
    status = cluster.get(f"{LOGIC_VOLUMES}/{prefix}").refused(404, "NotFound")
    assert status["message"] == f'logicvolumes.carina.storage.io "{prefix}" not found'
    assert status["details"] == {
        "name": prefix,
        "group": "carina.storage.io",
        "kind": "logicvolumes",
    }


def test_unknown_resource(cluster: Server) -> None:
    """An unknown resource of a known group is a Status, an unknown group is a plain 404."""
    status = cluster.get("/api/v1/nonsense").refused(404, "NotFound")
    assert status["message"] == "the server could not find the requested resource"
    answer = cluster.get("/apis/nonsense.example/v1/things")
    assert (answer.code, str(answer.body).strip()) == (404, "404 page not found")


def test_cluster_scoped_under_namespace(cluster: Server) -> None:
    """A cluster-scoped resource is not found below a namespace."""
    cluster.get("/api/v1/namespaces/default/nodes/n1").refused(404, "NotFound")


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "dot.", "a" * 254])
def test_bad_names(cluster: Server, config_maps: str, name: str) -> None:
    """A name that is no DNS subdomain is refused as Invalid, with its field."""
    status = cluster.http("POST", config_maps, config_map(name)).refused(422, "Invalid")
    assert [cause["field"] for cause in status["details"]["causes"]] == ["metadata.name"]
    assert status["details"]["causes"][0]["reason"] == "FieldValueInvalid"


def test_name_message(cluster: Server, config_maps: str) -> None:
    """The refusal of a name says word for word what the real server says."""
    status = cluster.http("POST", config_maps, config_map("P_2")).refused(422, "Invalid")
    assert status["message"] == (
        'ConfigMap "P_2" is invalid: metadata.name: Invalid value: "P_2": a lowercase RFC 1123 '
        "subdomain must consist of "
        "lower case alphanumeric characters, '-' or '.', and must start and end with an "
        "alphanumeric character (e.g. "
        "'example.com', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    )


def test_no_name(cluster: Server) -> None:
    """An object without a name is refused."""
    status = cluster.http("POST", NODES, {"metadata": {}}).refused(422, "Invalid")
    assert (
        status["message"]
        == 'Node "" is invalid: metadata.name: Required value: name or generateName is required'
    )


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("labels", {"a": "no spaces"}),
        ("labels", {"a b": "x"}),
        ("annotations", {"a b": "x"}),
        ("finalizers", ["bare"]),
    ],
)
def test_bad_metadata(cluster: Server, config_maps: str, part: str, values: object) -> None:
    """Labels, annotations and finalizers that are malformed are refused with their field."""
    sent = config_map("one")
    sent["metadata"][part] = values
    status = cluster.http("POST", config_maps, sent).refused(422, "Invalid")
    assert {cause["field"].split("[")[0] for cause in status["details"]["causes"]} == {
        f"metadata.{part}"
    }


@pytest.mark.parametrize(
    "body",
    [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}},
        {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "x"}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "x", "namespace": "elsewhere"},
        },
        [1],
        "{",
    ],
)
def test_bad_bodies(cluster: Server, config_maps: str, body: object) -> None:
    """Another kind, version or namespace than the path's, and what is no object, is a bad
    request.
    """
    cluster.http("POST", config_maps, body).refused(400, "BadRequest")


def test_missing_namespace(cluster: Server, prefix: str) -> None:
    """Nothing can be created in a namespace that is not there."""
    status = cluster.http(
        "POST", f"/api/v1/namespaces/{prefix}/configmaps", config_map("one")
    ).refused(404, "NotFound")
    assert status["message"] == f'namespaces "{prefix}" not found'


def test_method_not_allowed(cluster: Server, config_maps: str) -> None:
    """A verb that a path does not have is 405."""
    cluster.create(config_maps, config_map("one"))
    cluster.http("POST", f"{config_maps}/one", config_map("one")).refused(405, "MethodNotAllowed")
    cluster.http("PUT", config_maps, config_map("one")).refused(405, "MethodNotAllowed")


def test_yaml_body(cluster: Server, config_maps: str) -> None:
    """A body may be YAML, in which a time stays a string."""
    text = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\n  annotations: {at: "
        "'2026-01-01T00:00:00Z'}\n"
    )
    made = cluster.http("POST", config_maps, text, "application/yaml").ok()
    assert made["metadata"]["annotations"] == {"at": "2026-01-01T00:00:00Z"}


def test_yaml_answer(cluster: Server, config_maps: str) -> None:
    """An answer may be asked for as YAML."""
    cluster.create(config_maps, config_map("one", {"k": "v"}))
    answer = cluster.http("GET", f"{config_maps}/one", accept="application/yaml")
    assert "data:\n  k: v\n" in answer.body


def test_unsupported_body(cluster: Server, config_maps: str) -> None:
    """A body in an unknown format is 415."""
    cluster.http("POST", config_maps, config_map("one"), "text/nonsense").refused(
        415, "UnsupportedMediaType"
    )


def test_dry_run(cluster: Server, config_maps: str) -> None:
    """A dry run answers as if, and changes nothing."""
    assert cluster.http("POST", config_maps, config_map("one"), dryRun="All").code == 201
    cluster.get(f"{config_maps}/one").refused(404, "NotFound")
    cluster.create(config_maps, config_map("one"))
    assert cluster.delete(f"{config_maps}/one", dryRun="All").code == 200
    assert cluster.get(f"{config_maps}/one").code == 200


def test_namespace_defaults(cluster: Server, prefix: str) -> None:
    """A namespace starts Active, labelled with its name, and is held by its controller's
    finalizer.
    """
    made = cluster.create("/api/v1/namespaces", {"metadata": {"name": prefix}})
    assert made["status"] == {"phase": "Active"}
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": prefix}


def test_node_keeps_its_status(cluster: Server, prefix: str) -> None:
    """A node brings its first status with it, and capacity counts as allocatable."""
    ready = {"type": "Ready", "status": "True"}
    made = cluster.create(NODES, node(prefix, conditions=[ready], capacity={"cpu": "2"}))
    assert made["status"]["conditions"] == [
        {**ready, "lastHeartbeatTime": None, "lastTransitionTime": None}
    ]
    assert made["status"]["allocatable"] == {"cpu": "2"}
    assert made["status"]["nodeInfo"]["kubeletVersion"] == ""


@pytest.mark.since(34, "pods have a generation")
def test_pod_defaults(cluster: Server, pods: str) -> None:
    """A pod gets the API's defaults, and starts Pending whatever status was sent."""
    made = cluster.create(pods, {**pod("one"), "status": {"phase": "Running"}})
    evicting = [
        {
            "key": f"node.kubernetes.io/{key}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        }
        for key in ("not-ready", "unreachable")
    ]
    assert made["spec"] == {
        "containers": [
            {
                "name": "app",
                "image": "app:1",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
            }
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "tolerations": evicting,
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
    ],
)
def test_qos_class(cluster: Server, pods: str, resources: dict, qos: str) -> None:
    """The QoS class follows from cpu and memory of the containers."""
    container = {"name": "app", "image": "app:1", "resources": resources}
    assert cluster.create(pods, pod("one", containers=[container]))["status"]["qosClass"] == qos


def test_pod_without_containers(cluster: Server, pods: str) -> None:
    """A pod without containers is refused, word for word."""
    status = cluster.http("POST", pods, pod("one", containers=[])).refused(422, "Invalid")
    assert status["message"] == 'Pod "one" is invalid: spec.containers: Required value'


def test_volume_defaults(cluster: Server, prefix: str) -> None:
    """A PersistentVolume starts Pending and protected, without the status that was sent."""
    sent = volume(prefix)
    del sent["spec"]["persistentVolumeReclaimPolicy"]
    made = cluster.create(VOLUMES, {**sent, "status": {"phase": "Bound"}})
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    assert made["status"].pop("lastPhaseTransitionTime")
    assert made["status"] == {"phase": "Pending"}
    assert made["spec"] == {
        **sent["spec"],
        "persistentVolumeReclaimPolicy": "Retain",
        "volumeMode": "Filesystem",
    }


def test_claim_defaults(cluster: Server, claims: str) -> None:
    """A claim starts Pending and protected, without the status that was sent."""
    made = cluster.create(claims, {**claim("one"), "status": {"phase": "Bound"}})
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert made["status"] == {"phase": "Pending"}
    assert made["spec"] == {**claim("one")["spec"], "volumeMode": "Filesystem"}


def test_stateful_set_defaults(cluster: Server, namespace: str) -> None:
    """A StatefulSet gets the defaults on which its controller relies."""
    made = cluster.create(f"/apis/apps/v1/namespaces/{namespace}/statefulsets", stateful_set("db"))
    spec = made["spec"]
    assert (spec["replicas"], spec["podManagementPolicy"]) == (1, "OrderedReady")
    rolling = {"partition": 0}
    if cluster.minor >= 37:
        rolling["maxUnavailable"] = 1  # stable by then; 1.34 drops it without its feature gate
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }
    assert spec["template"]["spec"]["restartPolicy"] == "Always"
    assert spec["volumeClaimTemplates"][0]["spec"]["volumeMode"] == "Filesystem"
    assert made["metadata"]["generation"] == 1
    assert made["status"] == {"replicas": 0, "availableReplicas": 0}


def test_logic_volume_pruned(cluster: Server, prefix: str) -> None:
    """A LogicVolume is stored without unknown fields and without the status that was sent."""
    made = cluster.create(
        LOGIC_VOLUMES, {**logic_volume(prefix, unknown=1), "status": {"status": "Success"}}
    )
    assert made["spec"] == logic_volume(prefix)["spec"]
    assert "status" not in made
    assert made["metadata"]["generation"] == 1


def test_logic_volume_strict(cluster: Server, prefix: str) -> None:
    """With fieldValidation=Strict an unknown field is refused by its path."""
    answer = cluster.http(
        "POST", LOGIC_VOLUMES, logic_volume(prefix, unknown=1), fieldValidation="Strict"
    )
    assert answer.refused(400, "BadRequest")["message"] == (
        'LogicVolume in version "v1" cannot be handled as a LogicVolume: strict decoding error: '
        "unknown field "
        '"spec.unknown"'
    )


def test_logic_volume_validated(cluster: Server, prefix: str) -> None:
    """A LogicVolume with missing and mistyped fields is refused with a cause for each."""
    sent = logic_volume(prefix, deviceGroup=3, size="abc")
    del sent["spec"]["nameSpace"], sent["spec"]["pvc"]
    status = cluster.http("POST", LOGIC_VOLUMES, sent).refused(422, "Invalid")
    assert status["details"]["group"] == "carina.storage.io"
    assert {(cause["field"], cause["reason"]) for cause in status["details"]["causes"]} == {
        ("spec.deviceGroup", "FieldValueTypeInvalid"),
        ("spec.size", "FieldValueInvalid"),
        ("spec.nameSpace", "FieldValueRequired"),
        ("spec.pvc", "FieldValueRequired"),
    }


def test_size_may_be_a_number(cluster: Server, prefix: str) -> None:
    """A quantity may be an integer or a string."""
    assert cluster.create(LOGIC_VOLUMES, logic_volume(prefix, size=5))["spec"]["size"] == 5
