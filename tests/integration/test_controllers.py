"""The stand-in for Kubernetes' controllers behaves as the real ones do where carina-tasks can
notice.
"""

from __future__ import annotations

import time

from carina_tasks.demo import manifests
from carina_tasks.demo.world import CLAIMS, PODS, SETS
from carina_tasks.kube import paths
from carina_tasks.model.objects import parse_pod
from tests.integration.embedded import GIB, ONE, TWO, Embedded


def test_a_claim_whose_volume_was_replaced_stays_lost_until_touched(embedded: Embedded) -> None:
    """As measured on the real one: Lost when the volume goes, and looked at again only when the
    claim itself changes.
    """
    name, path = embedded.volume("data", ONE), f"{CLAIMS}/data"
    # Away from the resync, at which every claim is looked at.
    binder = embedded.stage.controllers.binder
    embedded.wait("the resync is far", lambda: binder.next_resync - time.monotonic() > 6)
    raw = embedded.api.get(paths.persistent_volume(name))
    embedded.api.delete(paths.persistent_volume(name), uid=raw["metadata"]["uid"])
    embedded.api.merge(paths.persistent_volume(name), {"metadata": {"finalizers": None}})
    embedded.wait("the claim is Lost", lambda: embedded.api.get(path)["status"]["phase"] == "Lost")
    # The claim has just changed, by its own turning Lost: let that be looked at first.
    assert embedded.stays(lambda: embedded.api.get(path)["status"]["phase"] == "Lost", 0.5)
    meta = {"name": name, "annotations": raw["metadata"]["annotations"]}
    embedded.api.create(paths.PERSISTENT_VOLUMES, {**raw, "metadata": meta, "status": {}})
    assert embedded.stays(lambda: embedded.api.get(path)["status"]["phase"] == "Lost", 2)
    embedded.api.merge(path, {"metadata": {"annotations": {"touched": "1"}}})
    embedded.wait(
        "the claim is Bound", lambda: embedded.api.get(path)["status"]["phase"] == "Bound", 2
    )
    embedded.wait(
        "and its volume",
        lambda: embedded.api.get(paths.persistent_volume(name))["status"]["phase"] == "Bound",
        2,
    )


def test_a_pod_follows_its_volume_and_nothing_else(embedded: Embedded) -> None:
    """A deleted pod is created again on its volume's node; with that node cordoned it stays Pending
    and gives the reason.
    """
    embedded.app("plain", ONE)
    path = f"{PODS}/plain-0"
    first = embedded.api.get(path)["metadata"]["uid"]
    embedded.api.delete(path, uid=first)
    embedded.wait(
        "it runs again",
        lambda: _uid(embedded) not in ("", first) and embedded.world.running("plain-0", on=ONE),
    )
    embedded.api.merge(paths.node(ONE), {"spec": {"unschedulable": True}})
    embedded.api.delete(path, uid=_uid(embedded), grace=0)

    def unschedulable() -> bool:
        pod = embedded.world.pods().get("plain-0")
        if pod is None or pod.node or pod.phase != "Pending":
            return False
        conditions = embedded.api.get(path)["status"].get("conditions") or []
        return any("node affinity" in condition.get("message", "") for condition in conditions)

    embedded.wait("it cannot be scheduled", unschedulable)
    assert embedded.stays(lambda: not parse_pod(embedded.api.get(path)).node, 1)


def test_a_claim_without_a_volume_waits_for_its_pod(embedded: Embedded) -> None:
    """WaitForFirstConsumer: a claim alone stays Pending; with its pod it gets volume, LogicVolume
    and LV on the pod's node.
    """
    embedded.api.create(CLAIMS, manifests.claim("data-late-0", "2Gi", {}, {}))
    assert embedded.stays(
        lambda: embedded.api.get(f"{CLAIMS}/data-late-0")["status"]["phase"] == "Pending", 1
    )
    embedded.world.stateful_set("late", "2Gi", 1)
    embedded.wait(
        "it runs",
        lambda: (
            "late-0" in embedded.world.pods() and embedded.world.pods()["late-0"].phase == "Running"
        ),
    )
    node = embedded.world.pods()["late-0"].node
    volume = embedded.api.get(f"{CLAIMS}/data-late-0")["spec"]["volumeName"]
    assert embedded.sizes()[node] == {f"volume-{volume}": 2 * GIB}
    assert embedded.table()[volume] == ["2Gi", "carina-vg-hdd", node, "Success"]


def test_a_deleted_claim_takes_its_volume_with_it(embedded: Embedded) -> None:
    """A claim in use stays until its pod is gone; then volume, LogicVolume and LV go, as the policy
    Delete says.
    """
    (name,) = embedded.app("plain", ONE)
    claim = embedded.api.get(f"{CLAIMS}/data-plain-0")["metadata"]["uid"]
    embedded.api.delete(f"{CLAIMS}/data-plain-0", uid=claim)
    assert embedded.stays(lambda: "data-plain-0" in embedded.world.claims(), 1)
    workload = embedded.api.get(f"{SETS}/plain")["metadata"]["uid"]
    embedded.api.delete(f"{SETS}/plain", uid=workload)
    embedded.api.delete(f"{PODS}/plain-0", uid=_uid(embedded))
    embedded.wait("all of it is gone", lambda: not embedded.table() and not embedded.world.claims())
    embedded.wait("and the volume", lambda: not embedded.api.list(paths.PERSISTENT_VOLUMES).items)
    assert embedded.sizes()[ONE] == {}
    assert name not in embedded.table()


def test_a_silent_node_is_unknown_and_tainted_until_it_returns(embedded: Embedded) -> None:
    """No heartbeats: Ready is Unknown, the node is tainted, its pods stay listed as they were; all
    of it ends with its return.
    """
    embedded.app("plain", TWO)
    embedded.stage.power_off(TWO)
    embedded.wait("it is Unknown", lambda: embedded.world.ready(TWO) == "Unknown")
    embedded.wait(
        "it is tainted",
        lambda: {t.effect for t in _taints(embedded)} == {"NoSchedule", "NoExecute"},
    )
    assert embedded.world.running("plain-0", on=TWO)
    embedded.stage.power_on(TWO)
    embedded.wait(
        "it is Ready and free",
        lambda: embedded.world.ready(TWO) == "True" and not _taints(embedded),
    )


def _uid(embedded: Embedded) -> str:
    pod = embedded.world.pods().get("plain-0")
    return pod.meta.uid if pod else ""


def _taints(embedded: Embedded) -> tuple[object, ...]:
    node = embedded.world.node(TWO)
    return node.taints if node else ()
