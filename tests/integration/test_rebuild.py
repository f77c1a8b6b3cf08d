"""S4, S5, S8, S9 on the embedded default: a node is deleted, and all its volumes come back under
the same names.
"""

from __future__ import annotations

import time

from carina_tasks.demo.world import CLAIMS
from carina_tasks.kube import paths
from tests.integration.embedded import GIB, NODES, ONE, THREE, TWO, Embedded


def test_all_volumes_come_back_and_pods_run(embedded: Embedded) -> None:
    """S4, S5, S8, S9, D2: annotated or not, all volumes are rebuilt by the watch's message; pods
    run; an Event says empty.
    """
    names = [
        *embedded.app("mysql", ONE, TWO, THREE, migrate="true"),
        *embedded.app("plain", THREE, size="3Gi"),
        embedded.volume("unused", THREE, "2Gi", keep="me"),
    ]
    lost = [names[2], names[3], names[4]]
    owner = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "o",
        "uid": "0f1c9d0e-0000-4000-8000-000000000000",
    }
    embedded.api.merge(f"{CLAIMS}/unused", {"metadata": {"ownerReferences": [owner]}})
    before, claims = (
        embedded.table(),
        {c["metadata"]["name"]: c for c in embedded.api.list(CLAIMS).items},
    )
    embedded.world.delete_node(THREE)
    begun = time.monotonic()
    embedded.wait_rebuilt(*lost, away_from=THREE)
    embedded.wait(
        "mysql-2 runs",
        lambda: any(embedded.world.running("mysql-2", on=node) for node in (ONE, TWO)),
        20,
    )
    embedded.wait(
        "plain-0 runs",
        lambda: any(embedded.world.running("plain-0", on=node) for node in (ONE, TWO)),
        20,
    )
    print(f"deletion to Running: {time.monotonic() - begun:.1f} s (confirm delay 1 s)")

    after = embedded.table()
    assert after.keys() == before.keys()
    assert {row[3] for row in after.values()} == {"Success"}
    assert {after[name][2] for name in lost} <= {ONE, TWO}
    assert {n: after[n] for n in names[:2]} == {n: before[n] for n in names[:2]}
    sizes = {
        name: size for node in (ONE, TWO) for name, size in embedded.nodes[node].sizes().items()
    }
    assert sizes == {f"volume-{n}": g * GIB for n, g in zip(names, (5, 5, 5, 3, 2), strict=True)}
    for claim in embedded.api.list(CLAIMS).items:
        old = claims[claim["metadata"]["name"]]
        for field in ("uid", "labels", "annotations", "ownerReferences", "finalizers"):
            assert claim["metadata"].get(field) == old["metadata"].get(field), field
        assert claim["status"]["phase"] == "Bound"
        assert claim["spec"] == old["spec"]
    for claim, name in (("data-mysql-2", lost[0]), ("data-plain-0", lost[1]), ("unused", lost[2])):
        said = [
            e["message"]
            for e in embedded.world.events("PersistentVolumeClaim", claim)
            if "Empty" in e["reason"]
        ]
        assert f"new and empty on node {after[name][2]}: it was on {THREE}" in said[0]
    assert "publishing" in embedded.log("watch")
    assert f"node={THREE}" in embedded.log("watch")
    assert embedded.journals() == []


def test_an_expanded_claim_comes_back_with_its_size(embedded: Embedded) -> None:
    """S5: a claim expanded from 5 to 8 GiB comes back with 8."""
    name = embedded.volume("grown", ONE, "5Gi")
    embedded.api.merge(f"{CLAIMS}/grown", {"spec": {"resources": {"requests": {"storage": "8Gi"}}}})
    embedded.api.merge(paths.persistent_volume(name), {"spec": {"capacity": {"storage": "8Gi"}}})
    embedded.api.merge(paths.logic_volume(name), {"spec": {"size": "8Gi"}})
    embedded.api.merge(f"{CLAIMS}/grown/status", {"status": {"capacity": {"storage": "8Gi"}}})
    embedded.world.delete_node(ONE)
    embedded.wait_rebuilt(name, away_from=ONE)
    size, _, node, _ = embedded.table()[name]
    assert size == "8Gi"
    assert embedded.sizes()[node] == {f"volume-{name}": 8 * GIB}
    assert embedded.api.get(f"{CLAIMS}/grown")["status"]["capacity"]["storage"] == "8Gi"


