"""Before an uninstall: nothing under way, nothing of ours left, and a refusal changes nothing."""

from dataclasses import replace

import pytest

from carina_tasks.errors import BadObject, RebuildUnderWay
from carina_tasks.flows.leave import REASON, leave
from carina_tasks.model import well_known
from tests.builders import kubernetes as b
from tests.builders.flow import FakeApi, FakeNodes, context


def run(*raws, paused=""):
    """Return the API server after `leave`, and the error that it raised."""
    api = FakeApi(b.node("n1"), *raws)
    ctx = context(api, FakeNodes())
    if paused:
        ctx.state.write(paused=paused)
    try:
        leave(ctx)
    except (BadObject, RebuildUnderWay) as exc:
        return ctx, exc
    return ctx, None


def marked(name, **annotations):
    """Make a LogicVolume that carries annotations."""
    raw = b.logic_volume(name)
    raw["metadata"]["annotations"] |= annotations
    return raw


def test_nothing_of_ours_stays():
    """Progress and history go, Carina's own annotations stay, and the pause holds what might
    begin.
    """
    ours = {well_known.PROGRESS: "waits", well_known.HISTORY: "[]"}
    ctx, error = run(marked("pvc-1", **ours), marked("pvc-2"))
    assert error is None
    found = ctx.cluster.logic_volumes().values
    assert [key for one in found.values() for key in one.meta.annotations] == [
        key
        for one in (b.logic_volume("x"), b.logic_volume("y"))
        for key in one["metadata"]["annotations"]
    ]
    assert ctx.state.read().paused == REASON


@pytest.mark.parametrize("paused", ["", "racks"])
def test_a_rebuild_under_way_is_not_left(paused):
    """The uninstall is refused, the volume is named, and everything is as it was: the pause, too.

    A journal that cannot be read is a journal.
    """
    ctx, error = run(
        marked("pvc-1", **{well_known.HISTORY: "[]"}),
        b.logic_volume("pvc-2", journal="{"),
        paused=paused,
    )
    assert isinstance(error, RebuildUnderWay)
    assert "pvc-2" in error.message
    assert ctx.state.read().paused == paused
    assert well_known.HISTORY in ctx.cluster.logic_volumes().values["pvc-1"].meta.annotations


def test_what_cannot_be_read_is_not_left():
    """A LogicVolume that cannot be parsed could have a journal."""
    broken = b.logic_volume("pvc-1")
    broken["spec"]["size"] = "a lot"
    ctx, error = run(broken)
    assert isinstance(error, BadObject)
    assert "pvc-1" in error.message
    assert ctx.state.read().paused == ""


def test_the_pause_comes_before_the_look():
    """A failover that begins after the pause is refused; one that began before shows within the
    wait.
    """
    api = FakeApi(b.node("n1"), b.logic_volume("pvc-1"))
    ctx = context(api, FakeNodes())
    seen = []

    def sleep(seconds):
        seen.append((ctx.state.read().paused, seconds > ctx.settings.confirm_absence))
        raw = api.objects[next(path for path in api.objects if path.endswith("pvc-1"))]
        raw["metadata"]["annotations"][well_known.JOURNAL] = "{"

    with pytest.raises(RebuildUnderWay):
        leave(replace(ctx, sleep=sleep))
    assert seen == [(REASON, True)]
