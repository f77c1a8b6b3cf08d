"""What control tasks found last, in Redis."""

import fakeredis
import msgspec
import pytest
import structlog

from carina_tasks.errors import BrokerUnavailable
from carina_tasks.store.latest_results import KEY, LatestResults
from tests.builders.app import app
from tests.builders.redis import away


class Seen(msgspec.Struct):
    """A finding."""

    number: int


def findings(client):
    """Make findings on a client."""
    return LatestResults(app(client))


def test_the_last_one_is_kept_for_a_time():
    """A later one takes the place of the one before; it ends by itself; another name is another
    finding.
    """
    client = fakeredis.FakeRedis()
    kept = findings(client)
    assert kept.last("seen", Seen) is None
    kept.keep("seen", Seen(1), 60)
    kept.keep("seen", Seen(2), 60)
    assert kept.last("seen", Seen) == Seen(2)
    assert kept.last("other", Seen) is None
    assert 0 < client.ttl(KEY + "seen") <= 60


def test_another_releases_finding_is_none():
    """What cannot be read as asked for is as good as not there."""
    client = fakeredis.FakeRedis()
    for data in (b'{"number": "x"}', b"\xff", b"[]"):
        client.set(KEY + "seen", data)
        assert findings(client).last("seen", Seen) is None


def test_without_a_broker_nothing_is_kept_and_nothing_fails():
    """The task that found something has done its work; its reader learns that it is unknown."""
    kept = findings(away())
    with structlog.testing.capture_logs() as said:
        kept.keep("seen", Seen(1), 60)
    assert [line["log_level"] for line in said] == ["warning"]
    with pytest.raises(BrokerUnavailable):
        kept.last("seen", Seen)
