"""Why the broker cannot be used, in one sentence.

With Sentinel, redis-py says that no master was found and drops the reason, which is what an
operator needs: a certificate, a password, a name. So the Sentinels are asked again, one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import redis
from celery import Celery
from redis.sentinel import MasterNotFoundError

from carina_tasks.decisions.broker_trouble import causes, explain, is_known

PATIENCE = 2
"""Seconds for which one Sentinel is waited for."""


def of_app(app: Celery, exc: BaseException) -> str:
    """Return why the broker of `app` cannot be used."""
    conf = app.conf
    if not _of_sentinel(exc):
        return explain(exc, tls=bool(conf.broker_use_ssl))
    options = (conf.broker_transport_options or {}).get("sentinel_kwargs") or {}
    urls = str(conf.broker_url).split(";")
    return sentence(exc, urls, options, tls=bool(conf.broker_use_ssl))


def sentence(
    exc: BaseException, urls: Iterable[str], sentinel: Mapping[str, Any], *, tls: bool
) -> str:
    """Return why a broker cannot be used.

    Args:
        exc: What the client library raised.
        urls: The addresses of the broker, or of its Sentinels.
        sentinel: redis-py's options of a connection to a Sentinel.
        tls: Whether connections are encrypted.
    """
    if not _of_sentinel(exc):
        return explain(exc, tls=tls)
    hosts = [_address(url) for url in urls]
    # In threads: one that is away holds up none of the others.
    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        answers = list(pool.map(partial(_ask, sentinel), hosts))
    failed = [(host, why) for host, why in zip(hosts, answers, strict=True) if why is not None]
    known = [(host, why) for host, why in failed if is_known(why)]
    # One that is away is no reason while another answers.
    for (host, port), error in known or (failed if len(failed) == len(hosts) else []):
        return f"no Sentinel names a master; the one at {host}:{port}: {explain(error, tls=tls)}"
    return explain(exc)


def _of_sentinel(exc: BaseException) -> bool:
    return any(isinstance(cause, MasterNotFoundError) for cause in causes(exc))


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "localhost", parts.port or 26379


def _ask(options: Mapping[str, Any], address: tuple[str, int]) -> Exception | None:
    host, port = address
    patience = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
    client = redis.Redis(host=host, port=port, **{**options, **patience})
    try:
        client.ping()
    except (redis.RedisError, OSError) as exc:
        return exc
    finally:
        client.close()
    return None
