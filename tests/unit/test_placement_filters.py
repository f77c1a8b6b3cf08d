"""Each filter of placement by itself: what it lets through, what it keeps off, and in which
words.
"""

from typing import Any

import pytest
from msgspec import structs

from carina_tasks.decisions.placement import Placement, Unschedulable
from tests.builders.placement import (
    HOSTNAME,
    LOST,
    VG,
    claim,
    inventory,
    local_volume,
    logic_volume,
    node,
    plan_all,
    pod,
    targets,
    world,
)

pytestmark = pytest.mark.unit
ZONE = "topology.kubernetes.io/zone"


def verdict(
    *,
    on: list[Any],
    mine: dict[str, Any] | None = None,
    others: list[Any] | None = None,
    **more: Any,
) -> Any:
    """Plan one volume with one pod of the given spec, and return its verdict."""
    own = pod("p", "v", **(mine or {}))
    cluster = world([node(LOST), *on], [logic_volume("v")], [own, *(others or [])], **more)
    return plan_all(cluster)["v"]


def reason(found: Any) -> str:
    """Return the reason of a Unschedulable."""
    assert isinstance(found, Unschedulable)
    return found.reason


def required(*terms: Any) -> dict[str, Any]:
    """Wrap terms as the API does."""
    return {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}


def near(**term: Any) -> dict[str, Any]:
    """Make required pod affinity of one term."""
    return {"affinity": {"podAffinity": required(term)}}


def apart(**term: Any) -> dict[str, Any]:
    """Make required pod anti-affinity of one term."""
    return {"affinity": {"podAntiAffinity": required(term)}}


def app(name: str) -> dict[str, Any]:
    """Make a selector of one app."""
    return {"matchLabels": {"app": name}}


def on_nodes(*expressions: Any, fields: Any = ()) -> dict[str, Any]:
    """Make required node affinity of one term."""
    term = {"matchExpressions": list(expressions), "matchFields": list(fields)}
    terms = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"affinity": {"nodeAffinity": terms}}


def spread(**more: Any) -> dict[str, Any]:
    """Make one hard topology spread constraint over zones."""
    base = {
        "maxSkew": 1,
        "topologyKey": ZONE,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": app("a"),
    }
    return {"topologySpreadConstraints": [base | more]}


@pytest.mark.parametrize("ready", ["False", "Unknown"])
def test_a_node_that_is_not_ready_takes_nothing(ready: str) -> None:
    """Ready must be True; False and Unknown both keep volumes off."""
    assert f"n2: is not ready (Ready is {ready})" in reason(verdict(on=[node("n2", ready=ready)]))


def test_a_node_without_an_inventory_takes_nothing() -> None:
    """Without an answer of its worker its free space is unknown."""
    cluster = world([node(LOST), node("n2")], [logic_volume("v")])
    assert reason(plan_all(cluster, {})["v"]) == "0/1 nodes fit: n2: its worker does not answer"


def test_a_node_that_is_being_deleted_takes_nothing() -> None:
    """A volume would have to be moved again at once."""
    leaving = node("n2")
    leaving["metadata"]["deletionTimestamp"] = "2026-11-24T00:00:00Z"
    assert "n2: is being deleted" in reason(verdict(on=[leaving]))


