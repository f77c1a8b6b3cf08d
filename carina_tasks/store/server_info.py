"""What Redis reports about itself: for ``carina doctor``."""

from __future__ import annotations

import re
import ssl
import time
from typing import Any

import msgspec
import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from carina_tasks.decisions.broker_trouble import CLOSED
from carina_tasks.store.client import connection


class BrokerInfo(msgspec.Struct, frozen=True):
    """A broker that answered."""

    version: str
    seconds: float
    """How long one PING took."""
    clock: float
    """Its clock, less half of the time the answer took; seconds since the epoch."""
    eviction: str
    """maxmemory-policy."""
    used: int
    limit: int
    """Bytes; limit 0: none."""
    persistence: str
    user: str
    """The ACL user that we are, empty when it cannot be asked."""
    role: str = "master"
    """``master``, or ``slave`` for a replica: that refuses every write."""
    database: int = 0
    """Number of the database that we use."""
    others: tuple[int, ...] = ()
    """Numbers of the other databases that hold keys of carina-tasks."""
    stranger: str = ""
    """What a client without a password gets: ``let in``, ``refused``, or empty when it could not be
    tried.
    """
    tls: str = ""
    """The protocol of our connection, such as ``TLSv1.3``; empty without TLS."""
    certificate_ends: float | None = None
    """When the broker's certificate expires, seconds since the epoch; None when it is not verified.
    """
    runs: float | None = None
    """Seconds since it started; None when it does not report that."""


def look(app: Celery) -> BrokerInfo:
    """Return what Redis reports.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    with connection(app) as client:
        client.ping()
        begun = time.monotonic()
        client.ping()
        seconds = time.monotonic() - begun
        clock, micros = client.time()
        info = client.info()
        protocol, ends = _tls(client)
    aof, saved = (
        info.get("aof_enabled"),
        info.get("rdb_last_save_time", 0) > info.get("uptime_in_seconds", 0),
    )
    return BrokerInfo(
        version=_version(info),
        seconds=seconds,
        clock=clock + micros / 1e6 - seconds / 2,
        eviction=str(info.get("maxmemory_policy") or ""),
        used=int(info.get("used_memory") or 0),
        limit=int(info.get("maxmemory") or 0),
        persistence="append-only file"
        if aof
        else "snapshots"
        if saved and info.get("rdb_saves")
        else "none",
        role=str(info.get("role") or "master"),
        database=int(client.connection_pool.connection_kwargs.get("db") or 0),
        others=_others(client, info),
        user=_whoami(client),
        stranger=_stranger(client),
        tls=protocol,
        certificate_ends=ends,
        runs=info.get("uptime_in_seconds"),
    )


def memory(app: Celery) -> tuple[int, int]:
    """Return how many bytes the broker uses, and how many it may use (0: no limit).

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    with connection(app) as client:
        info = client.info("memory")
    return int(info.get("used_memory") or 0), int(info.get("maxmemory") or 0)


def _others(client: Any, info: dict[str, Any]) -> tuple[int, ...]:
    """Return the other databases in which a process of ours has a heartbeat.

    Its URL ends in another number.
    """
    mine = int(client.connection_pool.connection_kwargs.get("db") or 0)
    numbers = [
        int(name[2:])
        for name in info
        if name.startswith("db") and name[2:].isdigit() and int(name[2:]) != mine
    ]
    found = []
    for number in numbers[:16]:
        options = dict(client.connection_pool.connection_kwargs, db=number)
        pool = redis.ConnectionPool(
            connection_class=client.connection_pool.connection_class, **options
        )
        other = redis.Redis(connection_pool=pool)
        try:
            if any(
                next(iter(other.scan_iter(match=pattern, count=1000)), None)
                for pattern in ("alive.*", "carina-tasks.alive.*")
            ):
                found.append(number)
        except (redis.RedisError, OSError, TypeError):
            continue
        finally:
            other.close()
    return tuple(sorted(found))


def _tls(client: Any) -> tuple[str, float | None]:
    """Return the TLS protocol of a connection, and when the broker's certificate ends."""
    one = client.connection_pool.get_connection()
    try:
        # redis-py has no public name for it.
        socket = getattr(one, "_sock", None)
        if not isinstance(socket, ssl.SSLSocket):
            return "", None
        ends = (socket.getpeercert() or {}).get("notAfter")
        return socket.version() or "TLS", ssl.cert_time_to_seconds(str(ends)) if ends else None
    finally:
        client.connection_pool.release(one)


def _version(info: dict[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version')}"


def _whoami(client: Any) -> str:
    try:
        name = client.acl_whoami()
    except (redis.RedisError, OSError):
        return ""
    return str(name.decode() if isinstance(name, bytes) else name)


def _stranger(client: Any) -> str:
    """Knock once at the address that we are connected to, without a password or certificate."""
    options = dict(client.connection_pool.connection_kwargs)
    if not {"host", "port"} <= options.keys():
        return ""
    tls = issubclass(client.connection_pool.connection_class, redis.SSLConnection)
    names = ("ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs")
    verified = {key: options[key] for key in names if key in options}
    other = redis.Redis(
        host=options["host"],
        port=options["port"],
        ssl=tls,
        socket_timeout=2,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 0),
        **verified,
    )
    try:
        other.ping()
    except AuthenticationError:
        return "refused"
    except (redis.RedisError, OSError) as exc:
        # It wants a certificate of its clients.
        wanted = re.search(f"CERTIFICATE_REQUIRED|{CLOSED}", str(exc))
        return "refused" if tls and wanted else ""
    finally:
        other.close()
    return "let in"
