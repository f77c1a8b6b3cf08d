"""S6 and S7 on the embedded default: a node is NotReady; annotated pods move, nothing else is
touched.
"""

from __future__ import annotations

from tests.integration.embedded import GIB, ONE, THREE, TWO, Embedded


def test_annotated_pods_move_and_others_stay_untouched(embedded: Embedded) -> None:
    """S6, S7: the annotated StatefulSet runs elsewhere; resourceVersions of all else of the node
    have not moved.
    """
    (moved,) = embedded.app("mysql", ONE, migrate="true")
    (kept,) = embedded.app("plain", ONE, size="2Gi")
    (refused,) = embedded.app("upper", ONE, size="1Gi", migrate="True")
    embedded.stage.power_off(ONE)
    embedded.wait("the node is NotReady", lambda: embedded.world.ready(ONE) != "True", 20)
    before = {claim: embedded.world.versions(claim) for claim in ("data-plain-0", "data-upper-0")}
    embedded.wait_rebuilt(moved, away_from=ONE)
    embedded.wait(
        "mysql-0 runs",
        lambda: any(embedded.world.running("mysql-0", on=n) for n in (TWO, THREE)),
        20,
    )
    # A second message for the same node must not touch them, either.
    result = embedded.call("carina.failover.migrate_node", ONE)
    assert {v["volume"]: v["outcome"] for v in result["volumes"]} == {
        kept: "skipped",
        refused: "skipped",
    }
    assert {claim: embedded.world.versions(claim) for claim in before} == before
    table = embedded.table()
    assert (table[kept][2], table[refused][2]) == (ONE, ONE)
    assert embedded.sizes()[table[moved][2]] == {f"volume-{moved}": 5 * GIB}


def test_a_ready_node_is_left_alone(embedded: Embedded) -> None:
    """A migration that is asked for a healthy node is refused with the reason, and nothing
    happens.
    """
    (name,) = embedded.app("mysql", ONE, migrate="true")
    before = embedded.world.versions("data-mysql-0")
    result = embedded.call("carina.failover.migrate_node", ONE)
    assert result == {"node": ONE, "outcome": "refused", "reason": f"node {ONE} is Ready"}
    assert embedded.world.versions("data-mysql-0") == before
    assert embedded.table()[name][2] == ONE
