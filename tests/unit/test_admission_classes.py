"""Which volumes are tried once for all of them, before a rebuild."""

from __future__ import annotations

from typing import Any

import pytest

from carina_tasks.decisions.admission_classes import admission_class
from carina_tasks.errors import ApiDenied
from carina_tasks.flows.failover.lost_node import migrate_node, rebuild_node
from carina_tasks.kube import paths
from carina_tasks.model import well_known
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import (
    Json,
    claim,
    inventory,
    journal,
    logic_volume,
    node,
    pod,
    pv,
    world,
)

NAMES = ("data-db-0", "data-db-1", "data-db-2")


def parts_of(name: str, ordinal: int, **changes: Json) -> list[Json]:
    """Make a volume of a StatefulSet's pod; `changes` are merged into the metadata of one kind."""
    labels = {"app": "db", "apps.kubernetes.io/pod-index": str(ordinal)}
    found = [
        logic_volume(name),
        pv(name),
        claim(name, labels={"app": "db"}, annotations={"bound-at": f"10.0.0.{ordinal}"}),
        pod(f"db-{ordinal}", name, labels=labels),
    ]
    for raw in found:
        raw["metadata"] |= changes.get(raw["kind"], {})
    return found


def class_of(parts: list[Json], **more: Any) -> object:
    """Return the class of a volume that leaves n1 for n2."""
    snapshot = world(node("n2"), *parts)
    (one,) = snapshot.logic_volumes.values()
    return admission_class(snapshot, one, journal(one.name, **more))


def test_replicas_are_alike() -> None:
    """They differ in names, UIDs, ordinals and addresses."""
    assert class_of(parts_of("pvc-aa11", 0)) == class_of(parts_of("pvc-bb22", 1))


DIFFERENCES: dict[str, dict[str, Json]] = {
    "a label of the claim": {"PersistentVolumeClaim": {"labels": {"app": "web"}}},
    "a number in a label": {"PersistentVolumeClaim": {"labels": {"app": "db", "tier": "1"}}},
    "an annotation of the PV": {"PersistentVolume": {"annotations": {"protected": "true"}}},
    "a finalizer of the PV": {"PersistentVolume": {"finalizers": ["example.org/hold"]}},
    "a label of the LogicVolume": {"LogicVolume": {"labels": {"hold": "yes"}}},
    "a label of the pod": {"Pod": {"labels": {"app": "db", "hold": "yes"}}},
    "a finalizer of the pod": {"Pod": {"finalizers": ["example.org/hold"]}},
    "the pod's controller": {
        "Pod": {
            "ownerReferences": [
                {"kind": "StatefulSet", "name": "o", "uid": "other", "controller": True}
            ]
        }
    },
}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_what_a_policy_may_look_at_makes_a_class_of_its_own(difference: str) -> None:
    """Labels, annotations, finalizers and controllers of each object of the rebuild."""
    plain = class_of(parts_of("pvc-aa11", 0))
    assert class_of(parts_of("pvc-bb22", 1, **DIFFERENCES[difference])) != plain


def test_the_target_and_the_size_make_a_class_of_their_own() -> None:
    """The new PV names the one, and quotas count the other."""
    plain = class_of(parts_of("pvc-aa11", 0))
    assert class_of(parts_of("pvc-aa11", 0), target="n3") != plain
    larger = parts_of("pvc-aa11", 0)
    larger[0]["spec"]["size"] = "6Gi"
    assert class_of(larger) != plain


def deleted() -> FakeApi:
    """Make three replicas of n1, which is deleted; n2 takes all."""
    parts = [part for at, name in enumerate(NAMES) for part in parts_of(name, at)]
    return FakeApi(node("n2"), *parts)


def tries(api: FakeApi) -> list[tuple[str, str]]:
    """Return the list that every dry run will be noted in."""
    found: list[tuple[str, str]] = []
    api.on_try = lambda verb, path: found.append((verb, path))
    return found


def test_one_of_a_deleted_nodes_replicas_is_tried_for_all() -> None:
    """Seven writes of the first, and of each the new PV, right before the old one goes."""
    api = deleted()
    tried = tries(api)
    result = rebuild_node(context(api, FakeNodes(inventory("n2"))), "n1")
    assert [one.outcome for one in result.volumes] == ["rebuilt"] * 3
    creates = sorted(path for verb, path in tried if verb == "create")
    assert creates == sorted(paths.persistent_volume(name) for name in (NAMES[0], *NAMES))
    assert len(tried) == 7 + len(NAMES)


def test_a_refusal_is_no_answer_about_the_others() -> None:
    """The first may not be touched: each of the others is asked for itself, and moves."""
    api = deleted()

    def refuse(verb: str, path: str) -> None:
        if path == paths.claim("default", f"claim-{NAMES[0]}"):
            raise ApiDenied("by a policy", status=403)

    api.on_try = api.on_write = refuse
    result = rebuild_node(context(api, FakeNodes(inventory("n2"))), "n1")
    found = {one.volume: one.outcome for one in result.volumes}
    assert found == {NAMES[0]: "failed", NAMES[1]: "rebuilt", NAMES[2]: "rebuilt"}
    assert not [path for _, path, _ in api.log if NAMES[0] in path]


@pytest.mark.parametrize("verb", ["create", "delete"])
def test_what_the_class_did_not_show_keeps_the_old_pv(verb: str) -> None:
    """A policy that goes by the name of a PV refuses it when it is its turn: the old PV stays, the
    claim gives the reason, and the others move.
    """
    api = deleted()

    def refuse(asked: str, path: str) -> None:
        if (asked, path) == (verb, paths.persistent_volume(NAMES[1])):
            raise ApiDenied("by a policy", status=403)

    api.on_try = api.on_write = refuse
    result = rebuild_node(context(api, FakeNodes(inventory("n2"))), "n1")
    found = {one.volume: one.outcome for one in result.volumes}
    assert found == {NAMES[0]: "rebuilt", NAMES[1]: "failed", NAMES[2]: "rebuilt"}
    kept = api.one("PersistentVolume", NAMES[1])["metadata"]
    assert kept["uid"] == f"uid-pv-{NAMES[1]}"
    assert "deletionTimestamp" not in kept
    (event,) = [one for one in api.events if one["reason"] == "RebuildFailed"]
    assert event["involvedObject"]["name"] == f"claim-{NAMES[1]}"


def test_each_volume_of_a_node_that_may_come_back_is_tried() -> None:
    """Its data is there: what is refused must not be touched at all."""
    parts = [part for at, name in enumerate(NAMES) for part in parts_of(name, at)]
    for raw in parts:
        if raw["kind"] == "Pod":
            raw["metadata"]["annotations"] = {well_known.MIGRATION_ALLOWED: "true"}
    api = FakeApi(node("n1", ready="False"), node("n2"), *parts)
    tried = tries(api)
    migrate_node(context(api, FakeNodes(inventory("n2"))), "n1")
    touched = {path for verb, path in tried if "persistentvolumeclaims" in path}
    assert touched == {paths.claim("default", f"claim-{name}") for name in NAMES}
