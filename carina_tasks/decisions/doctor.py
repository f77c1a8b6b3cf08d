"""Is everything that failover needs there and right? One function a check.

What it means, and what to type.

Pure: what was asked of broker, API server and processes is handed in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from carina_tasks.decisions.carina_failover import (
    VERBS,
    CarinaFailover,
    FailoverOff,
    FailoverUnknown,
)
from carina_tasks.model.process import Process

CheckResult = Literal["OK", "WARN", "FAIL"]
SKEW_WARN, SKEW_FAIL = 5.0, 60.0
"""Seconds between two clocks. Ages are minutes, so 5 s do no harm; with 60 a NotReady node may move
a minute too early.
"""
OVERDUE = 1500
"""Seconds after which a sweep is overdue: two and a half of its intervals."""


@dataclass(frozen=True, slots=True)
class Check:
    """The answer to one question."""

    area: str
    verdict: CheckResult
    finding: str
    do: str = ""


def workers(nodes: Collection[str], processes: Sequence[Process]) -> list[Check]:
    """Judge whether each node has its worker, and no worker serves a node that is not there."""
    alive = {p.name for p in processes if p.role == "node"}
    silent, strange = sorted(set(nodes) - alive), sorted(alive - set(nodes))
    checks = []
    if silent:
        checks.append(
            Check(
                "node workers",
                "WARN" if set(nodes) & alive else "FAIL",
                f"silent on {len(silent)} of {len(nodes)} nodes: {_some(silent)}. Nothing can be "
                "rebuilt there, and nothing is swept.",
                "kubectl get pods -A -o wide | grep carina-tasks-node",
            )
        )
    else:
        checks.append(Check("node workers", "OK", f"alive on all {len(nodes)} nodes"))
    if strange:
        checks.append(
            Check(
                "node workers",
                "WARN",
                f"alive for nodes that the API server does not know: {_some(strange)}. NODE_NAME "
                "is wrong there, or the node was deleted.",
                "kubectl get nodes",
            )
        )
    if any(p.profile == "sealed" for p in processes if p.role == "node"):
        text = (
            "sealed: `celery inspect` and Flower do not see them; `carina status` and `carina "
            "volumes NODE` do"
        )
        checks.append(Check("profile", "OK", text))
    return checks


def roles(processes: Sequence[Process]) -> list[Check]:
    """Judge whether control workers, beat and node watch are at work."""
    found = {
        role: sorted(p.name for p in processes if p.role == role)
        for role in ("control", "beat", "node-watch")
    }
    lost: Mapping[str, tuple[CheckResult, str, str]] = {
        "control": (
            "FAIL",
            "nothing is decided: no failover, no sweep",
            "carina-tasks-control",
        ),
        "beat": (
            "FAIL",
            "no sweep and no resume runs again; what the watch misses is not found",
            "carina-tasks-beat",
        ),
        "node-watch": (
            "WARN",
            "a lost node is found by resume, up to 30 s later",
            "carina-tasks-node-watch",
        ),
    }
    checks = []
    for role, names in found.items():
        verdict, means, workload = lost[role]
        if names:
            checks.append(Check(role, "OK", f"{len(names)} alive: {_some(names)}"))
        else:
            checks.append(
                Check(
                    role,
                    verdict,
                    f"none alive: {means}",
                    f"kubectl get deployments -A | grep {workload}",
                )
            )
    return checks


def sweep(name: str, seconds: float | None) -> Check:
    """Judge how long ago a sweep ended well; None: not that anybody knows."""
    do = f"celery -A carina_tasks call carina.sweep.{name}"
    if seconds is None:
        return Check(
            "sweeps", "WARN", f"{name}: none has ended well, as far as the broker knows", do
        )
    verdict: CheckResult = "WARN" if seconds > OVERDUE else "OK"
    return Check(
        "sweeps",
        verdict,
        f"{name}: the last one ended well {seconds:.0f} s ago",
        do if verdict != "OK" else "",
    )


def clocks(api: float, others: Mapping[str, float], precision: float) -> list[Check]:
    """Judge the clocks of `others` against the API server's.

    The answer's own age makes it `precision` seconds coarse.

    Args:
        api: The client of the API server.
        others: The other clocks, seconds since the epoch by name.
        precision: Seconds within which two clocks count as equal.
    """
    checks = []
    for name, clock in sorted(others.items()):
        skew = clock - api
        far = max(0.0, abs(skew) - precision)
        if far >= SKEW_WARN:
            text = f"{name} is {far:.0f} s {'ahead of' if skew > 0 else 'behind'} the API server"
            checks.append(
                Check("clocks", "FAIL" if far >= SKEW_FAIL else "WARN", text, "chronyc tracking")
            )
    whose = " and ".join(sorted(others)) if len(others) < 3 else f"{len(others)} processes"
    return checks or [Check("clocks", "OK", f"{whose}: within {SKEW_WARN:.0f} s of the API server")]


def versions(here: Process, processes: Sequence[Process]) -> list[Check]:
    """Judge whether every process runs this release."""
    other: dict[str, list[str]] = {
        p.version or "unknown": [] for p in processes if p.version != here.version
    }
    for p in processes:
        if p.version != here.version:
            other[p.version or "unknown"].append(f"{p.role} {p.name}")
    checks = [
        Check(
            "versions",
            "WARN",
            f"{version}: {_some(names)}; this is {here.version}",
            "kubectl get daemonsets -A | grep carina-tasks-node",
        )
        for version, names in sorted(other.items())
    ]
    return checks or [
        Check(
            "versions",
            "OK",
            f"carina-tasks {here.version}, Celery {here.celery}, redis-py {here.redis} everywhere",
        )
    ]


def settings(here: Process, processes: Sequence[Process]) -> list[Check]:
    """Judge whether the control workers have the same settings, and this command too."""
    checks = []
    control = [p for p in processes if p.role == "control"]
    for p in [*control[1:], here] if control else []:
        first = control[0]
        names = sorted(
            n
            for n in first.settings.keys() | p.settings.keys()
            if first.settings.get(n) != p.settings.get(n)
        )
        who = "this command" if p is here else f"control {p.name}"
        for name in names:
            mine, theirs = (one.settings.get(name, "the default") for one in (p, first))
            text = f"{name} is {mine} for {who}, {theirs} for control {first.name}"
            checks.append(Check("settings", "WARN", text, "set it alike: docs/settings.md"))
    return checks or [
        Check(
            "settings",
            "OK",
            "the control workers' are alike" if control else "no control worker to compare with",
        )
    ]


def carinas_failover(account: str, found: CarinaFailover) -> Check:
    """Return the check of what Carina's own failover can still do.

    Args:
        account: The user as which Carina's controller runs.
        found: The judgement.
    """
    area = "Carina's own failover"
    if isinstance(found, FailoverOff):
        return Check(area, "OK", found.reason)
    if isinstance(found, FailoverUnknown):
        do = "; ".join(f"kubectl auth can-i {verb} {what} --as={account}" for what, verb in VERBS)
        return Check(area, "WARN", found.reason, do)
    text = f"{found.reason}: on a NotReady node it kills pods and deletes claims beside ours"
    return Check(area, "WARN", text, "docs/carina.md, Deny Carina's own failover")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