def test_a_cordoned_node_takes_only_pods_that_tolerate_the_cordon() -> None:
    """spec.unschedulable keeps pods off, except those with the toleration of its own taint."""
    tolerant = {"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]}
    assert "node(s) were unschedulable" in reason(verdict(on=[node("n2", unschedulable=True)]))
    assert isinstance(verdict(on=[node("n2", unschedulable=True)], mine=tolerant), Placement)


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "other"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_a_taint_needs_a_toleration(toleration: Any, fits: bool) -> None:
    """Tolerations match taints by key, value and effect as the API says."""
    tainted = node("n2", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    found = verdict(on=[tainted], mine={"tolerations": [toleration]})
    assert (
        isinstance(found, Placement)
        if fits
        else "node(s) had untolerated taint {k: v}" in reason(found)
    )


def test_preferring_taints_keep_nobody_off_and_no_execute_does() -> None:
    """Only NoSchedule and NoExecute are filters, also for a volume that no pod uses."""
    soft = node("n2", taints=[{"key": "k", "effect": "PreferNoSchedule"}])
    hard = node("n2", taints=[{"key": "k", "effect": "NoExecute"}])
    assert isinstance(verdict(on=[soft]), Placement)
    assert "{k: }" in reason(verdict(on=[hard]))
    assert targets(plan_all(world([node(LOST), hard], [logic_volume("v")]))) == {"v": ""}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, True),
        ({"nodeSelector": {"disk": "hdd"}}, False),
        (on_nodes({"key": "disk", "operator": "In", "values": ["ssd", "x"]}), True),
        (on_nodes({"key": "disk", "operator": "NotIn", "values": ["ssd"]}), False),
        (on_nodes({"key": "other", "operator": "NotIn", "values": ["ssd"]}), True),
        (on_nodes({"key": "disk", "operator": "Exists"}), True),
        (on_nodes({"key": "disk", "operator": "DoesNotExist"}), False),
        (on_nodes({"key": "rank", "operator": "Gt", "values": ["4"]}), True),
        (on_nodes({"key": "rank", "operator": "Gt", "values": ["5"]}), False),
        (on_nodes({"key": "rank", "operator": "Lt", "values": ["6"]}), True),
        (on_nodes({"key": "disk", "operator": "Lt", "values": ["6"]}), False),
        (on_nodes({"key": "none", "operator": "Lt", "values": ["6"]}), False),
        (on_nodes(fields=[{"key": "metadata.name", "operator": "In", "values": ["n2"]}]), True),
        (on_nodes(fields=[{"key": "metadata.name", "operator": "NotIn", "values": ["n2"]}]), False),
        (on_nodes(), False),
    ],
)
def test_node_selector_and_required_node_affinity(spec: Any, fits: bool) -> None:
    """Every operator of node affinity is judged as the scheduler does; an empty term matches no
    node.
    """
    found = verdict(on=[node("n2", labels={"disk": "ssd", "rank": "5"})], mine=spec)
    assert (
        isinstance(found, Placement)
        if fits
        else "node(s) didn't match Pod's node affinity/selector" in reason(found)
    )


