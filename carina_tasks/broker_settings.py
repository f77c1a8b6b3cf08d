"""The settings of the connection to the broker: address, Sentinel, TLS.

What is checked here needs the text of the settings alone; `carina_tasks.broker.tls` checks the
files that they name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from carina_tasks.setting_types import Check, setting

SCHEMES: Final = ("redis://", "rediss://", "redis+socket://", "sentinel://", "memory://")


@dataclass(frozen=True, kw_only=True)
class BrokerSettings:
    """How a process reaches Redis or Valkey."""

    # --- broker ---
    broker_url: str = setting(
        "redis://127.0.0.1:6379/0",
        description="URL of Redis or Valkey: broker and result backend in one. redis://, "
        "rediss://, redis+socket:// or sentinel://. Default: a Redis on this machine, as Celery's "
        "own tutorial has it.",
    )
    broker_master_name: str = setting(
        "",
        description="Name of the Sentinel master, with a sentinel:// broker_url. Default: none.",
    )
    sentinel_tls: bool = setting(
        False,
        description="TLS to the Sentinels and to the Redis servers that they name, with a "
        "sentinel:// broker_url; that scheme has no form with TLS in Celery. Default false: as "
        "Redis installs them.",
    )
    sentinel_user: str = setting(
        "",
        description="User at the Sentinels themselves, where they have one. Default: none, as "
        "Redis installs them.",
    )
    sentinel_password: str = setting(
        "",
        description="Password of the Sentinels themselves; the one in broker_url is that of the "
        "Redis servers. Default: none, as Redis installs them.",
    )
    broker_ca: str = setting(
        "",
        description="File with the certificates of the authorities that sign the broker's, PEM, "
        "for TLS. It is read at each new connection, so a renewed file needs no restart. Default: "
        "the system's own authorities.",
    )
    broker_certificate: str = setting(
        "",
        description="File with this process's own certificate, PEM, and those of the authorities "
        "between it and the root, for a broker that wants one from its clients "
        "(`tls-auth-clients`). Default: none, because users and passwords already identify "
        "clients.",
    )
    broker_key: str = setting(
        "",
        description="File with the private key of BROKER_CERTIFICATE, PEM. Default: the "
        "certificate's own file, where both are in one.",
    )
    broker_key_password: str = setting(
        "",
        description="Password of an encrypted BROKER_KEY. Default: none, the key is not encrypted.",
    )
    broker_verify: Literal["full", "authority", "none"] = setting(
        "full",
        description="What is verified of the broker's certificate. full: its authority, its dates, "
        "and that it is for the host in the URL (with Sentinel also for the address that the "
        "Sentinels name). authority: not the host. none: nothing; an attacker on the network path "
        "can read the password and have volumes removed. Every process warns of the last two. "
        "Default full: without it, an attacker who can redirect the traffic can read it.",
    )

    @property
    def broker_tls(self) -> bool:
        """Whether connections to the broker are encrypted."""
        return self.broker_url.startswith("rediss://") or self.sentinel_tls

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown: URLs with passwords in them, and passwords."""
        return (self.broker_url, self.sentinel_password, self.broker_key_password)


def check_url(value: str) -> None:
    """Check what the libraries would not check, or report together with a piece of the password.

    Args:
        value: A broker URL, or several of Sentinels with semicolons between them.

    Raises:
        ValueError: It says what is wrong, and shows nothing of the URL.
    """
    scheme = next((known for known in SCHEMES if value.startswith(known)), None)
    if scheme is None:
        raise ValueError("it should start with redis://, rediss://, redis+socket:// or sentinel://")
    if scheme in ("redis+socket://", "memory://"):
        return
    if "?" in value:
        raise ValueError(
            "it should have no ?…: TLS is set with rediss:// and BROKER_CA, the database by the "
            "number at the end"
        )
    urls = value.split(";")
    if len(urls) > 1 and scheme != "sentinel://":
        raise ValueError(
            "several addresses, with semicolons between them, go with sentinel:// only; a "
            "semicolon in a password is written %3B"
        )
    for url in urls:
        if not url.startswith(scheme):
            raise ValueError(
                f"every address after a semicolon should start with {scheme} too; a semicolon in a "
                "password is written %3B"
            )
        _check_parts(url)


def _check_parts(url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = SplitResult("", "", "", "", "#")
    if parts.fragment or "#" in url:
        raise ValueError(
            "it cannot be read: a password with / : @ ? # % [ or ] in it is written "
            "percent-encoded, an IPv6 address in brackets"
        )
    if not parts.hostname:
        raise ValueError("it names no host: write rediss://USER:PASSWORD@HOST:PORT/0")
    if parts.path.removeprefix("/").strip("0123456789"):
        raise ValueError(
            "what follows the port should be / and the number of a database; a password with / in "
            "it is written percent-encoded"
        )


def _needs_tls(data: Mapping[str, Any]) -> None:
    url = data.get("broker_url")
    if url is None or str(url).startswith("rediss://") or data.get("sentinel_tls", True):
        return
    raise ValueError(
        "it is for TLS, and this connection has none: begin BROKER_URL with rediss://, or with "
        "sentinel:// set SENTINEL_TLS=true"
    )


def _is_broker(value: str, _: Mapping[str, Any]) -> str:
    value = value.strip()
    check_url(value)
    return value


def _is_for_sentinel(value: str, data: Mapping[str, Any]) -> str:
    sentinel = str(data.get("broker_url", "")).startswith("sentinel://")
    if sentinel != bool(value) and "broker_url" in data:
        raise ValueError(
            "it goes with a sentinel:// broker_url: the name that the Sentinels give to their "
            "master"
        )
    return value


def _is_sentinels_tls(value: bool, data: Mapping[str, Any]) -> bool:
    if value and not str(data.get("broker_url", "sentinel://")).startswith("sentinel://"):
        raise ValueError(
            "it goes with a sentinel:// broker_url; for TLS to one Redis begin BROKER_URL with "
            "rediss://"
        )
    return value


def _is_for_tls(value: str, data: Mapping[str, Any]) -> str:
    if value:
        _needs_tls(data)
    return value


def _has_certificate(value: str, data: Mapping[str, Any]) -> str:
    if value and data.get("broker_certificate") == "":
        raise ValueError("a key is of no use without its certificate: set BROKER_CERTIFICATE")
    return value


def _verifies_tls(value: str, data: Mapping[str, Any]) -> str:
    if value != "full":
        _needs_tls(data)
    return value


CHECKS: Final[Mapping[str, tuple[Check, ...]]] = {
    "broker_url": (_is_broker,),
    "broker_master_name": (_is_for_sentinel,),
    "sentinel_tls": (_is_sentinels_tls,),
    "broker_ca": (_is_for_tls,),
    "broker_certificate": (_is_for_tls,),
    "broker_key": (_is_for_tls, _has_certificate),
    "broker_key_password": (_is_for_tls, _has_certificate),
    "broker_verify": (_verifies_tls,),
}
"""What a setting must be beyond its type and bounds."""
