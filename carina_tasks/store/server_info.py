"""What Redis reports about itself: for ``carina doctor``."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import redis
from celery import Celery
from redis.exceptions import AuthenticationError

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
    )


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
    """Knock without a password, once, at the address that we are connected to."""
    options = dict(client.connection_pool.connection_kwargs)
    if not {"host", "port"} <= options.keys():
        return ""
    tls = issubclass(client.connection_pool.connection_class, redis.SSLConnection)
    verified = {key: value for key, value in options.items() if key.startswith("ssl_")}
    other = redis.Redis(
        host=options["host"],
        port=options["port"],
        ssl=tls,
        socket_timeout=2,
        socket_connect_timeout=2,
        **verified,
    )
    try:
        other.ping()
    except AuthenticationError:
        return "refused"
    except (redis.RedisError, OSError):
        return ""
    finally:
        other.close()
    return "let in"
