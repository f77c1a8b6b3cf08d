"""The one sentence about the whole cluster: is it well, why not, and what helps?

The first line of `carina status`, its colour and its exit code; the same value goes as JSON to
whatever else shows the status. It is decided on what the status knows, and never guesses: what
could not be asked makes it UNKNOWN or DEGRADED, and never HEALTHY.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, Literal, get_args

import msgspec

from carina_tasks.decisions.advice import CARINA, for_no_fit, start_worker
from carina_tasks.decisions.placement.verdict import Obstacle

Level = Literal["HEALTHY", "AT RISK", "WORKING", "DEGRADED", "STOPPED", "UNKNOWN"]
"""``HEALTHY``: nothing is wrong, and any single node may fail. ``AT RISK``: nothing is wrong, but
the loss of one node would need the operator. ``WORKING``: something is being repaired and continues
by itself. ``DEGRADED``: something needs the operator. ``STOPPED``: nothing is repaired until the
operator resumes it. ``UNKNOWN``: the API server does not answer.
"""
EXIT: Final[dict[Level, int]] = {
    "HEALTHY": 0,
    "AT RISK": 0,
    "WORKING": 0,
    "DEGRADED": 1,
    "STOPPED": 1,
    "UNKNOWN": 2,
}
"""The exit code of a command that shows the verdict."""
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
_NAMED: Final = 3


class Verdict(msgspec.Struct, frozen=True):
    """Whether the cluster is well, why not, and what helps."""

    level: Level
    reason: str
    """One sentence."""
    do: str = ""
    """What to type or to do next; empty when nothing needs the operator."""
    more: int = 0
    """How many other things need the operator; `carina failed` lists all."""

    @property
    def line(self) -> str:
        """The first line: ``DEGRADED: reason: kubectl uncordon n2``."""
        also = f" (and {self.more} more: {CARINA} failed)" if self.more else ""
        return f"{self.level}: {self.reason}" + (f": {self.do}" if self.do else "") + also

    @property
    def exit_code(self) -> int:
        """What a command that shows it ends with."""
        return EXIT[self.level]

    def __str__(self) -> str:
        return self.line

    def _repr_html_(self) -> str:
        """Return it for a notebook; names of the cluster are escaped."""
        return f"<p><strong>{escape(self.line)}</strong></p>"


class Unplaced(msgspec.Struct, frozen=True):
    """A volume of a lost node that no node fits."""

    claim: str
    """``namespace/name`` of its claim."""
    node: str
    """The lost node."""
    obstacles: tuple[Obstacle, ...] = ()
    """What stands in the way on each node."""
    reason: str = ""
    """The reason in the scheduler's words."""
    pod: str = ""
    """The pod that uses it, in the claim's namespace; empty without one."""
    volume: str = ""


class NodeFacts(msgspec.Struct, frozen=True):
    """What the verdict needs to know of one node."""

    name: str
    ready: str
    """Its Ready condition, or ``deleted``."""
    worker: str
    """``alive``, ``silent`` or ``unknown``."""
    volumes: int = 0
    note: str = ""
    """Maintenance, a cordon, how long it is NotReady."""
    cordoned: bool = False
    planned: bool = False
    """It is in maintenance."""
    overdue: bool = False
    """Its maintenance takes longer than was announced, or its entry cannot be read."""
    staying: int = 0
    """It is lost, and so many of its volumes wait for it to return: their pods may not move."""
    without_place: int = 0
    """Volumes that no node would fit if it were lost now."""
    obstacles: tuple[Obstacle, ...] = ()
    """What would stand in their way on the other nodes."""
    stops: bool = False
    """Its loss now would be a mass failure."""


