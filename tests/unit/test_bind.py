"""Waiting until a claim is Bound to the PV that was made for it: what the watches show counts only
when it is news, and what they do not show is read by name.
"""

import copy
import os
from dataclasses import replace

import pytest

from carina_tasks.decisions import rebuild
from carina_tasks.errors import LostMidway
from carina_tasks.flows.failover import advance, steps
from carina_tasks.flows.failover.lost_node import rebuild_node
from carina_tasks.kube import paths
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.informer import Informer
from carina_tasks.model import objects, well_known
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import claim, inventory, journal, logic_volume, node, pod, pv
from tests.builders.pages import change_of

CLAIM, PV = paths.claim("default", "claim-pvc-1"), paths.persistent_volume("pvc-1")


class Bench:
    """A volume whose new PV was just made; `tell` is called while the step sleeps."""

    def __init__(self, *, watched=True):
        new = pv("pvc-1", "n2", uid="uid-new")
        new["status"]["phase"] = "Available"
        self.api = FakeApi(
            node("n2"),
            logic_volume("pvc-1", "n2", status="", journal=journal("pvc-1")),
            new,
            claim("pvc-1", phase="Lost"),
        )
        self.tell = lambda: None
        ctx = context(self.api, FakeNodes(inventory("n2")))
        self.informer = Informer(self.api, 90.0, lambda: 0.0)
        self.informer._process = os.getpid()
        if watched:
            for kind in self.informer.kinds.values():
                kind.listed(self.api.read_all(kind.kind))
        self.api.reads.clear()

        def sleep(seconds):
            ctx.sleep(seconds)
            self.tell()

        self.ctx = replace(ctx, cluster=Cluster(self.api, self.informer), sleep=sleep)

    def event(self, raw):
        """Let the watch of its kind show an object."""
        at = paths.PERSISTENT_VOLUMES if raw["kind"] == "PersistentVolume" else paths.CLAIMS
        kind = self.informer.kinds[at]
        kind.changed(change_of(kind.kind, "MODIFIED", raw))

    def now(self):
        """Let the watches show both objects as they are."""
        self.event(self.api.one("PersistentVolume", "pvc-1"))
        self.event(self.api.one("PersistentVolumeClaim", "claim-pvc-1"))

    def bind(self):
        """Do the step, and return the view after it."""
        view = rebuild.RebuildView(
            objects.parse_logic_volume(self.api.one("LogicVolume", "pvc-1")),
            journal("pvc-1"),
            objects.parse_persistent_volume(self.api.one("PersistentVolume", "pvc-1")),
            objects.parse_claim(self.api.one("PersistentVolumeClaim", "claim-pvc-1")),
            lv=None,
        )
        result = steps.act(self.ctx, view, rebuild.BindClaim())
        while isinstance(result, steps.AwaitsBinding):
            self.ctx.sleep(0.01)
            if steps.may_continue(self.ctx, result):
                result = steps.act(self.ctx, result.view, rebuild.BindClaim(), result.binding)
        return result

    @property
    def touches(self):
        """How often the claim was touched."""
        return [verb for verb, path, _ in self.api.log if path == CLAIM].count("merge")


def test_the_watches_show_it_and_nothing_is_read():
    """One write, no read; claim and PV are those of the watches, with everything of the PV."""
    bench = Bench()
    bench.tell = bench.now
    view = bench.bind()
    assert (bench.touches, bench.api.reads) == (1, [])
    assert (view.claim.phase, view.pv.phase, view.pv.meta.uid) == ("Bound", "Bound", "uid-new")
    assert view.claim.meta.version == bench.api.objects[CLAIM]["metadata"]["resourceVersion"]
    assert view.pv.raw["spec"]["fieldOfTomorrow"] == {"kept": [1, 2, 3]}


def test_without_a_watch_both_are_read():
    """As the CLI does it, and a control worker whose watches are behind."""
    bench = Bench(watched=False)
    assert bench.bind().claim.phase == "Bound"
    assert bench.api.reads == [CLAIM, CLAIM, PV]


