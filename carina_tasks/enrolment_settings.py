"""The settings of enrolment: how a node worker gets its Redis user.

A part of `carina_tasks.settings.Settings`; see docs/enrolment.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from carina_tasks.setting_types import Bounds, Check, PositiveSeconds, setting, size


@dataclass(frozen=True, kw_only=True)
class EnrolmentSettings:
    """What the enrolment service, and a node worker that enrols, need to know."""

    # --- enrolment ---
    enrolment_url: str = setting(
        "",
        description="Where a node worker gets its Redis URL: https:// URL of the enrolment "
        "service. Default: none, the worker uses BROKER_URL.",
    )
    enrolment_ca: str = setting(
        "",
        description="File with the certificates of the authorities that sign the enrolment "
        "service's, PEM. Its certificate and name are always verified. Default: the system's own "
        "authorities.",
    )
    enrolment_token_file: str = setting(
        "/var/run/secrets/carina-tasks/token",
        description="File with the service-account token of the node worker's pod, which the "
        "kubelet projects and renews. Default: where deploy/enrolment mounts it.",
    )
    enrolment_port: Annotated[int, Bounds(ge=1, le=65535)] = setting(
        8443, description="Port of the enrolment service. Default 8443."
    )
    enrolment_certificate: str = setting(
        "/etc/carina-tasks/enrolment-tls/tls.crt",
        description="File with the enrolment service's certificate and its chain, PEM. Read again "
        "when it changes. Default: where deploy/enrolment mounts the Secret.",
    )
    enrolment_private_key: str = setting(
        "/etc/carina-tasks/enrolment-tls/tls.key",
        description="File with the private key of that certificate, PEM. Read again when it "
        "changes. Default: where deploy/enrolment mounts the Secret.",
    )
    enrolment_master_key: str = setting(
        "/etc/carina-tasks/enrolment/master-key",
        description="File with at least 32 random bytes, from which the nodes' passwords are "
        "derived. Default: where deploy/enrolment mounts the Secret.",
    )
    enrolment_broker_url: str = setting(
        "",
        description="URL of Redis as node workers reach it, without user and password; several "
        "Sentinels are separated by semicolons. No default: the enrolment service does not start "
        "without it.",
    )
    enrolment_audience: str = setting(
        "carina-tasks",
        description="Audience that a node worker's token must be made for. Default carina-tasks: "
        "the API server refuses such a token, so it is of use nowhere else.",
    )
    enrolment_account: str = setting(
        "carina-tasks-node",
        description="Name of the node workers' service account, in NAMESPACE. Default: the one of "
        "deploy/enrolment.",
    )
    enrolment_epochs: tuple[str, ...] = setting(
        ("1",),
        description="Numbers of the passwords that are valid, the one that is given out first. "
        "Default 1. To rotate: `2,1`, restart the node workers, then `2`.",
    )
    enrolment_rate: Annotated[int, Bounds(ge=1, le=600)] = setting(
        6,
        description="Enrolments of one node per minute; more are answered with 429. Default 6: a "
        "worker that starts again and again needs fewer.",
    )
    node_connections: Annotated[int, Bounds(ge=4, le=1000)] = setting(
        20,
        description="Connections to Redis that one node may have open; one with more is cut off. "
        "Default 20: a worker has 3.",
    )
    node_memory: Annotated[int, size, Bounds(ge=1 << 20)] = setting(
        40 << 20,
        description="Memory of Redis that the keys and connections of one node may take, a "
        "Kubernetes quantity; a node that takes more is cut off. Default 40Mi: two answers of "
        "ANSWER_LIMIT with what Redis adds.",
    )
    cut_off_time: PositiveSeconds = setting(
        600.0,
        description="Seconds for which a node that was cut off may not enrol. Default 600: time "
        "to be paged and to look.",
    )


def _is_https(value: str, _: Mapping[str, Any]) -> str:
    if value and (not value.startswith("https://") or not urlsplit(value).hostname):
        raise ValueError("it should be an https:// URL: a token is sent there")
    return value


def _is_without_password(value: str, _: Mapping[str, Any]) -> str:
    for one in value.split(";") if value else ():
        if not one.startswith(("redis://", "rediss://", "sentinel://")):
            raise ValueError("it should start with redis://, rediss:// or sentinel://")
        if "@" in one or "?" in one:
            raise ValueError(
                "it should have no user, password or ?…: each node's own are put into it"
            )
    return value


def _are_numbers(value: tuple[str, ...], _: Mapping[str, Any]) -> tuple[str, ...]:
    if not 1 <= len(value) <= 3 or not all(one.isdecimal() for one in value):
        raise ValueError("it should be one to three numbers, the newest first: 2,1")
    return value


CHECKS: Final[Mapping[str, tuple[Check, ...]]] = {
    "enrolment_url": (_is_https,),
    "enrolment_broker_url": (_is_without_password,),
    "enrolment_epochs": (_are_numbers,),
}
"""What a setting must be beyond its type and bounds."""
