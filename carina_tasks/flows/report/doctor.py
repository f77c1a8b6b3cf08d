"""Checks everything that failover needs. Nothing is written."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence

from carina_tasks.decisions import doctor
from carina_tasks.decisions.doctor import Check
from carina_tasks.errors import ApiDenied, ApiUnavailable, CarinaTasksError
from carina_tasks.flows.context import Context
from carina_tasks.flows.report import carina_failover
from carina_tasks.flows.sweeps import local_volumes, logic_volumes
from carina_tasks.flows.sweeps.results import Swept
from carina_tasks.kube import rights
from carina_tasks.model import published
from carina_tasks.model.process import Process
from carina_tasks.store.server_info import BrokerInfo

ALMOST_FULL, FULL = 0.75, 0.9
"""Shares of the broker's memory limit. At the limit it takes no message, and no failover begins."""
KINDS = (
    ("carina.storage.io/v1", "logicvolumes"),
    ("carina.storage.io/v1beta1", "nodestorageresources"),
)


def examine(
    ctx: Context,
    here: Process,
    broker: BrokerInfo | CarinaTasksError,
    processes: Sequence[Process],
    installed: Callable[[str], bool] = lambda program: True,
) -> tuple[Check, ...]:
    """Return every check, those of the broker first.

    `processes` gave a heartbeat at the broker.

    Args:
        ctx: The outside world.
        here: What this process reports about itself.
        broker: What Redis reports, or why it does not.
        processes: The processes that send heartbeats.
        installed: Whether there is a program of that name where the advice is read.
    """
    checks = list(_broker(ctx, broker, processes))
    api = list(_api(ctx, broker, processes))
    checks += api
    if isinstance(broker, BrokerInfo):
        checks += doctor.roles(processes, broker.runs)
        checks += doctor.versions(here, processes)
        checks += doctor.settings(here, processes)
    text = f"of this process: kubernetes client {rights.CLIENT}, Python {platform.python_version()}"
    checks.append(Check("versions", "OK", text))
    conf = ctx.settings
    return tuple(doctor.placed(check, conf.namespace, conf.docs_url, installed) for check in checks)


def _broker(
    ctx: Context, broker: BrokerInfo | CarinaTasksError, processes: Sequence[Process]
) -> Iterator[Check]:
    if isinstance(broker, CarinaTasksError):
        do = "start the broker, or correct CARINA_TASKS_BROKER_URL: docs/redis.md"
        yield Check(
            "broker",
            "FAIL",
            f"{broker.message}. No failover and no sweep until it is back; nothing is lost.",
            do,
        )
        return
    yield Check(
        "broker",
        "OK",
        f"{broker.version} answers in {broker.seconds * 1000:.1f} ms, as user {broker.user or '?'}",
    )
    verified = ctx.settings.broker_verify
    yield doctor.connection(broker.tls, verified, broker.certificate_ends, broker.clock)
    yield from _memory(broker)
    if broker.role != "master":
        text = "is a replica: it refuses every write, so nothing can be asked of anybody"
        yield Check(
            "broker",
            "FAIL",
            text,
            "point CARINA_TASKS_BROKER_URL at the master, or at the Sentinels",
        )
    if broker.others and not processes:
        numbers = ", ".join(map(str, broker.others))
        text = (
            f"database {broker.database} has no process of carina-tasks, and database {numbers} "
            "has: the URLs differ in their last number"
        )
        yield Check("broker", "FAIL", text, "make CARINA_TASKS_BROKER_URL the same everywhere")
    yield from _users(broker, processes)


def _memory(broker: BrokerInfo) -> Iterator[Check]:
    if broker.eviction != "noeviction":
        text = (
            f"maxmemory-policy is {broker.eviction or 'not known'}: a queue that is evicted is a "
            "failover that comes late"
        )
        verdict: doctor.CheckResult = "WARN" if broker.limit or not broker.eviction else "OK"
        yield Check(
            "broker",
            verdict,
            text,
            "redis-cli config set maxmemory-policy noeviction" if verdict != "OK" else "",
        )
    limit = f"of {broker.limit >> 20}Mi" if broker.limit else "and has no limit"
    share = broker.used / broker.limit if broker.limit else 0.0
    fullness: doctor.CheckResult = (
        "FAIL" if share > FULL else "WARN" if share > ALMOST_FULL else "OK"
    )
    text = f"uses {broker.used >> 20}Mi {limit}; persistence: {broker.persistence} (none is needed)"
    yield Check("broker", fullness, text, "docs/redis.md, Sizing" if fullness != "OK" else "")


