"""Requests and answers: read strictly, whatever arrives."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.errors import BadInput
from carina_tasks.model import messages
from carina_tasks.model.messages import (
    CreateLvs,
    LvInTrash,
    LvResults,
    LvTarget,
    LvToCreate,
    LvToRemove,
    MarkLvs,
    PurgeLvs,
    RemoveLvs,
    RestoreLv,
)
from tests.builders.kubernetes import INTENT, UUID_LV, done, inventory, local_volume

CREATE = CreateLvs(reserve=0, volumes=(LvToCreate("vg", "volume-x", 1 << 30, INTENT),))
REQUESTS = [
    CREATE,
    MarkLvs(at=5, mark=(LvTarget("vg", "volume-x", UUID_LV),)),
    RemoveLvs(
        marked_before=5, volumes=(LvToRemove("vg", "volume-x", UUID_LV, "no_owner"),), trash_at=6
    ),
    PurgeLvs(trashed_before=5, volumes=(LvInTrash("vg", f"trash-{UUID_LV}", UUID_LV),)),
    RestoreLv(at=5, volume=LvInTrash("vg", f"trash-{UUID_LV}", UUID_LV)),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_survives_the_wire(request_):
    """Through JSON and back it is the same request."""
    body = json.loads(json.dumps(messages.to_json(request_)))
    assert messages.read_request(body, type(request_)) == request_


@pytest.mark.parametrize("kind", [CreateLvs, MarkLvs, RemoveLvs, PurgeLvs, RestoreLv])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["at", "volumes", "mark", "reserve", "marked_before"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_any_body_is_a_request_or_bad_input(kind, body):
    """Nothing that a message may hold raises anything else."""
    try:
        messages.read_request(body, kind)
    except BadInput as exc:
        assert kind.__name__ in exc.message  # noqa: PT017


def changed(**fields):
    """Return a request to create with fields of its volume changed."""
    body = messages.to_json(CREATE)
    body["volumes"] = [{**body["volumes"][0], **fields}]
    return body


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"volumes": messages.to_json(CREATE)["volumes"]}, "reserve"),
        ({"reserve": 0, "volumes": []}, "volumes"),
        ({"reserve": -1, "volumes": messages.to_json(CREATE)["volumes"]}, "reserve"),
        (changed(size="5Gi"), "size"),
        (changed(size=-1), "size"),
        (changed(size=1 << 61), "size"),
        (changed(size=True), "size"),
        (changed(name="root"), "name"),
        (changed(name="volume-$(reboot)"), "name"),
        (changed(group="../vg"), "group"),
        (changed(group="--config"), "group"),
        (changed(intent="1"), "intent"),
        (changed(stale="x"), "stale"),
        (changed(force=True), "force"),
    ],
)
def test_a_wrong_field_is_named(body, named):
    """The error names the wrong field."""
    with pytest.raises(BadInput, match=named):
        messages.read_request(body, CreateLvs)


def test_a_deep_body_is_bad_input():
    """Nesting without end is refused, not a stack overflow."""
    deep: object = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BadInput):
        messages.read_request({"reserve": 0, "volumes": deep}, CreateLvs)
    while deep:  # taken apart manually: the interpreter would recurse
        deep = deep[0]


def test_answers_survive_the_wire():
    """An inventory and a list of outcomes come back as they were."""
    for answer in (
        inventory("n1", local_volume(marked=5)),
        LvResults(node="n1", volumes=(done(),)),
    ):
        assert msgspec.json.decode(msgspec.json.encode(answer), type=type(answer)) == answer


def test_a_batch_has_two_seconds_for_each_further_volume():
    """One volume needs nothing beyond a command's time."""
    assert [messages.batch_time(n) for n in (0, 1, 2, 50)] == [0, 0, 2, 98]
