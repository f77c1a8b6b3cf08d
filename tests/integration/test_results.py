"""How long the broker keeps what a task answered: in a real run, by the time to live of its
keys.
"""

from __future__ import annotations

import json

from carina_tasks import queues
from carina_tasks.model import task_names
from carina_tasks.store.answers import RESULT_KEY
from tests.integration.embedded import ONE, Embedded

HOUR, DAY = 3600, 86400


def test_each_kind_of_result_has_its_time(embedded: Embedded) -> None:
    """Answers of nodes that nobody read and results of routine tasks an hour, what became of a
    failover a day; nothing is kept forever, and an answer that was read not at all.
    """
    app, client = embedded.stage.app, embedded.stage.app.backend.client
    answers = f"{RESULT_KEY}*:*"
    # Answers that came after the patience of those who asked, in a test before this one.
    too_late = {*client.scan_iter(match=answers)}
    embedded.call("carina.failover.status")
    embedded.call("carina.failover.resume")
    embedded.call("carina.failover.rebuild_node", "no-such-node")
    embedded.call("carina.sweep.local_volumes")
    embedded.wait("all are read", lambda: {*client.scan_iter(match=answers)} <= too_late)
    # Whoever asked this is gone.
    unread = {"queue": queues.node_queue(ONE), "task_id": f"{ONE}:0:unread", "expires": 60}
    app.send_task(task_names.INVENTORY, **unread)
    embedded.wait("it is answered", lambda: client.exists(f"{RESULT_KEY}{ONE}:0"))
    lifetimes: dict[str, set[str]] = {"hour": set(), "day": set(), "other": set()}
    for key in client.scan_iter(match=RESULT_KEY + "*", count=1000):
        left, task = client.ttl(key), key.decode().removeprefix(RESULT_KEY)
        stored = json.loads(client.get(key) or b"{}")
        if stored.get("status") not in ("SUCCESS", "FAILURE"):
            continue
        name = "a node" if ":" in task else str(stored.get("name"))
        kind = (
            "hour" if HOUR - 600 < left <= HOUR else "day" if DAY - 600 < left <= DAY else "other"
        )
        lifetimes[kind].add(name)
    assert {"a node", "carina.failover.status", "carina.failover.resume"} <= lifetimes["hour"]
    assert {"carina.failover.rebuild_node", "carina.sweep.local_volumes"} <= lifetimes["day"]
    assert lifetimes["other"] == set()
    assert "a node" not in lifetimes["day"]
    assert ONE in embedded.nodes