@pytest.mark.parametrize(
    "spec",
    [
        on_nodes({"key": "disk", "operator": "Near", "values": ["ssd"]}),
        on_nodes({"key": "disk", "operator": "Gt", "values": ["much"]}),
        on_nodes({"key": "disk", "operator": "In"}),
        on_nodes(fields=[{"key": "metadata.uid", "operator": "In", "values": ["n2"]}]),
        near(
            topologyKey=HOSTNAME,
            labelSelector={"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]},
        ),
        {"tolerations": [{"key": "k", "operator": "Maybe"}]},
        spread(whenUnsatisfiable="Perhaps"),
        spread(maxSkew=0),
        {"nodeSelector": "ssd"},
        {"affinity": []},
        {"resourceClaims": [{"name": "gpu"}]},
    ],
)
def test_a_constraint_that_cannot_be_read_is_a_reason_and_never_a_guess(spec: Any) -> None:
    """An unknown operator or a wrong type refuses that pod's volumes, names the pod, and leaves
    others alone.
    """
    cluster = world(
        [node(LOST), node("n2")], [logic_volume("v"), logic_volume("w")], [pod("p", "v", **spec)]
    )
    found = plan_all(cluster)
    assert reason(found["v"]).startswith("pod default/p: ")
    assert isinstance(found["w"], Placement)


def test_a_standing_pod_that_cannot_be_read_keeps_its_node_out() -> None:
    """What it keeps away is not known, so its node takes nothing and the other does."""
    odd = pod("odd", on="n2", affinity={"podAntiAffinity": "all"})
    assert isinstance(found := verdict(on=[node("n2"), node("n3")], others=[odd]), Placement)
    assert found.node == "n3"


def test_required_pod_affinity() -> None:
    """The pod goes where one that it needs stands, in the same topology domain."""
    zones = [node("n2", labels={ZONE: "a"}), node("n3", labels={ZONE: "b"})]
    friend = pod("friend", on="n3", labels={"app": "web"})
    mine = near(topologyKey=ZONE, labelSelector=app("web"))
    assert verdict(on=zones, mine=mine, others=[friend]).node == "n3"
    assert "node(s) didn't match pod affinity rules" in reason(verdict(on=zones, mine=mine))


def test_the_first_pod_of_its_kind_may_need_itself() -> None:
    """A pod whose affinity names its own labels goes anywhere while there is none of them, if the
    label is there.
    """
    mine = near(topologyKey=ZONE, labelSelector=app("a")) | {"labels": {"app": "a"}}
    assert isinstance(verdict(on=[node("n2", labels={ZONE: "a"})], mine=mine), Placement)
    assert "pod affinity rules" in reason(verdict(on=[node("n2")], mine=mine))


def test_required_pod_anti_affinity_both_ways() -> None:
    """A pod shuns others, and is kept away by the anti-affinity of pods that stand there
    (symmetry).
    """
    both = [node("n2"), node("n3")]
    mine = apart(topologyKey=HOSTNAME, labelSelector=app("b"))
    other = pod("other", on="n2", labels={"app": "b"})
    assert verdict(on=both, mine=mine, others=[other]).node == "n3"
    jealous = pod("jealous", on="n2", **apart(topologyKey=HOSTNAME, labelSelector=app("a")))
    assert verdict(on=both, mine={"labels": {"app": "a"}}, others=[jealous]).node == "n3"
    alone = verdict(on=[node("n2")], mine={"labels": {"app": "a"}}, others=[jealous])
    assert "node(s) didn't satisfy existing pods anti-affinity rules" in reason(alone)
    alone = verdict(on=[node("n2")], mine=mine, others=[other])
    assert "node(s) didn't match pod anti-affinity rules" in reason(alone)


def test_anti_affinity_speaks_of_its_own_namespaces() -> None:
    """Without namespaces the pod's own counts; namespaceSelector {} counts all; other selectors are
    refused.
    """
    far = pod("far", on="n2", labels={"app": "b"}, meta={"namespace": "other"})
    same = apart(topologyKey=HOSTNAME, labelSelector=app("b"))
    named = apart(topologyKey=HOSTNAME, labelSelector=app("b"), namespaces=["other"])
    every = apart(topologyKey=HOSTNAME, labelSelector=app("b"), namespaceSelector={})
    some = apart(
        topologyKey=HOSTNAME,
        labelSelector=app("b"),
        namespaceSelector={"matchLabels": {"team": "x"}},
    )
    assert isinstance(verdict(on=[node("n2")], mine=same, others=[far]), Placement)
    assert "anti-affinity" in reason(verdict(on=[node("n2")], mine=named, others=[far]))
    assert "anti-affinity" in reason(verdict(on=[node("n2")], mine=every, others=[far]))
    assert "the labels of namespaces are not observed" in reason(
        verdict(on=[node("n2")], mine=some)
    )


def test_match_label_keys_narrow_the_selector() -> None:
    """The keys of matchLabelKeys add the pod's own value of a label, those of mismatchLabelKeys
    exclude it.
    """
    labels = {"app": "a", "rev": "1"}
    old = pod("old", on="n2", labels={"app": "a", "rev": "0"})
    same = apart(topologyKey=HOSTNAME, labelSelector=app("a"), matchLabelKeys=["rev"])
    other = apart(topologyKey=HOSTNAME, labelSelector=app("a"), mismatchLabelKeys=["rev"])
    assert isinstance(
        verdict(on=[node("n2")], mine=same | {"labels": labels}, others=[old]), Placement
    )
    assert "anti-affinity" in reason(
        verdict(on=[node("n2")], mine=other | {"labels": labels}, others=[old])
    )


def test_terminating_pods_count_for_anti_affinity_and_finished_ones_do_not() -> None:
    """The scheduler waits until a terminating pod is gone; one that ran to its end is gone
    already.
    """
    mine = apart(topologyKey=HOSTNAME, labelSelector=app("b"))
    going = pod(
        "b", on="n2", labels={"app": "b"}, meta={"deletionTimestamp": "2026-11-24T00:00:00Z"}
    )
    done = pod("b", on="n2", labels={"app": "b"}, phase="Succeeded")
    assert "anti-affinity" in reason(verdict(on=[node("n2")], mine=mine, others=[going]))
    assert isinstance(verdict(on=[node("n2")], mine=mine, others=[done]), Placement)


def test_topology_spread_do_not_schedule() -> None:
    """A domain that would be more than maxSkew above the emptiest is closed; terminating pods do
    not count.
    """
    zones = [node("n2", labels={ZONE: "a"}), node("n3", labels={ZONE: "b"})]
    mine = spread() | {"labels": {"app": "a"}}
    crowd = pod("x", on="n3", labels={"app": "a"})
    assert verdict(on=zones, mine=mine, others=[crowd]).node == "n2"
    only = [node("n2", labels={ZONE: "a"}, unschedulable=True), zones[1]]
    found = reason(verdict(on=only, mine=mine, others=[crowd]))
    assert "n3: node(s) didn't match pod topology spread constraints" in found
    crowd["metadata"]["deletionTimestamp"] = "2026-11-24T00:00:00Z"
    assert verdict(on=only, mine=mine, others=[crowd]).node == "n3"
    assert "(missing required label)" in reason(verdict(on=[node("n2")], mine=mine))


def test_topology_spread_min_domains_and_policies() -> None:
    """Too few domains make the minimum zero; excluded nodes are no domains."""
    mine = {"labels": {"app": "a"}}
    crowd = pod("x", on="n3", labels={"app": "a"})
    full, empty = (
        node("n3", labels={ZONE: "b"}),
        node("n2", labels={ZONE: "a"}, taints=[{"key": "k", "effect": "NoExecute"}]),
    )
    assert isinstance(verdict(on=[full], mine=mine | spread(), others=[crowd]), Placement)
    assert "spread" in reason(verdict(on=[full], mine=mine | spread(minDomains=2), others=[crowd]))
    assert "spread" in reason(verdict(on=[full, empty], mine=mine | spread(), others=[crowd]))
    assert (
        verdict(on=[full, empty], mine=mine | spread(nodeTaintsPolicy="Honor"), others=[crowd]).node
        == "n3"
    )
    here = {"nodeSelector": {ZONE: "b"}}
    assert verdict(on=[full, empty], mine=mine | here | spread(), others=[crowd]).node == "n3"
    ignoring = mine | here | spread(nodeAffinityPolicy="Ignore")
    assert "spread" in reason(verdict(on=[full, empty], mine=ignoring, others=[crowd]))


@pytest.mark.parametrize(
    ("requests", "allocatable", "missing"),
    [
        ({"cpu": "3"}, {"cpu": "4"}, "cpu"),
        ({"memory": "3Gi"}, {"memory": "4Gi"}, "memory"),
        ({"example.com/gpu": "1"}, {}, "example.com/gpu"),
        ({"cpu": "2", "memory": "2Gi"}, {"cpu": "4", "memory": "4Gi"}, ""),
    ],
)
def test_resources_beside_what_stands_there(requests: Any, allocatable: Any, missing: str) -> None:
    """What the node's pods request is removed what it has; extended resources it does not list
    are zero.
    """
    big = node("n2", allocatable=allocatable)
    found = verdict(
        on=[big],
        mine={"requests": requests},
        others=[pod("x", on="n2", requests={"cpu": "2", "memory": "2Gi"})],
    )
    assert f"Insufficient {missing}" in reason(found) if missing else isinstance(found, Placement)


def test_a_node_has_room_for_so_many_pods() -> None:
    """allocatable.pods is a limit as well."""
    small = node("n2", allocatable={"pods": "1"})
    assert isinstance(verdict(on=[small]), Placement)
    assert "Too many pods" in reason(verdict(on=[small], others=[pod("x", on="n2")]))


def test_host_ports() -> None:
    """The same port and protocol conflict where one of the addresses is every address, or both are
    the same.
    """

    def taking(port: int, **more: Any) -> dict[str, Any]:
        return {"ports": [{"containerPort": 1, "hostPort": port, **more}]}

    held = pod("x", on="n2", **taking(80, hostIP="10.0.0.1"))
    words = "node(s) didn't have free ports for the requested pod ports"
    assert words in reason(verdict(on=[node("n2")], mine=taking(80), others=[held]))
    assert isinstance(
        verdict(on=[node("n2")], mine=taking(80, hostIP="10.0.0.2"), others=[held]), Placement
    )
    assert isinstance(
        verdict(on=[node("n2")], mine=taking(80, protocol="UDP"), others=[held]), Placement
    )
    assert isinstance(verdict(on=[node("n2")], mine=taking(81), others=[held]), Placement)


def local_pv(name: str, on: str, **meta: Any) -> dict[str, Any]:
    """Make a local PV of another driver."""
    terms = [{"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [on]}]}]
    return {
        "metadata": {"name": name, **meta},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "local": {"path": "/data"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    }


def test_a_local_volume_of_another_driver_nails_the_pod() -> None:
    """Another PV's node affinity counts: the pod goes where that volume is, or nowhere."""

    def found(on: str) -> Any:
        more: Any = {"claims": [claim("data", "pv-x")], "persistent": [local_pv("pv-x", on)]}
        return verdict(on=[node("n2"), node("n3")], mine={"claims": ("data",)}, **more)

    assert found("n3").node == "n3"
    assert "node(s) didn't match PersistentVolume's node affinity (pv-x)" in reason(found(LOST))


def test_a_volume_with_a_zone_stays_in_it() -> None:
    """A PV's zone label must be the node's, where nodes have zones at all."""
    zoned = {
        "metadata": {"name": "pv-x", "labels": {ZONE: "b"}},
        "spec": {"capacity": {"storage": "1Gi"}},
    }
    more: Any = {
        "claims": [claim("data", "pv-x")],
        "persistent": [zoned],
        "mine": {"claims": ("data",)},
    }
    assert verdict(on=[node("n2", labels={ZONE: "b"})], **more).node == "n2"
    assert "no available volume zone" in reason(
        verdict(on=[node("n2", labels={ZONE: "a"})], **more)
    )
    assert verdict(on=[node("n2")], **more).node == "n2"


@pytest.mark.parametrize("claims", [[], [claim("data", "gone")]])
def test_a_claim_or_volume_that_is_not_there_is_a_reason(claims: Any) -> None:
    """A pod that could not run anywhere for want of another claim or PV is not moved."""
    assert "not found (pod default/p)" in reason(
        verdict(on=[node("n2")], mine={"claims": ("data",)}, claims=claims)
    )


def test_allowed_topologies_of_the_class() -> None:
    """A rebuild is a provisioning: the StorageClass of the volume, or of an unbound claim, says
    where.
    """
    terms = [{"matchLabelExpressions": [{"key": ZONE, "values": ["b"]}]}]
    fast = {"metadata": {"name": "fast"}, "allowedTopologies": terms}
    unbound = claim("data", "", storageClassName="fast")
    zones = [node("n2", labels={ZONE: "a"}), node("n3", labels={ZONE: "b"})]
    found = verdict(on=zones, mine={"claims": ("data",)}, claims=[unbound], classes=[fast])
    assert found.node == "n3"
    own = {
        "metadata": {"name": "v"},
        "spec": {"capacity": {"storage": "5Gi"}, "storageClassName": "fast"},
    }
    assert verdict(on=zones, persistent=[own], classes=[fast]).node == "n3"
    assert "allowedTopologies of storageclass fast" in reason(
        verdict(on=zones[:1], persistent=[own], classes=[fast])
    )


def test_a_node_without_carinas_label_takes_nothing() -> None:
    """The new PV would ask for a label that no node has, and its pod would hang Pending for
    ever.
    """
    bare = node("n2")
    del bare["metadata"]["labels"]["topology.carina.storage.io/node"]
    assert "Carina's CSI driver is not registered there" in reason(verdict(on=[bare]))


def test_a_volume_group_that_lvm_does_not_allocate_from_takes_nothing() -> None:
    """A missing disk is named; it does not look like a group without free space."""
    cluster = world([node(LOST), node("n2")], [logic_volume("v")])
    there = inventory("n2")
    broken = structs.replace(
        there,
        groups=tuple(
            structs.replace(group, problem="a disk of it is missing") for group in there.groups
        ),
    )
    found = reason(plan_all(cluster, {"n2": broken})["v"])
    assert found == f"0/1 nodes fit: n2: cannot use its volume group {VG}: a disk of it is missing"


def test_an_lv_in_a_pvmove_of_the_wanted_name_is_in_the_way() -> None:
    """It can neither be removed nor replaced while lvm works on it, so its node is no target."""
    cluster = world([node(LOST), node("n2")], [logic_volume("v")])
    there = {
        "n2": inventory(
            "n2", lvs=(local_volume("volume-v", at_work="it is locked, as during a pvmove"),)
        )
    }
    assert "has an LV carina-vg-hdd/volume-v already, and it is locked" in reason(
        plan_all(cluster, there)["v"]
    )


def test_a_node_without_the_volume_group_takes_nothing() -> None:
    """The VG of the same name must be there."""
    cluster = world([node(LOST), node("n2")], [logic_volume("v")])
    other = {"n2": inventory("n2", group="carina-vg-ssd")}
    assert reason(plan_all(cluster, other)["v"]) == f"0/1 nodes fit: n2: has no volume group {VG}"


@pytest.mark.parametrize(
    "terms",
    [["zone"], [{"matchLabelExpressions": 5}], [{"matchLabelExpressions": [{"key": ZONE}]}]],
)
def test_a_class_or_volume_that_cannot_be_read_is_a_reason(terms: Any) -> None:
    """Malformed allowedTopologies or PV node affinity refuse the pods that depend on them, with the
    object's name.
    """
    odd = {"metadata": {"name": "odd"}, "allowedTopologies": terms}
    unbound = claim("data", "", storageClassName="odd")
    found = verdict(on=[node("n2")], mine={"claims": ("data",)}, claims=[unbound], classes=[odd])
    assert reason(found).startswith("allowedTopologies of storageclass odd: ")
    pv = local_pv("pv-x", "n2")
    pv["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0][
        "operator"
    ] = "Near"
    found = verdict(
        on=[node("n2")], mine={"claims": ("data",)}, claims=[claim("data", "pv-x")], persistent=[pv]
    )
    assert reason(found).startswith("nodeAffinity of persistentvolume pv-x: ")
