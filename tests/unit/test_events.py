"""Kubernetes Events: aggregated, in the right namespace, and never the reason why work fails."""

import itertools

import pytest
import structlog

from carina_tasks.emulator.api_server.kinds.event import to_core
from carina_tasks.errors import AlreadyExists, ApiDenied, ApiUnavailable
from carina_tasks.kube.event_times import count, first_and_last
from carina_tasks.kube.events import About, Events

CLAIM = About("PersistentVolumeClaim", "data-0", "u1", "db")


class Api:
    """Keeps Events by path, as the API server does."""

    def __init__(self):
        """Begin with none."""
        self.events = {}

    def create(self, path, body):
        """Make one, by events.k8s.io/v1; what is read and changed is core v1."""
        assert path.startswith("/apis/events.k8s.io/v1/namespaces/")
        key = f"{path.replace('/apis/events.k8s.io/', '/api/')}/{body['metadata']['name']}"
        if key in self.events:
            raise AlreadyExists(key)
        self.events[key] = to_core(body)

    def get(self, path):
        """Read one."""
        return self.events[path]

    def merge(self, path, body):
        """Change one."""
        self.events[path] |= body


class Time:
    """A clock that stands until it is moved."""

    def __init__(self):
        """Begin at a round number."""
        self.now = 1_800_000_000.0

    def __call__(self):
        """Return the time."""
        return self.now


def test_one_event_for_each_object_reason_and_key():
    """A number in the message that changes makes no new Event: its count goes up, its message is
    the newest.
    """
    api, clock = Api(), Time()
    for minute in range(3):
        Events(api, clock).say(CLAIM, "Warning", "NoNodeFits", f"n2: NotReady for {60 * minute} s")
        clock.now += 60
    Events(api, clock).say(CLAIM, "Warning", "NoNodeFits", "m", key="another")
    Events(api, clock).say(CLAIM, "Normal", "Other", "m")
    assert sorted((count(e), e["message"]) for e in api.events.values()) == [
        (1, "m"),
        (1, "m"),
        (3, "n2: NotReady for 120 s"),
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_retry_every_half_minute_does_not_write_every_half_minute(workers):
    """Ten hours of one refusal, told by one worker or by two: at most 6 writes an hour after the
    first, and never silent for one.
    """
    api, clock = Api(), Time()
    faces, writes = [Events(api, clock) for _ in range(workers)], []
    merge = api.merge
    api.merge = lambda path, body: (writes.append(clock.now), merge(path, body))
    for turn in range(1200):
        faces[turn % workers].say(CLAIM, "Warning", "CarinaTasksRefused", f"paused for {turn} s")
        clock.now += 30
    late = [at for at in writes if at > 1_800_000_000 + 3600]
    assert 9 * 5 <= len(late) <= 9 * 6
    assert max(b - a for a, b in itertools.pairwise(late)) <= 660
    assert len(writes) - len(late) <= 12


def test_a_quiet_process_asks_the_api_server_nothing():
    """Said again before it is due, an Event costs no request at all: 500 volumes that wait are no
    load.
    """
    clock = Time()
    api = Api()
    events = Events(api, clock)
    events.say(CLAIM, "Warning", "Why", "m")
    api.create = api.get = api.merge = None
    clock.now += 29
    events.say(CLAIM, "Warning", "Why", "m")


def test_news_is_written_at_once_after_half_a_minute():
    """Another reason, and not only another number: a reader should not see what was true ten
    minutes ago.
    """
    api, clock = Api(), Time()
    events = Events(api, clock)
    for _ in range(40):
        events.say(CLAIM, "Warning", "Why", "its worker does not answer")
        clock.now += 30
    events.say(CLAIM, "Warning", "Why", "no room")
    assert [e["message"] for e in api.events.values()] == ["no room"]


def test_a_clock_that_was_set_back_silences_nothing():
    """An Event of the future is written again."""
    api, clock = Api(), Time()
    events = Events(api, clock)
    events.say(CLAIM, "Warning", "Why", "m")
    clock.now -= 86400
    events.say(CLAIM, "Warning", "Why", "m")
    assert [count(e) for e in api.events.values()] == [2]


def test_an_event_stands_in_its_objects_namespace_and_otherwise_in_default():
    """core/v1 validation: Events on cluster-scoped objects live in `default`."""
    api = Api()
    Events(api).say(CLAIM, "Normal", "Why", "m")
    Events(api).say(
        About("LogicVolume", "pvc-1", "u2", api_version="carina.storage.io/v1"),
        "Warning",
        "Why",
        "m",
    )
    assert [e["metadata"]["namespace"] for e in api.events.values()] == ["db", "default"]
    assert all(
        "/namespaces/" + e["metadata"]["namespace"] in path for path, e in api.events.items()
    )


def test_a_nodes_events_carry_its_name_as_uid():
    """That is where kubectl describe looks for them."""
    api = Api()
    Events(api).say(About("Node", "n1", "real-uid"), "Normal", "Why", "m")
    assert next(iter(api.events.values()))["involvedObject"]["uid"] == "n1"


def test_long_names_and_messages_are_cut():
    """253 characters for a name, 1024 bytes for a message, and never half a character."""
    api = Api()
    Events(api).say(About("Node", "a" * 199 + "." + "b" * 53, "u"), "Normal", "Why", "x" * 5000)
    (event,) = api.events.values()
    assert len(event["metadata"]["name"]) <= 253
    assert ".." not in event["metadata"]["name"]
    assert len(event["message"]) == 1000
    Events(api).say(CLAIM, "Normal", "Why", "ä" + "→" * 5000)
    long = list(api.events.values())[1]["message"]
    assert 990 < len(long.encode()) <= 1000
    assert long.endswith("→")


@pytest.mark.parametrize("error", [ApiUnavailable, ApiDenied])
def test_an_event_that_cannot_be_written_fails_nothing(error):
    """It is a line in the log, and the work continues."""

    class Broken(Api):
        def create(self, path, body):
            """Refuse."""
            raise error("no")

    with structlog.testing.capture_logs() as said:
        Events(Broken()).say(CLAIM, "Normal", "Why", "m")
    assert [line["log_level"] for line in said] == ["warning"]


def test_events_of_one_instant_keep_their_order():
    """Times have microseconds and grow with each Event, so that a history is in causal order."""
    api, clock = Api(), Time()
    events = Events(api, clock)
    for number in range(20):
        events.say(CLAIM, "Normal", "Why", "m", str(number))
    times = [e["eventTime"] for e in api.events.values()]
    assert times == sorted(set(times))
    assert all(len(each) == len("2027-01-15T08:00:00.000000Z") for each in times)


def test_an_event_of_the_old_form_is_counted_up():
    """Times and count are read in either form."""
    api, clock = Api(), Time()
    events = Events(api, clock)
    events.say(CLAIM, "Warning", "Why", "m")
    (old,) = api.events.values()
    del old["eventTime"]
    old |= {"firstTimestamp": "2027-01-15T07:00:00Z", "lastTimestamp": "2027-01-15T07:30:00Z"}
    old["count"] = 7
    Events(api, clock).say(CLAIM, "Warning", "Why", "m")
    assert count(old) == 8
    assert first_and_last(old) == (clock.now - 3600, clock.now)
