"""What lists and watches decode of an object: everything that is read, checked, and shared."""

import copy
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.decisions.placement.spec import PodSpec, read
from carina_tasks.errors import BadObject
from carina_tasks.kube import kinds
from carina_tasks.model import sharing
from carina_tasks.model.objects import (
    parse_claim,
    parse_logic_volume,
    parse_node,
    parse_persistent_volume,
    parse_pod,
)
from tests.builders.kubernetes import claim, journal, logic_volume, node, pod, pv
from tests.builders.pages import change_of, objects_of, paths_of

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


def test_what_the_scheduler_reads_of_a_pod_is_kept():
    """Claims, requests, phase, conditions, and what the scheduler's filters make of it."""
    raw = users_pod()
    (read_pod,) = objects_of(kinds.PODS, [raw]).all()
    assert read_pod == parse_pod(raw)
    assert read_pod.claims == ("claim-pvc-1", "web-0-scratch")
    assert read_pod.ephemeral == ("web-0-scratch",)
    assert read_pod.conditions == ({"type": "DisruptionTarget", "status": "True"},)
    assert read_pod.grace == 7
    assert read(read_pod.spec, PodSpec) == read(raw["spec"], PodSpec)
    assert len(msgspec.json.encode(read_pod)) < len(json.dumps(raw)) / 2


def test_pods_of_one_template_share_what_they_have_in_common():
    """Ten thousand pods of a cluster come from a few templates: each is held once."""
    raws = [users_pod() for _ in range(3)]
    for number, raw in enumerate(raws):
        raw["metadata"] |= {"name": f"web-{number}", "uid": f"uid-{number}"}
    first, *others = objects_of(kinds.PODS, raws).all()
    for other in others:
        assert other.spec is first.spec
        assert other.requests is first.requests
        assert other.meta.labels is first.meta.labels
        assert other.meta.owners is first.meta.owners
        assert other.node is first.node
    assert len({pod.meta.name for pod in (first, *others)}) == 3


def test_tables_of_what_is_shared_stay_small():
    """Values that are all different are not kept for longer than a few pages of a list."""
    table = sharing.Table()
    for number in range(3 * sharing.LIMIT):
        assert table.get(number, str) == str(number)
    assert len(table._values) <= sharing.LIMIT


@pytest.mark.parametrize(
    ("field", "value"),
    [("volumes", [7]), ("volumes", 7), ("containers", ["main"]), ("initContainers", {"a": 1})],
)
def test_a_field_of_a_wrong_type_is_told_with_the_name_and_hides_no_other_object(field, value):
    """In a list and in an event of a watch; the reason says which field."""
    raw = pod("a", "pvc-1")
    raw["spec"][field] = value
    found = objects_of(kinds.PODS, [pod("b"), raw, pod("c")])
    assert list(found.values) == ["default/b", "default/c"]
    (why,) = found.unreadable.values()
    assert "a: a field has a wrong type" in why
    assert f"$.spec.{field}" in why
    change = change_of(kinds.PODS, "MODIFIED", raw)
    assert (change.key, change.value, change.why) == ("default/a", None, why)


def test_an_object_without_a_name_hides_no_other():
    """Nothing can be said of it but that it is there."""
    found = objects_of(kinds.NODES, [node("n1"), {"metadata": {}}, {"spec": {}}])
    assert list(found.values) == ["n1"]
    assert list(found.unreadable) == ["?"]


def test_the_types_of_events_are_those_of_watches():
    """A bookmark has a version and no object; a deletion has both."""
    raw = node("n1")
    raw["metadata"]["resourceVersion"] = "7"
    deleted, bookmark = (change_of(kinds.NODES, kind, raw) for kind in ("DELETED", "BOOKMARK"))
    assert (deleted.key, deleted.version) == ("n1", "7")
    assert (bookmark.key, bookmark.value, bookmark.version) == ("", None, "7")


RAWS = {
    kinds.NODES: (node("n1"), parse_node),
    kinds.PODS: (users_pod(), parse_pod),
    kinds.CLAIMS: (claim(), parse_claim),
    kinds.PERSISTENT_VOLUMES: (pv(), parse_persistent_volume),
    kinds.LOGIC_VOLUMES: (logic_volume(journal=journal()), parse_logic_volume),
}
ODD = st.sampled_from([None, 0, -1, True, "x", "", [], [1], {}, {"a": 1}, [[]], [{}], "\u2028"])


@given(st.data())
def test_bytes_are_read_as_the_same_object_read_by_its_name_is(data):
    """One field anywhere replaced by anything: the same value, or the same reason, in a list, in an
    event and alone.
    """
    kind = data.draw(st.sampled_from(list(RAWS)))
    valid, parser = RAWS[kind]
    raw = copy.deepcopy(valid)
    path = data.draw(st.sampled_from([p for p in paths_of(raw) if p]))
    *parents, last = path
    inner = raw
    for key in parents:
        inner = inner[key]
    inner[last] = data.draw(ODD)
    found, change = objects_of(kind, [raw]), change_of(kind, "ADDED", raw)
    try:
        alone, why = parser(raw), ""
    except BadObject as exc:
        alone, why = None, exc.message
    assert change.why == why
    assert list(found.unreadable.values()) == [why] * (alone is None)
    assert list(found.values.values()) == [change.value] * (alone is not None)
    for listed in found.values.values():
        fields = listed.__struct_fields__
        assert all(getattr(alone, name) == getattr(listed, name) for name in fields)
