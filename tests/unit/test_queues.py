"""The queues: control, one for each node, and nothing else."""

import pytest

from carina_tasks import queues
from carina_tasks.errors import BadInput


def test_a_nodes_queue_carries_its_name():
    """node.<name>, by the default exchange, so no binding key is kept in Redis."""
    queue = queues.node_queue("10.20.9.153")
    assert (queue.name, queue.routing_key, queue.exchange.name) == ("node.10.20.9.153",) * 2 + ("",)
    assert queues.node_of(queue.name) == "10.20.9.153"


@pytest.mark.parametrize(
    "name", ["celery", "", "node.", "node.N1", "node.a b", "node", "control2", "node.n1*", "n1"]
)
def test_no_other_queue_exists(name):
    """A wrong name is refused before a message is lost in it."""
    with pytest.raises(BadInput):
        queues.queue(name)
    with pytest.raises(KeyError):
        queues.KnownQueues({})[name]


def test_node_queues_are_made_on_demand():
    """A node that joins needs no restart of anybody."""
    known = queues.KnownQueues({})
    assert known["node.n9"].name == "node.n9"
    assert known["control"].name == "control"
