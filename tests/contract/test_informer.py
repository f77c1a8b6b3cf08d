"""The informer on both servers: what it shows is what a list shows, a moment later."""

from collections.abc import Iterator

import kubernetes
import pytest

from carina_tasks.kube import informer as module
from carina_tasks.kube.api import Api
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.informer import Behind, Informer
from carina_tasks.model.snapshot import ClusterSnapshot
from tests.contract import objects
from tests.contract.server import LOGIC_VOLUMES, VOLUMES, Server
from tests.lab.processes import wait_until


@pytest.fixture
def api(cluster: Server) -> Api:
    """Return our adapter on one of the two servers, with pages of three."""
    return Api(
        kubernetes.config.new_client_from_config(str(cluster.kubeconfig)), timeout=10, page_size=3
    )


@pytest.fixture
def watching(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Informer]:
    """Run an informer whose watches live for two seconds."""
    monkeypatch.setattr(module, "WATCH_SECONDS", 2)
    found = Informer(api, stale_after=6)
    found.start()
    wait_until("everything is read", lambda: found.behind() is None, 10, every=0.05)
    yield found
    found.stop()


def same(watching: Informer, api: Api) -> bool:
    """Return whether the informer shows what lists show."""
    shown, listed = watching.snapshot(0.0), Cluster(api).observe()
    return isinstance(shown, ClusterSnapshot) and all(
        getattr(shown, kind) == getattr(listed, kind)
        for kind in ("nodes", "claims", "persistent_volumes", "logic_volumes", "classes")
    )


def test_it_shows_what_lists_show(api: Api, watching: Informer, prefix: str) -> None:
    """Made, changed and deleted objects, over watches that end and begin again, with every field
    that is parsed.
    """
    wait_until("both show the same", lambda: same(watching, api), 5, every=0.1)
    for number in range(5):
        api.create(LOGIC_VOLUMES, objects.logic_volume(f"{prefix}-{number}"))
        api.create(VOLUMES, objects.volume(f"{prefix}-{number}"))
    wait_until("it shows the new ones", lambda: same(watching, api), 5, every=0.1)
    shown = watching.snapshot(0.0)
    assert isinstance(shown, ClusterSnapshot)
    assert f"{prefix}-4" in shown.logic_volumes.keys() & shown.persistent_volumes.keys()
    api.merge(f"{LOGIC_VOLUMES}/{prefix}-1", {"spec": {"nodeName": "elsewhere"}})
    for number in (0, 2):
        one = api.get(f"{VOLUMES}/{prefix}-{number}")
        api.merge(f"{VOLUMES}/{prefix}-{number}", {"metadata": {"finalizers": None}})
        api.delete(f"{VOLUMES}/{prefix}-{number}", uid=one["metadata"]["uid"])
    wait_until("it shows the changes", lambda: same(watching, api), 10, every=0.1)
    changed = watching.snapshot(0.0)
    assert isinstance(changed, ClusterSnapshot)
    assert changed.logic_volumes[f"{prefix}-1"].node == "elsewhere"
    assert f"{prefix}-2" not in changed.persistent_volumes
    assert shown.logic_volumes[f"{prefix}-1"].node != "elsewhere"


def test_a_quiet_cluster_is_not_taken_for_a_silent_watch(watching: Informer) -> None:
    """For longer than the watches may be silent nothing changes, and it still shows the cluster:
    each watch that ended in time was connected.
    """
    worst = 0.0
    for _ in range(15):
        assert not isinstance(watching.behind(), Behind)
        worst = max(worst, *(kind.silent() or 0.0 for kind in watching.kinds.values()))
        watching._stopped.wait(0.5)
    assert worst < 6


def test_after_the_history_is_gone_it_reads_all_again(
    cluster: Server, api: Api, watching: Informer, prefix: str
) -> None:
    """A compaction between two watches: the version is too old, and a new list shows what was
    missed.
    """
    api.create(LOGIC_VOLUMES, objects.logic_volume(prefix))
    cluster.forget_history()
    api.create(LOGIC_VOLUMES, objects.logic_volume(f"{prefix}-2"))
    wait_until("it shows both", lambda: same(watching, api), 15, every=0.1)
