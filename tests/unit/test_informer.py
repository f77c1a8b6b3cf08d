"""What a control worker's watches show, and when they show nothing."""

import itertools
import os

import pytest

from carina_tasks.errors import ApiGone, ApiUnavailable
from carina_tasks.kube import kinds, paths
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.informer import Behind, Informer
from carina_tasks.kube.reflector import Reflector
from carina_tasks.model.snapshot import ClusterSnapshot
from tests.builders.flow import FakeApi
from tests.builders.kubernetes import claim, logic_volume, node, pod, pv
from tests.builders.pages import change_of, objects_of

STALE_AFTER = 90.0


class Watching:
    """An informer whose clock and events the test gives."""

    def __init__(self, *raws):
        self.api, self.at = FakeApi(*raws), 1000.0
        self.sources = []
        self.informer = Informer(self.api, STALE_AFTER, lambda: self.at, self.sources.append)
        self.informer._process = os.getpid()

    def listed(self, *but):
        """Let every list arrive, but those of the paths `but`."""
        for path, kind in self.informer.kinds.items():
            if path not in but:
                kind.listed(self.api.read_all(kind.kind))
        return self

    def event(self, type_, path, raw):
        """Let an event arrive."""
        kind = self.informer.kinds[path]
        kind.changed(change_of(kind.kind, type_, raw))

    def bookmark(self, *but):
        """Let a bookmark arrive of every kind, but those of the paths `but`."""
        for path in self.informer.kinds:
            if path not in but:
                self.event("BOOKMARK", path, {"metadata": {"resourceVersion": "9"}})

    def seen(self):
        """Return what the informer shows now."""
        return self.informer.snapshot(self.at)


def world():
    """Make one volume with its pod."""
    return (
        node("n1"),
        logic_volume("pvc-1", "n1"),
        pv("pvc-1"),
        claim("pvc-1"),
        pod("web-0", "pvc-1"),
    )


def test_it_shows_what_lists_would_show():
    """The same snapshot, but that it is only a suspicion."""
    watching = Watching(*world()).listed()
    seen, listed = watching.seen(), Cluster(watching.api).observe()
    assert isinstance(seen, ClusterSnapshot)
    assert (seen.watched, listed.watched) == (True, False)
    for name in ("nodes", "pods", "claims", "persistent_volumes", "logic_volumes", "classes"):
        assert getattr(seen, name) == getattr(listed, name)


@pytest.mark.parametrize("path", Watching().informer.kinds)
def test_a_kind_that_is_still_being_read_shows_nothing_of_all(path):
    """Nothing is decided on a part."""
    seen = Watching(*world()).listed(path).seen()
    assert isinstance(seen, Behind)
    assert "still being read" in seen.reason


@pytest.mark.parametrize("path", Watching().informer.kinds)
def test_a_kind_that_is_silent_shows_nothing_of_all(path):
    """A watch that hangs looks like a quiet cluster, but that no bookmark comes."""
    watching = Watching(*world()).listed()
    watching.at += STALE_AFTER
    watching.bookmark(path)
    assert isinstance(watching.seen(), ClusterSnapshot)
    watching.at += 1
    seen = watching.seen()
    assert isinstance(seen, Behind)
    assert "silent for 91 s" in seen.reason
    watching.bookmark()
    assert isinstance(watching.seen(), ClusterSnapshot)


def test_a_fork_of_a_process_has_no_watches():
    """Threads do not live on in a child, so what it inherited is old."""
    watching = Watching(*world()).listed()
    watching.informer._process = os.getpid() + 1
    assert isinstance(watching.seen(), Behind)


def test_events_change_what_is_seen_next_and_nothing_that_was_seen():
    """Added, modified, deleted; a snapshot never changes."""
    watching = Watching(*world()).listed()
    before = watching.seen()
    watching.event("ADDED", paths.PODS, pod("web-1"))
    watching.event("MODIFIED", paths.NODES, node("n1", ready="Unknown"))
    watching.event("DELETED", paths.LOGIC_VOLUMES, logic_volume("pvc-1", "n1"))
    after = watching.seen()
    assert sorted(p.meta.name for p in after.pods) == ["web-0", "web-1"]
    assert not after.nodes["n1"].is_ready
    assert after.logic_volumes == {}
    assert len(before.pods) == len(before.logic_volumes) == 1
    assert before.nodes["n1"].is_ready


def test_a_new_list_replaces_what_was_known():
    """After a watch that was too old, an object that the list lacks is gone."""
    watching = Watching(*world()).listed()
    watching.api.objects.clear()
    kind = watching.informer.kinds[paths.PODS]
    kind.listed(objects_of(kinds.PODS, [pod("other")], "7"))
    assert [p.meta.name for p in watching.seen().pods] == ["other"]


def test_an_object_that_cannot_be_read_is_there_all_the_same():
    """It is named as unreadable, until an event brings one that can be read."""
    watching = Watching(*world()).listed()
    bad = logic_volume("pvc-1", "n1")
    bad["spec"]["size"] = "a lot"
    watching.event("MODIFIED", paths.LOGIC_VOLUMES, bad)
    seen = watching.seen()
    assert seen.logic_volumes == {}
    assert seen.unreadable_names == {"pvc-1"}
    watching.event("MODIFIED", paths.LOGIC_VOLUMES, logic_volume("pvc-1", "n1"))
    assert watching.seen().unreadable == ()


def test_each_look_is_counted_by_its_source():
    """A worker whose watches show nothing works, at the price of lists, and a metric shows it."""
    watching = Watching(*world())
    watching.seen()
    watching.listed().seen()
    assert watching.sources == ["lists", "watches"]


