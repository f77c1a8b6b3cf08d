"""The first line: is the cluster well, why not, and what helps."""

import msgspec
import pytest

from carina_tasks.cli import output
from carina_tasks.decisions import advice
from carina_tasks.decisions.placement.verdict import Obstacle
from carina_tasks.decisions.verdict import EXIT, LEVELS, Facts, NodeFacts, Unplaced, Verdict, judge
from carina_tasks.views import tables
from carina_tasks.views.tables import COLOURS, Headline

WELL = (
    NodeFacts("n1", "True", "alive", volumes=2),
    NodeFacts("n2", "True", "alive", volumes=1),
)


def facts(*nodes, **more):
    """Make the facts of a cluster that is well, but for `more`."""
    return Facts(nodes=nodes or WELL, **{"volumes": 3, "ready_known": True, **more})


def lost(kind="unschedulable", claims=("default/a",)):
    """Make volumes of the lost node n9 that no node fits."""
    return tuple(
        Unplaced(claim, "n9", (Obstacle("n1", kind), Obstacle("n2", kind))) for claim in claims
    )


def test_a_healthy_cluster():
    """How large it is, and that any node may fail."""
    assert judge(facts()).line == "HEALTHY: 2 nodes, 3 volumes, any single node may fail"


def test_what_no_node_fits_says_whose_and_what_helps():
    """The claims, the reason, and the command that removes it: never a retry."""
    verdict = judge(facts(unplaced=lost(claims=("default/a", "default/b"))))
    assert verdict.line == (
        "DEGRADED: 2 volumes of node n9 are unscheduled: nodes are cordoned "
        "(default/a, default/b): kubectl uncordon n1 n2"
    )
    assert verdict.exit_code == 1


@pytest.mark.parametrize(
    ("kind", "do"),
    [
        ("unschedulable", "kubectl uncordon n1 n2"),
        ("worker", "spec.nodeName=n1"),
        ("capacity", "add a disk to the volume group of n1 or n2"),
        ("taints", "kubectl describe node n1 n2"),
        ("resources", "kubectl describe node n1"),
        ("registered", "kubectl get csinode n1"),
        ("ready", "kubectl describe node n1 n2"),
        ("pod_affinity", "carina plan n9"),
    ],
)
def test_advice_removes_what_stands_in_the_way(kind, do):
    """Each obstacle has its own; a retry, which happens by itself, is none."""
    found = advice.for_no_fit([Obstacle("n1", kind), Obstacle("n2", kind)], "n9")
    assert do in found.do
    assert "retry" not in found.do


def test_the_cheapest_of_several_obstacles_comes_first():
    """To uncordon a node is done sooner than to add a disk; without another node, one is added."""
    both = [Obstacle("n1", "capacity"), Obstacle("n2", "unschedulable")]
    assert advice.for_no_fit(both, "n9").do == "kubectl uncordon n2"
    assert advice.for_no_fit([], "n9").do == "add a node that runs Carina"


@pytest.mark.parametrize(
    ("changed", "level", "words"),
    [
        ({"api": "refused", "broker": "x", "paused": "y"}, "UNKNOWN", "refused: kubectl version"),
        ({"paused": "racks"}, "STOPPED", "paused: racks"),
        ({"latched": "2 of 3"}, "STOPPED", "mass-failure guard: 2 of 3"),
        ({"broker": "nobody"}, "DEGRADED", "start it"),
        ({"missing": (("default/a", "n1"),)}, "DEGRADED", "missing on node n1 (default/a)"),
        ({"stuck": (("default/a", "silent"),), "rebuilding": 1}, "DEGRADED", "default/a: silent"),
        ({"unreadable": 2}, "DEGRADED", "2 objects cannot be read"),
        ({"rebuilding": 2}, "WORKING", "2 volumes are being rebuilt"),
        ({"ready_known": False}, "HEALTHY", "is being asked"),
    ],
)
def test_each_state_has_its_level(changed, level, words):
    """And its words, and its exit code."""
    verdict = judge(facts(**changed))
    assert verdict.level == level
    assert words in verdict.line
    assert verdict.exit_code == EXIT[level]


@pytest.mark.parametrize(
    ("node", "level", "words"),
    [
        (NodeFacts("n3", "True", "silent"), "DEGRADED", "the worker of node n3 does not answer"),
        (NodeFacts("n3", "False", "silent", 2, "NotReady for 9s"), "WORKING", "begins by itself"),
        (NodeFacts("n3", "deleted", "silent", 2), "WORKING", "node n3 is deleted"),
        (
            NodeFacts("n3", "False", "silent", 2, "NotReady for 9m", staying=2),
            "DEGRADED",
            "2 volumes are waiting for it to return",
        ),
        (NodeFacts("n3", "False", "silent", 2, "in maintenance", planned=True), "HEALTHY", "n3 in"),
        (
            NodeFacts("n3", "False", "silent", 2, "in maintenance", planned=True, overdue=True),
            "DEGRADED",
            "maintenance end n3",
        ),
        (NodeFacts("n3", "True", "alive", 0, "cordoned", cordoned=True), "HEALTHY", "n3 cordoned"),
        (
            NodeFacts(
                "n3",
                "True",
                "alive",
                2,
                without_place=2,
                obstacles=(Obstacle("n1", "unschedulable"),),
            ),
            "AT RISK",
            "would leave 2 volumes unscheduled (node n1 is cordoned): kubectl uncordon n1",
        ),
        (NodeFacts("n3", "True", "alive", 2, stops=True), "AT RISK", "would be a mass failure"),
    ],
)
def test_each_state_of_a_node_has_its_level(node, level, words):
    """Cordon and maintenance are shown; a silent worker of a lost node is no news of its own."""
    verdict = judge(facts(*WELL, node))
    assert verdict.level == level
    assert words in verdict.line


def test_several_things_are_counted():
    """The most urgent is the sentence; the others are counted, and `failed` lists them."""
    verdict = judge(facts(paused="racks", unplaced=lost(), unreadable=1))
    assert (verdict.level, verdict.more) == ("STOPPED", 2)
    assert verdict.line.endswith("(and 2 more: celery -A carina_tasks carina failed)")


def test_it_has_a_json_form():
    """For whatever else shows it: the same value comes back."""
    verdict = judge(facts(unplaced=lost()))
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict


def test_every_level_has_a_colour_and_an_exit_code():
    """A level that is added has both."""
    assert set(COLOURS) == set(EXIT) == set(LEVELS)


def test_colour_is_for_the_level_alone():
    """What comes from outside brings no colour of its own."""
    line = Headline("DEGRADED: \x1b[32mfine\x1b[0m", "DEGRADED")
    assert line.text(colour=True) == "\x1b[1;31mDEGRADED\x1b[0m:  [32mfine [0m"
    assert "\x1b" not in line.text()
    assert "<script>" not in tables.html([Headline("UNKNOWN: <script>", "UNKNOWN")])


@pytest.mark.parametrize(
    ("terminal", "env", "coloured"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(monkeypatch, terminal, env, coloured):
    """NO_COLOR (https://no-color.org) is respected, and a pipe never gets any."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    assert output.colour() is coloured
