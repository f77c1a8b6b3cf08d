"""What a list keeps of an object: everything that is read, and little else."""

import copy
import dataclasses
import json

import pytest

from carina_tasks.decisions.placement.spec import PodSpec, read
from carina_tasks.errors import BadObject
from carina_tasks.kube.parsing import parse
from carina_tasks.kube.slim import slim
from carina_tasks.model.objects import parse_pod
from tests.builders.kubernetes import pod, pv

AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
            ]
        }
    },
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}
        ]
    },
}


def users_pod():
    """Make a pod as a user's cluster has them: this project does not read most of its fields."""
    raw = pod("web-0", "pvc-1", labels={"app": "web"})
    raw["metadata"]["managedFields"] = [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}] * 5
    raw["metadata"]["deletionGracePeriodSeconds"] = 7
    container = {
        "name": "main",
        "image": "web",
        "command": ["run"],
        "env": [{"name": f"NAME{n}", "value": "v" * 40} for n in range(30)],
        "livenessProbe": {"httpGet": {"path": "/", "port": 80}},
        "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
        "volumeMounts": [{"name": f"v{n}", "mountPath": f"/{n}"} for n in range(9)],
    }
    raw["spec"] |= {
        "containers": [container],
        "initContainers": [{**container, "restartPolicy": "Always"}],
        "affinity": AFFINITY,
        "nodeSelector": {"disk": "fast"},
        "overhead": {"cpu": "1m"},
        "resources": {"requests": {"memory": "3Gi"}},
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute"}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
        ],
    }
    raw["spec"]["volumes"] += [
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {}}] * 3}},
    ]
    raw["status"] |= {
        "conditions": [{"type": "DisruptionTarget", "status": "True"}],
        "containerStatuses": [{"name": "main", "imageID": "sha256:" + "0" * 64}],
    }
    return raw


def test_a_pod_is_read_from_it_as_from_the_whole():
    """Claims, requests, phase, conditions, and what the scheduler's filters make of it."""
    raw = users_pod()
    whole, small = parse_pod(raw), parse_pod(slim(copy.deepcopy(raw)))
    assert dataclasses.replace(small, spec=whole.spec) == whole
    assert small.claims == ("claim-pvc-1", "web-0-scratch")
    assert read(small.spec, PodSpec) == read(whole.spec, PodSpec)
    assert len(json.dumps(slim(raw))) < len(json.dumps(users_pod())) / 2


def test_an_object_that_a_replacement_is_made_from_stays_whole():
    """A PersistentVolume loses only who wrote which field."""
    raw = pv()
    raw["metadata"]["managedFields"] = [{"manager": "csi-provisioner"}]
    raw["spec"]["unknown"] = {"kept": True}
    assert slim(copy.deepcopy(raw)) == {
        **raw,
        "metadata": {k: v for k, v in raw["metadata"].items() if k != "managedFields"},
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [("volumes", [7]), ("volumes", 7), ("containers", ["main"]), ("initContainers", {"a": 1})],
)
def test_what_is_not_the_apis_shape_is_left_to_the_reader(field, value):
    """It says which pod is wrong; cutting it down hides nothing."""
    raw = pod("a", "pvc-1")
    raw["spec"][field] = value
    with pytest.raises(BadObject, match="a: a field has a wrong type"):
        parse(slim(raw), parse_pod)