def _users(broker: BrokerInfo, processes: Sequence[Process]) -> Iterator[Check]:
    sealed = any(p.profile == "sealed" for p in processes)
    if broker.stranger == "let in":
        text = "accepts every client without a password: any of them can have volumes removed"
        do = "docs/redis.md, Users and profiles"
        yield Check("broker's users", "FAIL" if sealed else "WARN", text, do)
    elif sealed and broker.user == "default":
        text = "node workers are sealed, and this is the user `default`: use the control side's own"
        yield Check("broker's users", "WARN", text, "docs/redis.md")
    else:
        text = (
            "a stranger without a password is refused"
            if broker.stranger
            else "whether a stranger is let in was not tried"
        )
        yield Check("broker's users", "OK", text)


def _api(
    ctx: Context, broker: BrokerInfo | CarinaTasksError, processes: Sequence[Process]
) -> Iterator[Check]:
    try:
        begun = time.time()
        version, now = ctx.cluster.version()
    except CarinaTasksError as exc:
        yield Check(
            "API server",
            "FAIL",
            f"{exc.message}. Nothing is moved or removed meanwhile.",
            "kubectl version",
        )
        return
    mine = time.time()
    yield Check(
        "API server",
        "OK",
        f"{version} at {ctx.cluster.host} answers in {(mine - begun) * 1000:.0f} ms",
    )
    yield from _rights(ctx)
    yield from _kinds(ctx)
    try:
        nodes = sorted(ctx.cluster.nodes().names)
        state = ctx.state.read()
    except CarinaTasksError as exc:
        yield Check("API server", "FAIL", exc.message, "kubectl get nodes")
        return
    held = state.paused or state.latched
    word = "paused" if state.paused else "stopped by the mass-failure guard"
    do = "celery -A carina_tasks carina resume"
    yield Check(
        "pause",
        "WARN" if held else "OK",
        f"{word}: {held}" if held else "neither paused nor stopped",
        do if held else "",
    )
    others = {"this machine": mine}
    if isinstance(broker, BrokerInfo):
        yield from doctor.workers(nodes, processes, broker.runs)
        yield from _sweeps(ctx, now)
        yield from _published(ctx, now)
        others["the broker"] = broker.clock
        interval = ctx.settings.heartbeat_interval
        yield from doctor.clocks(
            now,
            {f"{p.role} {p.name}": p.at for p in processes if p.at and p.role != "beat"},
            1 + interval,
        )
    # The API server's clock has whole seconds.
    yield from doctor.clocks(now, others, 1 + mine - begun)
    yield from _carina(ctx)


def _rights(ctx: Context) -> Iterator[Check]:
    wanted = rights.needed(ctx.settings.namespace)
    try:
        lacking = ctx.cluster.missing_rights(wanted)
    except (ApiUnavailable, ApiDenied) as exc:
        yield Check(
            "rights", "WARN", f"cannot be asked: {exc.message}", "kubectl auth can-i --list"
        )
        return
    for right in lacking:
        yield Check(
            "rights", "FAIL", f"these credentials may not {right}", "docs/kustomize.md, Upgrade"
        )
    if not lacking:
        yield Check(
            "rights",
            "OK",
            f"all {len(wanted)} verbs of deploy/rbac.yaml are allowed to these credentials",
        )


def _kinds(ctx: Context) -> Iterator[Check]:
    for version, plural in KINDS:
        try:
            names = ctx.cluster.served(version)
        except CarinaTasksError:
            names = frozenset()
        wanted = {plural, f"{plural}/status"}
        if wanted <= names:
            yield Check("Carina", "OK", f"{plural} {version} is served, with its status")
        elif plural == "logicvolumes":
            yield Check(
                "Carina",
                "FAIL",
                f"{plural} {version} is not served: Carina is not installed",
                "kubectl get crd | grep carina",
            )
        else:
            yield Check(
                "Carina",
                "WARN",
                f"{plural} {version} is not served: another release of Carina than 0.14?",
                "kubectl get crd | grep carina",
            )


def _sweeps(ctx: Context, now: float) -> Iterator[Check]:
    for name, finding in (
        ("local_volumes", local_volumes.RESULT_NAME),
        ("logic_volumes", logic_volumes.RESULT_NAME),
    ):
        try:
            last = ctx.latest_results.last(finding, Swept)
        except CarinaTasksError:
            continue
        yield doctor.sweep(name, None if last is None else max(0.0, now - last.at))


def _published(ctx: Context, now: float) -> Iterator[Check]:
    try:
        written = published.seconds(str(ctx.published.read().get("written")))
    except CarinaTasksError as exc:
        yield Check("published status", "WARN", exc.message, "docs/status.md")
        return
    yield doctor.published_status(max(0.0, now - written) if written else None)


def _carina(ctx: Context) -> Iterator[Check]:
    try:
        found = carina_failover.judge(ctx)
    except CarinaTasksError as exc:
        yield Check(
            "Carina's own failover",
            "WARN",
            f"whether it runs is not known: {exc.message}",
            "docs/carina.md",
        )
        return
    for account, one in found.items():
        yield doctor.carinas_failover(account, one)
    if not found:
        yield Check("Carina's own failover", "OK", "no pod of carina-controller runs here")