def test_a_bound_of_before_is_no_news():
    """The watch of claims lags: it shows the claim as it was Bound to the old PV. Without the touch
    that was just written it counts for nothing.
    """
    bench = Bench()
    old = copy.deepcopy(bench.api.objects[CLAIM])
    old["status"]["phase"] = "Bound"
    old["metadata"]["annotations"] = {well_known.TOUCH: "1.000"}

    def tell():
        bench.event(bench.api.one("PersistentVolume", "pvc-1"))
        bench.event(old)

    bench.tell = tell
    view = bench.bind()
    assert bench.api.reads == [CLAIM, PV]
    assert view.claim.meta.version == bench.api.objects[CLAIM]["metadata"]["resourceVersion"]


def test_the_pv_of_before_is_no_news():
    """The watch of PVs lags: it shows the one that was deleted, which was Bound."""
    bench = Bench()

    def tell():
        bench.event(pv("pvc-1", "n1"))
        bench.event(bench.api.one("PersistentVolumeClaim", "claim-pvc-1"))

    bench.tell = tell
    assert bench.bind().pv.meta.uid == "uid-new"
    assert bench.api.reads == [CLAIM, PV]


def test_a_claim_that_the_watch_shows_too_old_is_read_and_touched_again():
    """The touch names the version that was seen, and is refused."""
    bench = Bench()
    bench.api.objects[CLAIM]["metadata"]["resourceVersion"] = "77"
    bench.tell = bench.now
    assert bench.bind().claim.phase == "Bound"
    assert bench.api.reads == [CLAIM]


def test_a_claim_that_goes_meanwhile_ends_the_step():
    """Everything is read again then."""
    bench = Bench()
    bench.tell = lambda: bench.api.objects.pop(CLAIM, None)
    assert bench.bind() is None


def test_a_claim_that_nobody_binds_is_left_after_the_timeout():
    """It is touched again after 0.1 s, 0.2 s and at last each second, for 20 s; the reason names
    who should have bound it.
    """
    bench = Bench()
    bench.api._control = lambda key: None
    with pytest.raises(LostMidway, match="is kube-controller-manager running"):
        bench.bind()
    assert bench.touches == 23


def test_a_claim_that_changes_with_each_look_is_left_after_the_timeout_too():
    """Another client writes the claim between our read and our touch, each time: every touch is
    refused, and the timeout still counts from the first touch.
    """
    bench = Bench()
    read, bench.api._control = bench.api.get, lambda key: None

    def get(path, *query):
        raw = read(path, *query)
        bench.api.objects[path]["metadata"]["resourceVersion"] += "0"
        return raw

    bench.api.get = get
    with pytest.raises(LostMidway, match="is kube-controller-manager running"):
        bench.bind()


def test_a_volume_that_waits_for_its_claim_keeps_no_other_from_its_step(monkeypatch):
    """One thread: while the first waits for the volume controller, the second is brought as far,
    and a third is not begun before there is room.
    """
    names = [f"pvc-{number}" for number in range(6)]
    parts = [node("n2")]
    for name in names:
        parts += [logic_volume(name), pv(name), claim(name), pod(f"pod-{name}", name)]
    api = FakeApi(*parts)
    bind, api._control = api._control, lambda key: None
    monkeypatch.setattr(advance, "AT_ONCE", 2)
    ctx = context(api, FakeNodes(inventory("n2")), concurrency="1")
    begun = {}

    def sleep(seconds):
        # The volume controller comes to it when every thread waits.
        ctx.sleep(seconds)
        touched = {path for _, path, _ in api.log if "persistentvolumeclaims" in path}
        for path in touched - begun.keys():
            begun[path] = len(touched)
            bind(path)

    rebuild_node(replace(ctx, sleep=sleep), "n1")
    assert not [one for one in api.objects.values() if one["kind"] == "Pod"]
    # Two at a time, whatever becomes of the others.
    assert sorted(begun.values()) == [2, 2, 4, 4, 6, 6]
