"""Pause and latch: in a ConfigMap that outlives everything."""

import pytest

from carina_tasks.errors import ApiUnavailable, MassFailure, Paused
from carina_tasks.kube.state import OperatorState, StateMap
from tests.builders.flow import FakeApi, FakeNodes, context


def test_without_a_config_map_nothing_is_paused():
    """A fresh cluster."""
    assert StateMap(FakeApi(), "kube-system").read() == OperatorState("", "")


def test_it_is_made_changed_and_cleared():
    """Each key on its own; cleared is cleared."""
    state = StateMap(FakeApi(), "kube-system")
    state.write(paused="upgrade")
    state.write(latched="2 of 3")
    assert state.read() == OperatorState("upgrade", "2 of 3")
    state.write(paused=None)
    assert state.read() == OperatorState("", "2 of 3")


def test_an_error_is_never_not_paused():
    """The API server is away: an error."""
    api = FakeApi()

    def away(path, query=None):
        raise ApiUnavailable("away")

    api.get = away
    with pytest.raises(ApiUnavailable):
        StateMap(api, "kube-system").read()


@pytest.mark.parametrize(("key", "error"), [("paused", Paused), ("latched", MassFailure)])
def test_a_flow_is_told_why(key, error):
    """Any text pauses, "false" too: the reason is whatever the operator wrote."""
    ctx = context(FakeApi(), FakeNodes())
    ctx.check_pause()
    ctx.state.write(**{key: "false"})
    with pytest.raises(error, match="false"):
        ctx.check_pause()
