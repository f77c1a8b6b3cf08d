"""One worker at a time, and no broker is no reason to stop."""

import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from redis.lock import Lock

from carina_tasks.store.lock import HeldLock, hold
from tests.builders.redis import Scripted, away


@pytest.fixture(autouse=True)
def _own_scripts(monkeypatch):
    """redis-py keeps registered scripts on the class: each test registers its own."""
    for name in ("lua_release", "lua_extend", "lua_reacquire"):
        monkeypatch.setattr(Lock, name, None)


def app(client):
    """Make what `hold` looks at."""
    return SimpleNamespace(backend=SimpleNamespace(client=client))


def test_the_second_gets_nothing_until_the_first_lets_go():
    """None while it is held; a hold again after that; other names are free."""
    one = app(Scripted())
    with hold(one, "n1", 30) as first:
        assert isinstance(first, HeldLock)
        with hold(one, "n1", 30) as second:
            assert second is None
        with hold(one, "n2", 30) as other:
            assert other is not None
    with hold(one, "n1", 30) as again:
        assert again is not None


def test_a_dead_workers_hold_ends():
    """It has a time to live."""
    client = Scripted()
    with hold(app(client), "n1", 30):
        assert 0 < client.pttl("carina-tasks.lock.n1") <= 30_000


def test_it_is_let_go_when_the_work_fails():
    """An error inside goes through, and the lock is free."""
    one = app(Scripted())
    with pytest.raises(ZeroDivisionError), hold(one, "n1", 30):
        raise ZeroDivisionError
    with hold(one, "n1", 30) as again:
        assert again is not None


def test_without_a_broker_the_work_goes_on():
    """The lock saves double work and nothing else."""
    with hold(app(away()), "n1", 30) as got:
        assert got is not None
        got.renew()


def test_a_broker_emptied_under_a_hold_changes_nothing():
    """The lock is lost; renewing and releasing it say nothing."""
    client = Scripted()
    with hold(app(client), "n1", 30) as got:
        client.flushall()
        got.renew()
    assert client.keys() == []


def test_renewing_gives_the_whole_time_again():
    """A long failover keeps its hold."""
    client = Scripted()
    with hold(app(client), "n1", 30) as got:
        client.pexpire("carina-tasks.lock.n1", 1000)
        got.renew()
        assert client.pttl("carina-tasks.lock.n1") > 20_000


def test_it_is_renewed_while_the_block_runs_and_free_after_it():
    """A failover that takes longer than the time to live keeps its lock; when it ends the lock is
    free at once.
    """
    client = Scripted()
    with hold(app(client), "failover.n1", 0.3) as first:
        assert first is not None
        time.sleep(0.8)
        with hold(app(client), "failover.n1", 0.3) as second:
            assert second is None
    with hold(app(client), "failover.n1", 0.3) as third:
        assert third is not None


def test_many_locks_are_renewed_by_one_thread():
    """A zone is lost: 40 locks stay held for longer than their time to live, by one more thread."""
    client = Scripted()
    before = threading.active_count()
    with ExitStack() as stack:
        for number in range(40):
            stack.enter_context(hold(app(client), f"failover.n{number}", 1))
        assert threading.active_count() <= before + 1
        time.sleep(1.5)
        assert len(client.keys()) == 40
    assert client.keys() == []
