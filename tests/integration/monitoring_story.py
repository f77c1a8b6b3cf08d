"""What happens in the cluster before the dashboard and the alerts are looked at."""

from __future__ import annotations

from tests.integration.embedded import GIB, ONE, THREE, TWO, Embedded
from tests.lab.prometheus import Prometheus


def story(embedded: Embedded, prometheus: Prometheus) -> None:
    """Lose a node; have an orphan in the trash, a missing volume, and one that no node would fit.

    Args:
        embedded: The embedded default, empty.
        prometheus: A Prometheus that scrapes its processes.
    """

    def scraped() -> bool:
        return len(prometheus.query("up == 1")) == len(embedded.stage.metrics_urls)

    def followed() -> bool:
        gone = not prometheus.query(f'carina_tasks_node_ready{{node="{ONE}"}}')
        found = [
            f"carina_tasks_{name} == 1"
            for name in ("volumes_missing", "volumes_without_place", "trash_volumes")
        ]
        return gone and all(map(prometheus.query, found))

    embedded.wait("all are scraped", scraped, 30)
    moved = [embedded.volume(f"data-{i}", ONE) for i in range(2)]
    gone = embedded.volume("gone", TWO)
    embedded.volume("big", TWO, size="60Gi")
    embedded.nodes[THREE].create("volume-orphan", 5 * GIB)
    embedded.nodes[TWO].remove(f"volume-{gone}")
    embedded.wait(
        "the orphan lies in the trash", lambda: embedded.sweep()[THREE].get("trashed"), 40
    )
    embedded.world.delete_node(ONE)
    embedded.wait_rebuilt(*moved, away_from=ONE)
    embedded.nodes[THREE].create("volume-in-the-way", 40 * GIB)
    embedded.call("carina.failover.readiness")
    embedded.sweep()
    embedded.call("carina.sweep.logic_volumes")
    embedded.wait("the gauges follow", followed, 60)