def test_a_stale_volume_is_not_handed_to_the_pod(embedded: Embedded) -> None:
    """S5: an LV of the same name and another size that stood on the target before is replaced by a
    new one.
    """
    name = embedded.volume("data", ONE, "5Gi")
    stale = {
        node: embedded.nodes[node].create(f"volume-{name}", 9 * GIB).uuid for node in (TWO, THREE)
    }
    embedded.world.delete_node(ONE)
    embedded.wait_rebuilt(name, away_from=ONE)
    node = embedded.table()[name][2]
    found = embedded.nodes[node].find(f"volume-{name}")
    assert found is not None
    assert found.uuid != stale[node]
    assert found.size == 5 * GIB


def test_the_sweep_finds_what_the_watch_missed(embedded: Embedded) -> None:
    """With the node watch and beat stopped, a deleted node's volumes are rebuilt all the same: the
    sweep sees who is gone.
    """
    name = embedded.volume("data", ONE)
    embedded.end("watch")
    embedded.end("beat")
    embedded.world.delete_node(ONE)
    assert embedded.stays(lambda: embedded.table()[name][2] == ONE, 3)
    assert embedded.call("carina.sweep.logic_volumes")["deleted_nodes"] == [ONE]
    embedded.wait_rebuilt(name, away_from=ONE)


def test_an_emptied_broker_loses_nothing(embedded: Embedded) -> None:
    """With the broker emptied in mid-rebuild (`FLUSHALL`), the rebuild ends all the same."""
    names = [embedded.volume(f"data-{i}", ONE, "1Gi") for i in range(4)]
    embedded.world.delete_node(ONE)
    embedded.wait("a journal is written", embedded.journals, 20)
    embedded.stage.redis.flushall()
    embedded.wait_rebuilt(*names, away_from=ONE, timeout=70)
    assert (
        sorted(size for node in (TWO, THREE) for size in embedded.nodes[node].sizes().values())
        == [GIB] * 4
    )


def test_a_killed_worker_loses_nothing(embedded: Embedded) -> None:
    """With the control worker killed in mid-rebuild, another ends what it began, from the
    journal.
    """
    names = [embedded.volume(f"data-{i}", ONE, "1Gi") for i in range(4)]
    embedded.world.delete_node(ONE)
    embedded.wait("a journal is written", embedded.journals, 20)
    embedded.end("control")
    assert embedded.journals()
    (control,) = embedded.stage.start_processes("control")
    embedded.processes["control"] = control
    embedded.stage.wait_ready(control)
    # Beat asks the same every 30 seconds.
    embedded.call("carina.failover.resume")
    embedded.wait_rebuilt(*names, away_from=ONE, timeout=70)


def test_mass_failure_stops_and_a_person_resumes(embedded: Embedded) -> None:
    """Two of three nodes deleted at once is above the share: nothing is rebuilt, until the operator
    takes the latch off.
    """
    names = [embedded.volume("one", ONE), embedded.volume("two", TWO)]
    for node in (ONE, TWO):
        embedded.world.delete_node(node)
    state = paths.config_map("kube-system", "carina-tasks-state")
    embedded.wait("the guard latches", lambda: _latched(embedded, state), 20)
    assert [embedded.table()[name][2] for name in names] == [ONE, TWO]
    embedded.stage.power_on(ONE)
    embedded.world.register(ONE)
    embedded.stage.wait_ready()
    embedded.api.merge(state, {"data": {"latched": None}})
    assert embedded.call("carina.failover.rebuild_node", TWO)["outcome"] == "done"
    assert embedded.table()[names[1]][2] in NODES
    assert embedded.table()[names[0]][2] == ONE


def _latched(embedded: Embedded, state: str) -> bool:
    found = embedded.api.list(paths.config_maps("kube-system")).items
    return any(
        (one.get("data") or {}).get("latched") for one in found if one["metadata"]["name"] in state
    )
