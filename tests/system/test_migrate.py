"""S6, S7: a node goes NotReady; what is annotated moves, and nothing else is touched."""

from __future__ import annotations

import time

from tests.lab import kube as k
from tests.lab.lab import Lab
from tests.system.product import Product

ONE, TWO, THREE = "10.20.9.151", "10.20.9.152", "10.20.9.153"
GIB = 1 << 30


def test_annotated_pods_move_and_nothing_else_is_touched(lab: Lab) -> None:
    """S6, S7: the node's machine dies: the annotated StatefulSet runs elsewhere; un-annotated pods
    and volumes have not moved.
    """
    product = Product(lab)
    product.start("control", "node_watch")
    pods = lab.world.add_mysql()
    lab.world.add_volume("plain", ONE, "3Gi")
    lab.world.add_volume("denied", ONE, "3Gi", migrate="false")
    lab.world.add_volume("elsewhere", TWO, "3Gi", migrate="true")
    on_one = next(pod for pod in pods if pod["spec"]["nodeName"] == ONE)
    mine = lab.kube.get(f"{k.claims()}/data-{on_one['metadata']['name']}")["spec"]["volumeName"]
    untouched = product.versions("plain", "denied", "elsewhere")

    lab.kill_node(ONE)
    lab.world.wait("the node is NotReady", lambda: lab.world.ready(ONE) != "True", 40)
    begun = time.monotonic()
    lab.world.wait(
        "mysql runs without the node", lambda: product.running_elsewhere("app=mysql", 3, ONE), 90
    )
    print(f"NotReady to Running: {time.monotonic() - begun:.1f} s (not_ready_after 3 s)")
    product.wait_rebuilt(mine, away_from=ONE)
    target = product.table()[mine][2]
    assert lab.lvs()[target][f"volume-{mine}"] == 5 * GIB
    time.sleep(3)
    assert product.versions("plain", "denied", "elsewhere") == untouched
    # The taint manager may mark pods of a NotReady node for deletion after 300 s; nothing may have
    # done so before.
    for claim in ("plain", "denied"):
        assert "deletionTimestamp" not in lab.kube.get(f"{k.pods()}/pod-{claim}")["metadata"]


def test_a_short_absence_moves_nothing(lab: Lab) -> None:
    """S6: NotReady for less than the setting moves nothing; a worker that still answers asks for
    the longer wait.
    """
    product = Product(lab, not_ready_after="3", not_ready_witnessed="600")
    product.start("control", "node_watch")
    name = lab.world.add_volume("data", ONE, migrate="true").name
    before = product.logic_volumes()[name]
    lab.kubelets[ONE].silence()
    lab.world.wait("the node is NotReady", lambda: lab.world.ready(ONE) != "True", 40)
    time.sleep(6)
    result = product.call("carina.failover.migrate_node", ONE)
    assert result["outcome"] == "refused"
    assert "its worker" in result["reason"]
    assert (
        product.logic_volumes()[name]["metadata"]["resourceVersion"]
        == before["metadata"]["resourceVersion"]
    )
    lab.kubelets[ONE].resume()
    lab.world.wait("the node is Ready", lambda: lab.world.ready(ONE) == "True", 20)
    result = product.call("carina.failover.migrate_node", ONE)
    assert "is Ready" in result["reason"]


def test_pods_that_share_a_claim_are_one(lab: Lab) -> None:
    """S7: a volume that an annotated and an un-annotated pod share stays: moving it would take it
    from the other.
    """
    product = Product(lab)
    product.start("control")
    name = lab.world.add_volume("shared", ONE, migrate="true").name
    lab.kube.create(k.pods(), product.pod("other", ["shared"], on=ONE))
    lab.kill_node(ONE)
    lab.world.wait("the node is NotReady", lambda: lab.world.ready(ONE) != "True", 40)
    lab.world.wait(
        "it is lost",
        lambda: product.call("carina.failover.migrate_node", ONE)["outcome"] != "refused",
        60,
    )
    result = product.call("carina.failover.migrate_node", ONE)
    assert result["outcome"] == "nothing-to-do"
    assert "other" in result["volumes"][0]["reason"]
    assert product.table()[name][2] == ONE


def test_a_returning_node_loses_only_its_old_copy(lab: Lab) -> None:
    """A node that returns after its volumes moved runs no stale task; its old copy goes the way of
    orphans, once closed.
    """
    product = Product(lab)
    product.start("control", "node_watch")
    name = lab.world.add_volume("data", ONE, migrate="true").name
    other = lab.world.add_volume("plain", ONE).name
    lab.kill_node(ONE)
    product.wait_rebuilt(name, away_from=ONE, timeout=90)
    lab.kubelets[ONE].resume()
    lab.nodes[ONE].boot()
    lab.world.wait("the node is Ready", lambda: lab.world.ready(ONE) == "True", 30)
    lab.world.wait("its worker lives", lambda: lab.redis.client.exists(f"alive.{ONE}"), 30)
    assert f"volume-{name}" in lab.lvs()[ONE]
    first = product.call("carina.sweep.local_volumes")
    assert product.of(first, ONE)["marked"] == [f"carina-vg-hdd/volume-{name}"]
    time.sleep(3)
    product.call("carina.sweep.local_volumes")
    assert lab.lvs()[ONE] == {f"volume-{other}": 5 * GIB}
    target = product.table()[name][2]
    assert f"volume-{name}" in lab.lvs()[target]
