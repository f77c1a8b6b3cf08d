"""What `kubectl` shows of a rebuild on both servers: the watch, `describe` with progress, history
and Events, and the pause manually.
"""

from __future__ import annotations

import kubernetes
import pytest

from carina_tasks.decisions.pv_manifest import manifest_of
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.events import Events
from carina_tasks.kube.state import StateMap
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.model.journal import Journal
from carina_tasks.observability.audit import about_volume
from tests.contract.kubectl import background
from tests.contract.objects import logic_volume, volume
from tests.contract.server import LOGIC_VOLUMES, VOLUMES, Server


@pytest.fixture
def api(cluster: Server) -> Api:
    """Return our adapter on one of the two servers."""
    return Api(
        kubernetes.config.new_client_from_config(str(cluster.kubeconfig)), timeout=10, page_size=500
    )


def test_the_watch_and_describe_tell_a_rebuild(cluster: Server, api: Api, prefix: str) -> None:
    """NODE changes, STATUS is empty, then Success; `describe` has the progress meanwhile, the
    history after it, and Events.
    """
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    cluster.patch(
        f"{LOGIC_VOLUMES}/{prefix}/status", {"status": {"status": "Success", "code": 0}}
    ).ok()
    cluster.create(VOLUMES, volume(prefix))
    writes, look, events = ClusterWrites(api), Cluster(api), Events(api)
    found, pv = look.logic_volume(prefix), look.persistent_volume(prefix)
    assert found is not None
    assert pv is not None
    reason = "node n1 was deleted (absent for 10 s)"
    journal = Journal(
        intent="0f1c9d0e-0000-4000-8000-000000000001",
        kind="rebuild",
        source="n1",
        target="n2",
        reason=reason,
        started=1_800_000_000,
        manifest=manifest_of(pv, pv.policy),
    )
    with background(
        cluster, "get", "lv", f"--field-selector=metadata.name={prefix}", "-w"
    ) as watching:
        assert watching.stdout is not None
        lines = [watching.stdout.readline(), watching.stdout.readline()]
        found = writes.write_journal(found, journal)
        lines.append(watching.stdout.readline())
        found = writes.clear_status(found, "being rebuilt")
        lines.append(watching.stdout.readline())
        during = cluster.kubectl("describe", "lv", prefix)
        found = writes.set_success(found, 252, 3)
        lines.append(watching.stdout.readline())
        writes.drop_journal(found, journal)
    for seconds in (61, 91):
        events.say(about_volume(found), "Warning", "RebuildWaits", f"n2 is silent for {seconds} s")
    after = cluster.kubectl("describe", "lv", prefix)
    print("".join(lines), after, sep="\n")
    assert [line.split()[3:] for line in lines[1:]] == [
        ["n1", "Success"],
        ["n2", "Success"],
        ["n2"],
        ["n2", "Success"],
    ]
    assert f"1/5 planned: n1 -> n2 since 2027-01-15T08:00:00Z, {reason}" in during
    assert "being rebuilt" in during
    assert "tasks.carina.storage.io/progress" not in after
    assert (
        '{"at":"2027-01-15T08:00:00Z","kind":"rebuild","from":"n1","to":"n2","reason":"node n1 '
        "was deleted" in after
    )
    assert after.count("RebuildWaits") == 1


def test_a_pause_by_hand_is_read(real: Server, prefix: str) -> None:
    """docs/runbooks.md: the ConfigMap that `kubectl create` makes pauses (it sends protobuf, so on
    a real API server alone).
    """
    api = Api(
        kubernetes.config.new_client_from_config(str(real.kubeconfig)), timeout=10, page_size=500
    )
    real.create("/api/v1/namespaces", {"metadata": {"name": prefix}})
    real.kubectl(
        "-n", prefix, "create", "configmap", "carina-tasks-state", "--from-literal=paused=why"
    )
    assert StateMap(api, prefix).read().paused == "why"
    api.delete(
        paths.config_map(prefix, "carina-tasks-state"),
        uid=api.get(paths.config_map(prefix, "carina-tasks-state"))["metadata"]["uid"],
    )
    assert StateMap(api, prefix).read().paused == ""