class Facts(msgspec.Struct, frozen=True):
    """What the verdict is decided on."""

    nodes: tuple[NodeFacts, ...] = ()
    volumes: int = 0
    rebuilding: int = 0
    """Rebuilds that are under way."""
    stuck: tuple[tuple[str, str], ...] = ()
    """Of these, the ones that take too long: claim and the reason."""
    unplaced: tuple[Unplaced, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    """Claim and node of each volume whose LV is not there."""
    unreadable: int = 0
    """Objects that cannot be read."""
    paused: str = ""
    latched: str = ""
    api: str = ""
    """Why the API server could not be asked."""
    broker: str = ""
    """Why the broker could not be asked."""
    ready_known: bool = False
    """Whether it is known what the loss of each node would do."""
    namespace: str = "kube-system"
    """Where carina-tasks runs."""


def judge(facts: Facts) -> Verdict:
    """Return the verdict: the most urgent of what needs the operator, or that nothing does."""
    if facts.api:
        return Verdict("UNKNOWN", facts.api, "kubectl version")
    found = list(_needs_a_person(facts))
    if found:
        return msgspec.structs.replace(found[0], more=len(found) - 1)
    if facts.rebuilding or (lost := _lost(facts)):
        return _working(facts, () if facts.rebuilding else lost)
    return _well(facts)


def _needs_a_person(facts: Facts) -> Iterator[Verdict]:
    """Yield everything that needs the operator, the most urgent first."""
    resume = f"when you know why: {CARINA} resume"
    if facts.paused:
        yield Verdict("STOPPED", f"paused: {facts.paused}", resume)
    if facts.latched:
        yield Verdict("STOPPED", f"stopped by the mass-failure guard: {facts.latched}", resume)
    if facts.broker:
        yield Verdict(
            "DEGRADED",
            f"the broker does not answer, so nothing is failed over ({facts.broker})",
            f"start it, then {CARINA} doctor",
        )
    yield from _unplaced(facts)
    if facts.missing:
        nodes = sorted({node for _, node in facts.missing})
        yield Verdict(
            "DEGRADED",
            f"{_volumes(len(facts.missing))} missing on {_nodes(nodes)} "
            f"({_some([claim for claim, _ in facts.missing])})",
            f"{CARINA} volumes {facts.missing[0][0] or nodes[0]}",
        )
    if facts.stuck:
        claim, reason = facts.stuck[0]
        yield Verdict(
            "DEGRADED",
            f"{_number(len(facts.stuck), 'rebuild')} not finished ({claim}: {reason})",
            f"{CARINA} failed",
        )
    yield from _of_nodes(facts)
    if facts.unreadable:
        yield Verdict(
            "DEGRADED",
            f"{_number(facts.unreadable, 'object')} cannot be read and are left alone",
            f"{CARINA} failed",
        )


def _unplaced(facts: Facts) -> Iterator[Verdict]:
    for node, number in sorted(Counter(one.node for one in facts.unplaced).items()):
        of_node = [one for one in facts.unplaced if one.node == node]
        obstacles = [obstacle for one in of_node for obstacle in one.obstacles]
        advice = for_no_fit(obstacles, node, facts.namespace)
        yield Verdict(
            "DEGRADED",
            f"{_number(number, 'volume')} of node {node} {_are(number)} unscheduled: "
            f"{advice.reason} ({_some([one.claim for one in of_node])})",
            advice.do,
        )


def _of_nodes(facts: Facts) -> Iterator[Verdict]:
    """Yield what is wrong with a node: an overdue maintenance, a silent worker."""
    for node in facts.nodes:
        if node.overdue:
            yield Verdict(
                "DEGRADED",
                f"node {node.name} is {node.note}: that time is over, and nothing of it is failed "
                "over",
                f"when it is back: {CARINA} maintenance end {node.name}",
            )
        if node.staying:
            yield Verdict(
                "DEGRADED",
                f"node {node.name} is {node.note or 'not Ready'}, and {_volumes(node.staying)} "
                "waiting for it to return: their pods are not allowed to migrate",
                f"start the machine, or {CARINA} plan {node.name} --not-ready",
            )
    silent = [n.name for n in facts.nodes if n.worker == "silent" and n.ready == "True"]
    if silent:
        yield Verdict(
            "DEGRADED",
            f"the worker of {_nodes(silent)} does not answer, so nothing can be rebuilt there",
            start_worker(facts.namespace, silent[0]),
        )


def _lost(facts: Facts) -> tuple[NodeFacts, ...]:
    return tuple(node for node in facts.nodes if node.ready != "True" and not node.planned)


def _working(facts: Facts, lost: Sequence[NodeFacts]) -> Verdict:
    if facts.rebuilding:
        return Verdict(
            "WORKING", f"{_volumes(facts.rebuilding)} being rebuilt; this continues by itself"
        )
    first = lost[0]
    state = first.note or ("deleted" if first.ready == "deleted" else "not Ready")
    more = f", and {_number(len(lost) - 1, 'more node')}" if len(lost) > 1 else ""
    if not any(node.volumes for node in lost):
        return Verdict("WORKING", f"node {first.name} is {state}{more}; it has no volumes")
    return Verdict(
        "WORKING",
        f"node {first.name} is {state}{more}; the failover of its "
        f"{_number(first.volumes, 'volume')} begins by itself",
    )


def _well(facts: Facts) -> Verdict:
    whole = f"{_number(len(facts.nodes), 'node')}, {_number(facts.volumes, 'volume')}"
    planned = [n.name for n in facts.nodes if n.planned]
    cordoned = [n.name for n in facts.nodes if n.ready == "True" and n.cordoned]
    if planned:
        whole += f", {_nodes(planned)} in maintenance"
    if cordoned:
        whole += f", {_nodes(cordoned)} cordoned"
    risky = [n for n in facts.nodes if n.without_place or n.stops]
    if risky:
        worst = max(risky, key=lambda node: node.without_place)
        advice = for_no_fit(worst.obstacles, worst.name, facts.namespace)
        loses = (
            f"the loss of node {worst.name} would leave {_number(worst.without_place, 'volume')} "
            f"unscheduled ({advice.reason})"
            if worst.without_place
            else f"the loss of node {worst.name} would be a mass failure, and stop everything"
        )
        others = f" (and {_number(len(risky) - 1, 'more node')})" if len(risky) > 1 else ""
        do = advice.do if worst.without_place else f"{CARINA} plan {worst.name}"
        return Verdict("AT RISK", f"{whole}; {loses}{others}", do)
    if not facts.ready_known:
        return Verdict("HEALTHY", f"{whole}; whether a node may fail is being asked")
    if not facts.nodes:
        return Verdict("HEALTHY", "no nodes, no volumes")
    return Verdict("HEALTHY", f"{whole}, any single node may fail")


def _nodes(names: Sequence[str]) -> str:
    return f"node{'s' if len(names) > 1 else ''} {_some(names)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _volumes(number: int) -> str:
    return f"{_number(number, 'volume')} {_are(number)}"


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
