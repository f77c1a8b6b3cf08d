"""Tables for users: in a terminal of any width, in the Python shell, in a notebook."""

import msgspec
import pytest

from carina_tasks.flows.failover.results import FailoverResult, VolumeResult
from carina_tasks.model import times
from carina_tasks.views import tables
from carina_tasks.views.results import ResultView, as_view
from carina_tasks.views.tables import Table

LONG = (
    "0/3 nodes fit: n1: its worker does not answer; n2: no room in carina-vg-hdd; n3: taint "
    "a=b:NoSchedule"
)
NAME = "pvc-177854eb-f811-4612-92c5-b8bb98126b94"
ONE = Table(("VOLUME", "FROM", "REASON"), ((NAME, "10.20.9.154", LONG), ("b", "n2", "short")))


def test_columns_stand_below_each_other():
    """As kubectl prints them; no width, no wrapping, so that grep finds whole sentences."""
    head, first, second = ONE.text().splitlines()
    assert head.index("REASON") == first.index(LONG) == second.index("short")


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_no_line_is_wider_than_the_terminal(width):
    """And every word of the sentence is still there."""
    lines = ONE.text(width).splitlines()
    assert max(map(len, lines)) <= width
    assert all(word in " ".join(lines) for word in LONG.split())


def test_a_sentence_that_has_no_room_goes_below_its_row():
    """At 80 columns a volume's name and two nodes leave too little: better a line of its own than
    ten words one below the other.
    """
    lines = ONE.text(80).splitlines()
    assert lines[1].split() == [NAME, "10.20.9.154"]
    assert lines[2].startswith("    0/3 nodes fit")


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[2Jb", "a\rb", "a\x07b"])
def test_a_cell_cannot_steer_the_terminal(text):
    """Names and reasons come from objects and nodes: no control character reaches the terminal."""
    printed = Table(("X",), ((text,),)).text()
    assert len(printed.splitlines()) == 2
    assert printed.splitlines()[1].isprintable()


def test_html_is_escaped():
    """A reason may hold anything: in a notebook it is text."""
    bad = "<script>alert(1)</script>"
    result = ResultView(FailoverResult("n1", "refused", bad, (VolumeResult(bad, "failed", bad),)))
    page = result._repr_html_()
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 3


def test_any_result_is_shown():
    """Plain fields as lines, lists as tables, `reason` last, empty columns left out."""
    result = FailoverResult(
        "n1",
        "unfinished",
        "gone",
        (VolumeResult("a", "no-fit", LONG, source="n1"),),
        evicted=("d/p",),
    )
    node, outcome, reason, *_ = text = tables.text(tables.of(result)).splitlines()
    assert (node, outcome, reason) == ("node: n1", "outcome: unfinished", "reason: gone")
    assert text[4].split() == ["VOLUME", "OUTCOME", "SOURCE", "REASON"]
    assert "d/p" in text


def test_a_shown_result_is_a_dict_with_attributes():
    """What scripts take from a result is there in both ways, and it still is JSON."""
    result = ResultView(
        FailoverResult("n1", "done", "gone", (VolumeResult("a", "rebuilt", "gone"),))
    )
    assert result["volumes"][0]["outcome"] == result.volumes[0].outcome == "rebuilt"
    assert msgspec.json.decode(msgspec.json.encode(dict(result)))["node"] == "n1"
    with pytest.raises(AttributeError):
        _ = result.nothing
    assert "rebuilt" in repr(result)


def test_an_unknown_result_is_given_back_as_it_is():
    """Of another release, say: no error in place of a result."""
    assert as_view({"new": 1}, FailoverResult) == {"new": 1}
    assert as_view({"outcome": "refused", "reason": "paused"}, FailoverResult)["reason"] == "paused"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h00m"),
        (200_000, "2d"),
    ],
)
def test_an_age_is_short(seconds, text):
    """As kubectl shows it."""
    assert times.age(seconds) == text