def test_the_cluster_is_listed_while_the_watches_show_nothing():
    """And from the watches as soon as they do; nodes alone need only the watch of nodes."""
    watching = Watching(*world())
    cluster = Cluster(watching.api, watching.informer)
    assert not cluster.observe().watched
    watching.listed(paths.PODS)
    assert not cluster.observe().watched
    watching.api.list = None  # Whatever lists now fails.
    assert cluster.nodes().names == {"n1"}
    assert cluster.logic_volumes().names == {"pvc-1"}
    watching.informer.pods.listed(objects_of(kinds.PODS, [pod("web-0", "pvc-1")], "7"))
    assert cluster.observe().watched


def test_an_api_server_that_does_not_answer_is_no_snapshot():
    """The watches remember a cluster that nobody can change now."""
    watching = Watching(*world()).listed()

    def away(path):
        raise ApiUnavailable("away")

    watching.api.read = away
    with pytest.raises(ApiUnavailable):
        Cluster(watching.api, watching.informer).observe()


class Script:
    """An API server that lists and watches what the test says; the last watch ends the run."""

    def __init__(self, watches, lists=(), counts=()):
        self.watches, self.lists, self.counts = list(watches), list(lists), list(counts)
        self.asked = []

    def read_all(self, kind):
        """Return the next list."""
        self.asked.append("list")
        return self.lists.pop(0) if self.lists else pods("5", "a")

    def count(self, path, version=""):
        """Return the next count."""
        self.asked.append(f"count at {version}")
        return self.counts.pop(0) if self.counts else None

    def follow(self, kind, version, seconds):
        """Yield the next watch."""
        self.asked.append(f"watch {version}")
        for step in self.watches.pop(0):
            if isinstance(step, Exception):
                raise step
            yield step
        if not self.watches:
            self.reflector._stopped.set()


class Heard:
    """Takes note of what the reflector hears."""

    def __init__(self):
        self.said = []

    def listed(self, found):
        """Take note of a list."""
        self.said.append([one.meta.name for one in found.all()])

    def changed(self, event):
        """Take note of an event."""
        self.said.append(event.type)

    def ended(self):
        """Take note of the end of a watch."""
        self.said.append("ended")


class Stopped:
    """An Event that does not wait."""

    def __init__(self):
        self.waits, self._set = [], False

    def is_set(self):
        """Return whether `set` was called."""
        return self._set

    def set(self):
        """End the run."""
        self._set = True

    def wait(self, seconds):
        """Take note of the pause."""
        self.waits.append(seconds)


def run(script, lives=1.0):
    """Run a reflector until the script ends; return what it heard.

    Each watch lives for so many seconds.
    """
    heard = Heard()
    ticks = itertools.count()
    clock = lambda: next(ticks) * lives  # noqa: E731
    script.reflector = Reflector(script, kinds.PODS, heard, 60, Stopped(), clock)
    script.reflector.run()
    return heard.said


def event(version, type_="MODIFIED"):
    """Make an event of that version."""
    return change_of(kinds.PODS, type_, {"metadata": {"name": "a", "resourceVersion": version}})


def pods(version, *names):
    """Make a list of pods."""
    return objects_of(kinds.PODS, map(pod, names), version)


def test_a_watch_continues_from_the_last_version_that_it_showed():
    """Bookmarks count; a watch that breaks is no reason to list the cluster again."""
    broken = ApiUnavailable("broke")
    script = Script([[event("6"), event("8", "BOOKMARK")], [event("9"), broken], []])
    assert run(script) == [["a"], "MODIFIED", "BOOKMARK", "MODIFIED"]
    assert script.asked == ["list", "count at 5", "watch 5", "watch 8", "watch 9"]


def test_after_a_version_that_is_too_old_all_is_listed_again():
    """What was deleted meanwhile is missing in the new list, and so it is gone."""
    lists = [pods("5", "a", "b"), pods("20", "b")]
    script = Script([[ApiGone("too old")], []], lists)
    assert run(script) == [["a", "b"], ["b"]]
    assert script.asked[-1] == "watch 20"


def test_a_list_that_was_cut_short_is_not_taken():
    """The API server counts more objects at that version: what the list lacks is not gone."""
    script = Script([[]], [pods("5", "a"), pods("6", "a", "b")], [2, 2])
    assert run(script) == [["a", "b"]]
    assert script.asked.count("list") == 2


@pytest.mark.parametrize(("lives", "heard"), [(60.0, ["ended"]), (1.0, [])])
def test_a_watch_that_the_server_ended_in_time_was_connected(lives, heard):
    """A quiet kind may get no bookmark. One that something in between cuts at once counts for
    nothing.
    """
    assert run(Script([[]]), lives) == [["a"], *heard]


def test_a_quiet_kind_counts_as_heard_of():
    """Its watch ended in order, but of what was never listed nothing is known."""
    watching = Watching(*world()).listed(paths.STORAGE_CLASSES)
    watching.at += STALE_AFTER + 1
    for kind in watching.informer.kinds.values():
        kind.ended()
    assert "StorageClasses are still being read" in watching.seen().reason
    watching.informer.classes.listed(objects_of(kinds.STORAGE_CLASSES, [], "7"))
    assert isinstance(watching.seen(), ClusterSnapshot)


def test_pauses_grow_while_the_api_server_is_away():
    """A server that recovers is not run over, and one success makes the next pause short again."""
    script = Script(
        [[ApiUnavailable("no")], [ApiUnavailable("no")], [event("6"), ApiUnavailable("no")], []]
    )
    run(script)
    assert script.reflector._stopped.waits == [1, 2, 1, 0.5]
