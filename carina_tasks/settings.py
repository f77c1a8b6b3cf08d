"""Every setting: its type, unit, default and why.

Read from the environment as ``CARINA_TASKS_<NAME>``; ``NODE_NAME`` and ``KUBECONFIG`` keep their
usual names. All are checked before anything starts; a wrong one is named with what it should be.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal

from carina_tasks import broker_settings, enrolment_settings
from carina_tasks.broker_settings import BrokerSettings
from carina_tasks.enrolment_settings import EnrolmentSettings
from carina_tasks.environment import PREFIX, check_names
from carina_tasks.errors import BadSetting
from carina_tasks.model import quantity
from carina_tasks.setting_types import (
    Bounds,
    Check,
    DocsUrl,
    Namespace,
    NodeName,
    PositiveSeconds,
    Seconds,
    Setting,
    Share,
    read_settings,
    setting,
    settings_of,
    size,
)


@dataclass(frozen=True, kw_only=True)
class Settings(BrokerSettings, EnrolmentSettings):
    """What a process of carina-tasks needs to know.

    The broker's part is `BrokerSettings`, that of enrolment `EnrolmentSettings`.
    """

    # --- node worker ---
    node_name: NodeName = setting(
        "",
        variable="NODE_NAME",
        description="Name of the Kubernetes node that a node worker serves (the downward API's "
        "spec.nodeName). No default: a node worker does not start without it.",
    )
    node_profile: Literal["open", "sealed"] = setting(
        "open",
        description="open: events and remote control on, for Flower and `celery inspect` (a "
        "trusted Redis). sealed: both off, so one Redis ACL line ties a node to its own queue; a "
        "control worker that has it sends events to Flower in their place. Default open; the "
        "manifests in deploy/ set sealed.",
    )
    lvm_command: str = setting(
        "lvm",
        description="The lvm command: an executable, with arguments before it where it must be "
        "entered (nsenter). Default: the system's own lvm.",
    )
    lvm_timeout: PositiveSeconds = setting(
        30.0,
        description="Seconds one lvm command may take before it is ended. Default 30: a hundred "
        "times what lvs needs, yet shorter than the operator's patience with a dying disk.",
    )
    zero_block: bool = setting(
        True,
        description="Write zeroes over the new LV of a volume with volumeMode Block before its pod "
        "gets it: the pod reads the device itself, and with it what an earlier volume wrote there. "
        "Read by the control workers. Default true: a pod must not read the data of another. False "
        "where all tenants trust each other, or the data is encrypted, and minutes count.",
    )
    zero_command: str = setting(
        "blkdiscard",
        description="The blkdiscard(8) command that writes the zeroes (util-linux 2.36 or newer): "
        "an executable, with arguments before it where it must be entered (nsenter). Read by the "
        "node workers. Default: the system's own.",
    )
    zero_timeout: PositiveSeconds = setting(
        3600.0,
        description="Seconds that zeroing one LV may take on its node before another node is "
        "planned. Default 3600: 500 GiB at 150 MB/s, a single slow disk.",
    )
    heartbeat_interval: PositiveSeconds = setting(
        5.0,
        description="Seconds between two heartbeats of a node worker. Default 5.",
    )
    heartbeat_ttl: PositiveSeconds = setting(
        20.0,
        description="Seconds after which a silent node worker counts as silent. Default 20: four "
        "missed heartbeats.",
    )

    # --- asking nodes ---
    node_deadline: PositiveSeconds = setting(
        45.0,
        description="Seconds a control task waits for a node's answer, and after which the node "
        "task expires. Default 45: lvm_timeout and a poll interval of the queue, with room.",
    )
    answer_limit: Annotated[int, Bounds(ge=1024)] = setting(
        16 << 20,
        description="Bytes of the largest answer of a node that is read. Default 16 MiB: 20000 "
        "volumes are 8 MiB.",
    )

    # --- guards ---
    confirm_absence: Seconds = setting(
        10.0,
        description="Seconds between the two GETs that must both answer 404 before a node counts "
        "as deleted. Default 10: longer than a re-registration by a restarted kubelet takes, short "
        "against a database's failover.",
    )
    not_ready_after: Seconds = setting(
        300.0,
        description="Seconds a node must have been NotReady (since the condition's transition "
        "time) before its annotated pods move. Default 300: Kubernetes' own tolerationSeconds for "
        "not-ready. What moves is new and empty, and a server that crashed is back after 3 to 5 "
        "minutes with its data. Set 60 where losing the data costs less than five minutes.",
    )
    not_ready_witnessed: Seconds = setting(
        600.0,
        description="The same, while a second witness (the node's Lease, or its worker's "
        "heartbeat) reports that the node lives. Default 600: twice NOT_READY_AFTER.",
    )
    not_ready_cordoned: Seconds = setting(
        1800.0,
        description="The same, for a node that is cordoned and not tainted "
        "node.kubernetes.io/out-of-service: its absence is planned. Default 1800: a reboot with a "
        "firmware update. For longer work see `carina maintenance`.",
    )
    lease_fresh: Seconds = setting(
        40.0,
        description="Seconds after its renewal for which a node Lease is a witness. Default 40: "
        "the kubelet's own.",
    )
    mass_failure_share: Share = setting(
        0.5,
        description="Share of nodes that may be lost at once; above it all failover stops, and "
        "when that has lasted for NOT_READY_AFTER seconds it stops until the operator resumes it. "
        "Default 0.5: one of two nodes still continues, more is a network or a control plane in "
        "trouble.",
    )
    orphan_grace: Seconds = setting(
        600.0,
        description="Seconds an LV without a LogicVolume must have existed before a sweep marks "
        "it. Default 600: one sweep interval.",
    )
    orphan_mark_age: Seconds = setting(
        300.0,
        description="Seconds a mark must have stood before the orphan is removed. Default 300: "
        "half a sweep interval, so the next sweep removes, and a doubled message or two sweeps at "
        "once do not.",
    )
    orphan_limit: Annotated[int, Bounds(ge=0)] = setting(
        10,
        description="Orphans that one sweep may remove on one node without the operator; the "
        "larger of this and orphan_share counts. Default 10.",
    )
    orphan_share: Share = setting(
        0.2, description="The same as a share of the node's volumes. Default 0.2."
    )
    trash_retention: Annotated[float, Bounds(ge=0, le=30 * 86400)] = setting(
        3600.0,
        description="Seconds a removed local volume stays in the trash of its volume group, where "
        "`carina restore` finds it; less when the group needs the space. 0 removes at once. "
        "Default 3600: time to be paged, to look and to say no.",
    )
    old_copy_retention: Annotated[float, Bounds(ge=0, le=90 * 86400)] = setting(
        86400.0,
        description="The same, for the old copy that a failover left on a node which is back: its "
        "LogicVolume is on another node now. Never shorter than TRASH_RETENTION. Default 86400: "
        "until the next working day an operator can still restore what was written before the node "
        "was lost.",
    )
    restore_hold: Annotated[float, Bounds(ge=0, le=30 * 86400)] = setting(
        86400.0,
        description="Seconds for which sweeps leave a restored local volume alone. Default 86400: "
        "a day to make its PersistentVolume, or to copy what is on it.",
    )
    logic_volume_grace: Seconds = setting(
        600.0,
        description="Seconds a LogicVolume without a PV must have existed before it is deleted. "
        "Default 600: provisioning makes the LogicVolume first and the PV after it.",
    )
    managed_groups: tuple[str, ...] = setting(
        ("carina-vg-*",),
        description="Shell patterns (comma separated) of the volume groups in which orphans may be "
        "removed. Default carina-vg-*: the names that Carina makes; add the groups of your disk "
        "selectors.",
    )
    reserve: Annotated[int, size, Bounds(ge=0)] = setting(
        10 * quantity.GIB,
        description="Space of each volume group that stays free, a Kubernetes quantity. Default "
        "10Gi: Carina's own rule.",
    )

    # --- rebuild ---
    bind_timeout: PositiveSeconds = setting(
        20.0,
        description="Seconds a step waits for the claim to be Bound again before it is left to the "
        "resume schedule. Default 20: measured 0.5 s at most.",
    )
    touch_interval: PositiveSeconds = setting(
        0.1,
        description="Seconds from the first touch of a claim that is Lost to the second; each "
        "further pause is twice as long, 1 s at most. Default 0.1: the controller looks at a claim "
        "again only when it changes, or every 15 s.",
    )
    concurrency: Annotated[int, Bounds(ge=1, le=64)] = setting(
        8,
        description="Volumes of one failover that are worked on at the same time. Default 8: API "
        "calls, not CPU.",
    )
    lock_ttl: PositiveSeconds = setting(
        30.0,
        description="Seconds after which a dead worker's hold on a failover ends. Default 30: the "
        "resume interval. Only saves double work; safety never depends on it.",
    )

    # --- Kubernetes ---
    namespace: Namespace = setting(
        "kube-system",
        description="Namespace of the ConfigMap that holds pause and latch. Default kube-system: "
        "where Carina lives.",
    )
    docs_url: DocsUrl = setting(
        "",
        description="Address under which you serve the documentation (`make docs`), for the advice "
        "of `carina doctor`: https://docs.example.com/carina-tasks. Default: none, and the advice "
        "names files of the repository.",
    )
    api_timeout: PositiveSeconds = setting(
        15.0,
        description="Seconds one call to the API server may take. Default 15: a list of 10000 "
        "volumes takes 1.",
    )
    page_size: Annotated[int, Bounds(ge=1, le=10000)] = setting(
        500, description="Objects per page of a list (limit/continue). Default 500: kubectl's own."
    )
    watch_stale_after: Annotated[float, Bounds(ge=0, le=3600)] = setting(
        90.0,
        description="Seconds without an event or a bookmark of the API server after which a "
        "control worker relies on its watches no more, and lists the cluster for each task. 0: it "
        "never watches. Default 90: a watch ends after 60 s and begins again.",
    )
    watch_publish_interval: PositiveSeconds = setting(
        30.0,
        description="Seconds after which the node watch reports again that a node is lost, while "
        "it is. Default 30: a lost message costs this much.",
    )

    # --- observability ---
    log_format: Literal["console", "json"] = setting(
        "console", description="console for users, json for collectors. Default console."
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", description="Default info."
    )
    audit_log: str = setting(
        "stdout",
        description="Where the audit log goes (what was done that cannot be undone, what a guard "
        "refused, what the operator should look at), always as JSON, one object a line: stdout, "
        "stderr, or the path of a file that is appended to and may be moved away by logrotate. "
        "Default stdout: the log itself goes to stderr, so a collector keeps the two apart.",
    )
    metrics_port: Annotated[int, Bounds(ge=0, le=65535)] = setting(
        0, description="Port of the Prometheus endpoint of this process; 0 is off. Default 0."
    )


FIELDS: Final[Mapping[str, Setting]] = settings_of(Settings)
"""Every setting, by name."""


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of `environ` (default: the process's).

    Raises:
        BadSetting: It names each wrong one.
    """
    given = os.environ if environ is None else environ
    check_names(given, {PREFIX + name.upper() for name in FIELDS})
    values, wrong = read_settings(FIELDS.values(), given, CHECKS)
    if wrong:
        raise BadSetting("; ".join(wrong) + " (see docs/settings.md)")
    return Settings(**values)


@cache
def current() -> Settings:
    """Return this process's settings, read once.

    Raises:
        BadSetting: A setting is missing or wrong.
    """
    return load()


def _has_groups(value: tuple[str, ...], _: Mapping[str, Any]) -> tuple[str, ...]:
    if not all(re.sub(r"\[[^]]*\]|[*?]", "", pattern) for pattern in value):
        raise ValueError(
            "a pattern that matches every volume group would put the system's own at risk"
        )
    return value


CHECKS: Final[Mapping[str, tuple[Check, ...]]] = {
    **broker_settings.CHECKS,
    **enrolment_settings.CHECKS,
    "managed_groups": (_has_groups,),
}
"""What a setting must be beyond its type and bounds."""
