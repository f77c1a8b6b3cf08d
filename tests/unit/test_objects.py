"""Kubernetes objects read from raw JSON: what is missing or wrong is named, and nothing is
guessed.
"""

import copy
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.errors import BadObject
from carina_tasks.model import objects, well_known
from carina_tasks.model.quantity import GIB
from tests.builders.kubernetes import (
    NAME,
    NOW,
    PARSERS,
    at,
    claim,
    journal,
    logic_volume,
    node,
    pod,
    pv,
)
from tests.builders.pages import paths_of


def test_a_logic_volume_is_read_whole():
    """Every field that a decision looks at."""
    volume = objects.parse_logic_volume(logic_volume(size="5Gi", journal=journal()))
    assert (volume.name, volume.node, volume.group, volume.size) == (
        NAME,
        "n1",
        "carina-vg-hdd",
        5 * GIB,
    )
    assert (volume.claim, volume.namespace, volume.status) == (
        f"claim-{NAME}",
        "default",
        "Success",
    )
    assert (volume.volume_id, volume.current_size, volume.manage_type) == (
        f"volume-{NAME}",
        5 * GIB,
        "lvm",
    )
    assert volume.journal == journal()


@pytest.mark.parametrize("field", ["nodeName", "deviceGroup", "size", "pvc", "nameSpace"])
@pytest.mark.parametrize("value", [None, "", "a b", "x;reboot", -1, [], {"a": 1}])
def test_a_wrong_or_missing_field_of_a_logic_volume_is_named(field, value):
    """The volume is refused with its name and the field's."""
    raw = logic_volume()
    raw["spec"][field] = value
    if value is None:
        del raw["spec"][field]
    with pytest.raises(BadObject, match=f"{NAME}: spec.{field}"):
        objects.parse_logic_volume(raw)


@pytest.mark.parametrize("size", ["5Gi", 5 * GIB, str(5 * GIB)])
def test_a_size_may_be_a_number_or_a_string(size):
    """The CRD allows both."""
    raw = logic_volume()
    raw["spec"]["size"] = size
    assert objects.parse_logic_volume(raw).size == 5 * GIB


def test_a_new_logic_volume_has_no_status_yet():
    """A LogicVolume without a status is read as empty."""
    raw = logic_volume()
    del raw["status"]
    volume = objects.parse_logic_volume(raw)
    assert (volume.status, volume.current_size, volume.volume_id) == ("", 0, "")


def test_a_persistent_volume_is_read_whole():
    """Driver, handle, size, policy, phase, node, claim."""
    volume = objects.parse_persistent_volume(pv())
    assert (volume.driver, volume.handle, volume.capacity) == (
        well_known.CSI_DRIVER,
        f"volume-{NAME}",
        5 * GIB,
    )
    assert (volume.policy, volume.phase, volume.nodes) == ("Delete", "Bound", ("n1",))
    assert (volume.claim_key, volume.claim_uid) == (f"default/claim-{NAME}", f"uid-claim-{NAME}")
    assert volume.ours


def test_volumes_of_other_drivers_are_read_too():
    """An NFS volume has no CSI part and no affinity; it is no error, and not ours."""
    raw = pv()
    raw["spec"] = {"capacity": {"storage": "1Gi"}, "nfs": {"server": "x"}}
    volume = objects.parse_persistent_volume(raw)
    assert (volume.ours, volume.nodes, volume.claim_key) == (False, (), "")


def test_affinity_to_several_nodes_is_seen():
    """Every value of Carina's key counts, those of other keys and operators do not."""
    raw = pv()
    raw["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"] = [
        {
            "matchExpressions": [
                {"key": well_known.TOPOLOGY_NODE, "operator": "In", "values": ["a", "b"]}
            ]
        },
        {
            "matchExpressions": [
                {"key": well_known.TOPOLOGY_NODE, "operator": "NotIn", "values": ["c"]}
            ]
        },
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["d"]}]},
    ]
    assert objects.parse_persistent_volume(raw).nodes == ("a", "b")


def test_pods_name_their_claims_generic_ephemeral_ones_included():
    """Claims by name, and those that Kubernetes makes for the pod."""
    raw = pod("web-0", "pvc-1")
    raw["spec"]["volumes"] += [
        {"name": "scratch", "ephemeral": {}},
        {"name": "conf", "configMap": {"name": "x"}},
    ]
    assert objects.parse_pod(raw).claims == ("claim-pvc-1", "web-0-scratch")


def container(cpu, **more):
    """Make a container that asks for so much CPU."""
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [container("1"), container("500m")]}, "1.5"),
        ({"containers": [container("1")], "initContainers": [container("3")]}, "3"),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("2", restartPolicy="Always")],
            },
            "3",
        ),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("1", restartPolicy="Always"), container("4")],
            },
            "5",
        ),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, "1.25"),
        (
            {
                "containers": [container("1")],
                "resources": {"requests": {"cpu": "6"}},
                "overhead": {"cpu": "1"},
            },
            "7",
        ),
    ],
)
def test_a_pods_requests_are_the_schedulers(spec, cpu):
    """Sum of containers, peak of init containers, sidecars beside both, pod level in their place,
    overhead on top.
    """
    raw = pod("web-0")
    raw["spec"] |= spec
    assert objects.parse_pod(raw).requests["cpu"] == Decimal(cpu)


def test_readiness_is_the_ready_conditions_and_unknown_without_one():
    """Other conditions do not count."""
    assert objects.parse_node(node("n1", ready="False", since=NOW)).ready_since == NOW
    raw = node("n1")
    raw["status"]["conditions"] = [{"type": "DiskPressure", "status": "True"}]
    assert objects.parse_node(raw).ready == "Unknown"


@pytest.mark.parametrize("parser", list(PARSERS.values()))
@pytest.mark.parametrize(
    "raw", [{}, {"metadata": None}, {"metadata": {}}, {"metadata": {"name": 5}}]
)
def test_an_object_without_a_name_is_refused(parser, raw):
    """Nothing can be said of an object that has no name."""
    with pytest.raises(BadObject):
        parser(raw)


def test_a_time_that_is_none_is_named():
    """A creationTimestamp that does not parse is an error, not 1970."""
    with pytest.raises(BadObject, match="RFC 3339"):
        objects.parse_logic_volume(logic_volume(creationTimestamp="yesterday"))
    assert (
        objects.parse_meta({"metadata": {"name": "x", "creationTimestamp": at(NOW)}}).created == NOW
    )


RAWS = [node("n1"), pod("p", "pvc-1"), claim(), pv(), logic_volume(journal=journal())]
ODD = st.sampled_from(
    [None, 0, -1, True, "x", "", [], [1], {}, {"a": 1}, [[]], [{}], "\ud800", 1e400]
)


@given(st.data())
def test_any_field_of_any_type_is_read_or_refused(data):
    """One field anywhere replaced by anything: the object is read, or refused as BadObject; nothing
    else is raised.
    """
    raw = copy.deepcopy(data.draw(st.sampled_from(RAWS)))
    path = data.draw(st.sampled_from([p for p in paths_of(raw) if p]))
    *parents, last = path
    inner = raw
    for key in parents:
        inner = inner[key]
    kind = raw["kind"]
    inner[last] = data.draw(ODD)
    try:
        read = PARSERS[kind](raw)
    except BadObject:
        return
    assert isinstance(read.meta.name, str)
