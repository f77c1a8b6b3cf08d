"""What a LogicVolume's annotations tell people."""

import json

import msgspec.structs
import pytest

from carina_tasks.model import objects, progress, well_known
from tests.builders.kubernetes import journal, logic_volume


def test_progress_is_one_line_that_says_step_way_time_and_reason():
    """Step, from and to, since when, and why it is done; or why it waits."""
    assert (
        progress.progress_line(journal())
        == "1/5 planned: n1 -> n2 since 2027-01-15T08:00:00Z, node n1 was deleted"
    )
    waiting = progress.progress_line(journal(), 1, "n2 is silent")
    assert (
        waiting
        == "2/5 create the local volume: n1 -> n2 since 2027-01-15T08:00:00Z, waits: n2 is silent"
    )


def test_the_history_keeps_the_last_ten_and_is_one_line_each():
    """Kubectl cuts lines of annotations, so each failover begins one; as a whole it is JSON."""
    text = ""
    for number in range(12):
        text = progress.add_failover(
            text, msgspec.structs.replace(journal(), intent=f"0f1c9d0e-0000-4000-8000-{number:012}")
        )
    entries = json.loads(text)
    assert [int(one["intent"][-12:]) for one in entries] == list(range(2, 12))
    assert entries[0].keys() == {"at", "kind", "from", "to", "intent", "reason"}
    assert len(text.splitlines()) == 10


@pytest.mark.parametrize("text", ["", "no", "[1]", "{}", '[{"at": 1}]', "[" * 5000])
def test_a_history_that_people_edited_stops_nothing(text):
    """It begins again; the LogicVolume is as readable as before."""
    raw = logic_volume(annotations={well_known.HISTORY: text})
    assert objects.parse_logic_volume(raw).history == ()
    assert len(progress.parse_history(progress.add_failover(text, journal()))) == 1


def test_other_numbers_are_no_news():
    """Seconds and sizes change with every look; words do not."""
    assert progress.same_but_for_numbers("NotReady for 61 s", "NotReady for 91.5 s")
    assert not progress.same_but_for_numbers("n2: no room", "n2: its worker does not answer")
