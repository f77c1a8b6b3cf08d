"""Days that users of real clusters reported: planned work, policies, finished pods, one volume that
nothing may touch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.lab import kube as k
from tests.lab.lab import Lab
from tests.system.product import Product

ONE, TWO, THREE = "10.20.9.151", "10.20.9.152", "10.20.9.153"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"


def test_a_drained_node_that_reboots_keeps_its_data(lab: Lab) -> None:
    """Cordoned, drained and away for longer than NOT_READY_AFTER: nothing moves, an Event says
    until when; uncordoned, it does.
    """
    product = Product(lab, not_ready_cordoned="600")
    product.start("control", "node_watch")
    name = lab.world.add_volume("data", ONE, migrate="true").name
    before = product.logic_volumes()[name]["metadata"]["resourceVersion"]
    lab.kubectl("cordon", ONE)
    lab.kill_node(ONE)
    lab.world.wait("the node is NotReady", lambda: lab.world.ready(ONE) != "True", 40)
    lab.world.wait("an Event reports it", lambda: "FailoverDelayed" in reasons(lab, ONE), 60)
    time.sleep(8)
    assert product.logic_volumes()[name]["metadata"]["resourceVersion"] == before
    _, text = product.typed("carina", "status")
    assert "cordoned: failed over at" in text
    lab.kubectl("uncordon", ONE)
    product.wait_rebuilt(name, away_from=ONE, timeout=90)


def test_an_upgrade_deletes_and_registers_a_node_in_maintenance(lab: Lab) -> None:
    """Announced, deleted, away: no volume moves, and that of another node does; ended while it is
    away, its volumes move.
    """
    product = Product(lab)
    product.start("control", "node_watch")
    mine, other = lab.world.add_volume("data", ONE).name, lab.world.add_volume("other", TWO).name
    assert (
        product.typed("carina", "maintenance", "start", ONE, "--for", "1h", "--reason", "upgrade")[
            0
        ]
        == 0
    )
    lab.kubectl("delete", "node", ONE)
    lab.world.wait("an Event reports it", lambda: "FailoverSuspended" in reasons(lab, ONE), 40)
    lab.kill_node(TWO)
    lab.kubectl("delete", "node", TWO)
    product.wait_rebuilt(other, away_from=TWO, timeout=90)
    assert product.table()[mine][2] == ONE
    assert ONE in product.typed("carina", "maintenance", "list")[1]
    assert product.typed("carina", "maintenance", "end", ONE)[0] == 0
    product.wait_rebuilt(mine, away_from=ONE, timeout=90)


def test_an_out_of_service_node_is_not_waited_for(lab: Lab) -> None:
    """Cordoned, with long waits, and tainted: the operator vouches that the machine is off."""
    product = Product(
        lab,
        not_ready_after="600",
        not_ready_cordoned="1800",
        not_ready_witnessed="600",
        lease_fresh="10",
    )
    product.start("control", "node_watch")
    # Kubernetes deletes the pods of such a node; the one that its StatefulSet makes in its place is
    # Pending, and annotated.
    on_one = next(pod for pod in lab.world.add_mysql() if pod["spec"]["nodeName"] == ONE)
    name = lab.kube.get(f"{k.claims()}/data-{on_one['metadata']['name']}")["spec"]["volumeName"]
    lab.kubectl("cordon", ONE)
    lab.kill_node(ONE)
    lab.world.wait("the node is NotReady", lambda: lab.world.ready(ONE) != "True", 40)
    lab.kubectl("taint", "nodes", ONE, "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
    product.wait_rebuilt(name, away_from=ONE, timeout=90)


def test_a_policy_that_denies_one_volume_stops_that_one_only(lab: Lab) -> None:
    """An admission policy refuses every update of one LogicVolume: the others of the node move, its
    claim has an Event, later it moves.
    """
    product = Product(lab)
    product.start("control", "node_watch", "beat")
    names = [lab.world.add_volume(claim, ONE).name for claim in ("frozen", "second", "third")]
    with policy(lab, f"object.metadata.name != '{names[0]}'"):
        lab.kill_node(ONE)
        lab.kubectl("delete", "node", ONE)
        product.wait_rebuilt(*names[1:], away_from=ONE, timeout=90)
        assert product.table()[names[0]][2] == ONE
        claims = lab.kubectl(
            "get",
            "events",
            "-n",
            "default",
            "-o",
            'jsonpath={range .items[*]}{.reason} {.message}{"\\n"}{end}',
        )
        assert "RebuildFailed" in claims
        assert "frozen by a policy" in claims
        code, text = product.typed("carina", "failed")
        assert code == 1
        assert "frozen by a policy" in " ".join(text.split())
    product.wait_rebuilt(names[0], away_from=ONE, timeout=90)


def test_a_failover_is_undone_and_the_undoing_is_undone(lab: Lab) -> None:
    """The deleted node is registered again: its old copy is the volume with its bytes; failed back
    once more, the newer is.
    """
    product = Product(lab, orphan_grace="3600")
    product.start("control", "node_watch")
    pod = lab.world.add_mysql()[0]
    first, claim = pod["spec"]["nodeName"], f"data-{pod['metadata']['name']}"
    name = lab.kube.get(f"{k.claims()}/{claim}")["spec"]["volumeName"]
    old = product.lv_uuid(first, f"volume-{name}")
    write(lab, first, name, "written before")
    lab.kill_node(first)
    lab.kubectl("delete", "node", first)
    product.wait_rebuilt(name, away_from=first, timeout=90)
    second = product.table()[name][2]
    new = product.lv_uuid(second, f"volume-{name}")
    write(lab, second, name, "written since")
    lab.nodes[first].boot()
    lab.kubelets[first].resume()
    lab.world.add_node(first)
    lab.world.wait("its worker lives", lambda: lab.redis.client.exists(f"alive.{first}"), 60)

    code, text = product.typed("carina", "plan", first, "--failback")
    assert (code, old in text, "possible" in text) == (0, True, True), text
    code, text = product.typed("carina", "failback", first, f"default/{claim}")
    assert (code, f"confirm with {name}" in " ".join(text.split())) == (1, True), text
    assert product.table()[name][2] == second
    code, text = product.typed("carina", "failback", first, f"default/{claim}", "--confirm", name)
    assert (code, "failed-back" in text) == (0, True), text
    assert (product.table()[name][2], product.lv_uuid(first, f"volume-{name}")) == (first, old)
    assert read(lab, first, name) == "written before"
    lab.world.wait("the pod runs there", lambda: runs_on(lab, pod["metadata"]["name"]) == first, 60)
    assert product.lv_uuid(second, f"volume-{name}") == new

    code, text = product.typed("carina", "failback", second, name, "--confirm", name)
    assert (code, "failed-back" in text) == (0, True), text
    assert (product.table()[name][2], product.lv_uuid(second, f"volume-{name}")) == (second, new)
    assert read(lab, second, name) == "written since"
    lab.world.wait(
        "the pod runs there", lambda: runs_on(lab, pod["metadata"]["name"]) == second, 60
    )


def write(lab: Lab, node: str, name: str, text: str) -> None:
    """Write a line to the beginning of an LV, as an application would into its device."""
    path = f"/dev/carina-vg-hdd/volume-{name}"
    lab.nodes[node].run("dd", f"of={path}", "bs=512", "conv=sync,fsync,notrunc", stdin=text + "\n")


def read(lab: Lab, node: str, name: str) -> str:
    """Return the line at the beginning of an LV."""
    return (
        lab.nodes[node].run("head", "-n", "1", f"/dev/carina-vg-hdd/volume-{name}").stdout.strip()
    )


def runs_on(lab: Lab, pod: str) -> str:
    """Return the node on which a pod is Running, empty when it is not."""
    found = lab.kube.find(f"{k.pods()}/{pod}") or {}
    running = (found.get("status") or {}).get("phase") == "Running"
    return str(found["spec"].get("nodeName", "")) if running else ""


def test_a_finished_pod_that_shares_a_claim_is_not_deleted(lab: Lab) -> None:
    """A Succeeded pod without the annotation beside a running, annotated one: the volume moves, the
    finished pod stays as it was.
    """
    product = Product(lab)
    product.start("control", "node_watch")
    name = lab.world.add_volume("data", ONE, migrate="true").name
    lab.kube.create(k.pods(), product.pod("backup", ["data"], on=ONE))
    lab.kubectl(
        "patch",
        "pod",
        "backup",
        "--subresource=status",
        "--type=merge",
        "-p",
        '{"status":{"phase":"Succeeded"}}',
    )
    uid = lab.kube.get(f"{k.pods()}/backup")["metadata"]["uid"]
    lab.kill_node(ONE)
    product.wait_rebuilt(name, away_from=ONE, timeout=90)
    after: dict[str, Any] = dict(lab.kube.get(f"{k.pods()}/backup"))
    assert (after["metadata"]["uid"], after["status"]["phase"]) == (uid, "Succeeded")
    assert "deletionTimestamp" not in after["metadata"]


def reasons(lab: Lab, node: str) -> set[str]:
    """Return the reasons of the Events on a node."""
    selector = f"involvedObject.kind=Node,involvedObject.name={node}"
    text = lab.kubectl(
        "get",
        "events",
        "-n",
        "default",
        "--field-selector",
        selector,
        "-o",
        "jsonpath={.items[*].reason}",
    )
    return set(text.split())


@contextmanager
def policy(lab: Lab, expression: str) -> Iterator[None]:
    """Let the API server deny updates of LogicVolumes for which the expression is false."""
    rules = [
        {
            "apiGroups": ["carina.storage.io"],
            "apiVersions": ["v1"],
            "operations": ["UPDATE"],
            "resources": ["logicvolumes"],
        }
    ]
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": expression, "message": "frozen by a policy"}],
    }
    kinds = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": "frozen"}}
    lab.kube.create(POLICIES, {**kinds, "kind": "ValidatingAdmissionPolicy", "spec": spec})
    binding = {"policyName": "frozen", "validationActions": ["Deny"]}
    lab.kube.create(
        BINDINGS, {**kinds, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding}
    )
    try:
        time.sleep(5)  # The API server compiles it in its own time.
        yield
    finally:
        lab.kubectl(
            "delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "frozen"
        )
