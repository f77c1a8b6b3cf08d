"""Is everything that failover needs there and right? One function a check.

What it means, and what to type.

Pure: what was asked of broker, API server and processes is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from carina_tasks.decisions.carina_failover import (
    VERBS,
    CarinaFailover,
    FailoverOff,
    FailoverUnknown,
)
from carina_tasks.decisions.verdict import Verdict
from carina_tasks.model import published, times
from carina_tasks.model.process import Process

CheckResult = Literal["OK", "WARN", "FAIL"]
SKEW_WARN, SKEW_FAIL = 5.0, 60.0
"""Seconds between two clocks. Ages are minutes, so 5 s do no harm; with 60 a NotReady node may move
a minute too early.
"""
CERTIFICATE_WARN = 14 * 86400
"""Seconds before the end of the broker's certificate: time to find who renews it, and to do so."""
SETTLING = 60.0
"""Seconds after the broker's start in which a process that is at work may not have sent a heartbeat
yet: beat sends one with its most frequent task, every 30 s.
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


def connection(tls: str, verified: str, ends: float | None, now: float) -> Check:
    """Judge how the connection to the broker is protected.

    Args:
        tls: The protocol, empty without TLS.
        verified: The setting `broker_verify`.
        ends: When the broker's certificate expires, seconds since the epoch; None: not known.
        now: Seconds since the epoch.
    """
    area = "broker's connection"
    if not tls:
        text = "not encrypted: who can read the network between can read the passwords"
        return Check(area, "OK", text)
    if verified != "full":
        what = "certificate" if verified == "none" else "host name"
        text = f"{tls}, and the broker's {what} is not verified: it may be anybody"
        return Check(area, "WARN", text, "unset CARINA_TASKS_BROKER_VERIFY (docs/redis.md, TLS)")
    if ends is None:
        return Check(area, "OK", f"{tls}, certificate and host name are verified")
    day = f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d}"
    if ends - now < CERTIFICATE_WARN:
        text = f"{tls}; the broker's certificate ends on {day}, and every connection with it"
        return Check(area, "WARN", text, "renew the broker's certificate (docs/redis.md, TLS)")
    return Check(area, "OK", f"{tls}, certificate and host name are verified; valid until {day}")


def workers(
    nodes: Collection[str], processes: Sequence[Process], broker_runs: float | None
) -> list[Check]:
    """Judge whether each node has its worker, and no worker serves a node that is not there.

    Args:
        nodes: The cluster's nodes.
        processes: The processes that send heartbeats.
        broker_runs: Seconds since the broker started; None when that is not known.
    """
    alive = {p.name for p in processes if p.role == "node"}
    silent, strange = sorted(set(nodes) - alive), sorted(alive - set(nodes))
    checks = []
    if silent:
        checks.append(
            _silent(
                Check(
                    "node workers",
                    "WARN" if set(nodes) & alive else "FAIL",
                    f"silent on {len(silent)} of {len(nodes)} nodes: {_some(silent)}. Nothing can "
                    "be rebuilt there, and nothing is swept.",
                    "kubectl get pods -A -o wide | grep carina-tasks-node",
                ),
                broker_runs,
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


def roles(processes: Sequence[Process], broker_runs: float | None) -> list[Check]:
    """Judge whether control workers, beat and node watch are at work.

    Args:
        processes: The processes that send heartbeats.
        broker_runs: Seconds since the broker started; None when that is not known.
    """
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
                _silent(
                    Check(
                        role,
                        verdict,
                        f"none alive: {means}.",
                        f"kubectl get deployments -A | grep {workload}",
                    ),
                    broker_runs,
                )
            )
    return checks


def _silent(check: Check, broker_runs: float | None) -> Check:
    """Judge missing heartbeats mildly after a start of the broker.

    One that keeps nothing on a disk starts without any.
    """
    if broker_runs is None or broker_runs >= SETTLING:
        return check
    finding = (
        f"{check.finding} But the broker started only {times.age(broker_runs)} ago: ask again in "
        "a minute."
    )
    return replace(check, verdict="WARN", finding=finding)


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
        f"{name}: the last one ended well {times.age(seconds)} ago",
        do if verdict != "OK" else "",
    )


def published_status(seconds: float | None) -> Check:
    """Judge how long ago the status was published; None: it never was."""
    do = "celery -A carina_tasks call carina.failover.publish_status"
    if seconds is None:
        text = "none is published yet: `kubectl carina status` and Flower have nothing to show"
        return Check("published status", "WARN", text, do)
    written = f"written {times.age(seconds)} ago"
    if seconds > published.STALE_AFTER:
        return Check("published status", "WARN", f"{written}: nobody writes it any more", do)
    return Check("published status", "OK", written)


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
            checks.append(
                Check("settings", "WARN", text, "set it to the same value: docs/settings.md")
            )
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


PLACES: Mapping[str, str] = {
    "kubectl": "where you have kubectl",
    "redis-cli": "at the broker",
    "chronyc": "on that machine",
}
"""Where a program is that the image of carina-tasks does not have."""
_PAGE = re.compile(r"docs/([a-z-]+)\.md(?:, ([A-Z][\w' ]*))?")


def placed(check: Check, namespace: str, docs_url: str, installed: Callable[[str], bool]) -> Check:
    """Return the check with advice that can be followed where it is read.

    The namespace is the real one, a page is an address, and a command whose program is not
    installed here says where it is.

    Args:
        check: The check.
        namespace: The namespace of carina-tasks.
        docs_url: Address under which the documentation is served; empty: pages are files.
        installed: Whether there is a program of that name here.
    """
    do = check.do.replace("-n kube-system", f"-n {namespace}")
    if docs_url:
        do = _PAGE.sub(lambda found: _address(docs_url, *found.groups()), do)
    program = do.partition(" ")[0]
    if program in PLACES and not installed(program):
        do = f"{PLACES[program]}: {do}"
    return replace(check, do=do)


def _address(docs_url: str, page: str, heading: str | None) -> str:
    words = (heading or "").strip().lower().replace("'", "")
    anchor = f"#{words.replace(' ', '-')}" if words else ""
    return f"{docs_url.rstrip('/')}/{page}.html{anchor}"


def verdict_of(checks: Sequence[Check]) -> Verdict:
    """Return the first line of `carina doctor`."""
    failed = list(dict.fromkeys(check.area for check in checks if check.verdict == "FAIL"))
    warned = list(dict.fromkeys(check.area for check in checks if check.verdict == "WARN"))
    if failed:
        return Verdict("DEGRADED", f"failover does not work: {', '.join(failed)}")
    if warned:
        return Verdict("AT RISK", f"failover works; look at: {', '.join(warned)}")
    return Verdict("HEALTHY", f"all {len(checks)} checks are OK")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
