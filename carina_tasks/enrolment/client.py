"""The node worker's side of enrolment: it shows its pod's token and gets its Redis URL.

Of the standard library, and nothing of Kubernetes: the memory of a node worker is counted.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog

from carina_tasks.enrolment.waiting import answer_probes
from carina_tasks.environment import PREFIX
from carina_tasks.errors import BadSetting, EnrolmentRefused, EnrolmentUnavailable
from carina_tasks.settings import Settings, load

TIMEOUT: Final = 20.0
"""Seconds that one request may take: longer than the service's own call to the API server."""
PAUSES: Final = (1, 2, 5, 10, 20, 30, 60)
"""Seconds before each new try."""
OF_THE_BROKER: Final = (f"{PREFIX}BROKER_", f"{PREFIX}SENTINEL_")
LONGEST: Final = 65536
"""Bytes of an answer that are read."""


def settings_to_enrol(environ: dict[str, str]) -> Settings | None:
    """Return the settings of a process that has to enrol; None when it has a URL, or needs none.

    Without those of the broker: how its certificate is checked, what its Sentinels call their
    master, or whether these speak TLS can only be judged together with the URL that enrolment
    brings.

    Raises:
        BadSetting: It names each wrong one.
    """
    if not environ.get(f"{PREFIX}ENROLMENT_URL") or environ.get(f"{PREFIX}BROKER_URL"):
        return None
    return load({key: value for key, value in environ.items() if not key.startswith(OF_THE_BROKER)})


def ask(conf: Settings) -> str:
    """Return the Redis URL of this node, with its user and password.

    Raises:
        EnrolmentRefused: The service does not take this pod's token, or not now.
        EnrolmentUnavailable: The service does not answer, or cannot at the moment.
        BadSetting: A file of the settings cannot be read.
    """
    where = urlsplit(conf.enrolment_url)
    context = _context(conf)
    link = http.client.HTTPSConnection(
        where.hostname or "", where.port or 443, timeout=TIMEOUT, context=context
    )
    try:
        headers = {"Authorization": f"Bearer {_token(conf)}", "Content-Length": "0"}
        link.request("POST", where.path or "/", headers=headers)
        response = link.getresponse()
        status, data = response.status, response.read(LONGEST)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise EnrolmentUnavailable(
            f"the enrolment service at {where.hostname}:{where.port or 443} does not answer: "
            f"{type(exc).__name__}: {exc}"
        ) from exc
    finally:
        link.close()
    return _url_of(status, data)


def wait_for_url(conf: Settings, sleep: Callable[[float], None] = time.sleep) -> str:
    """Return the Redis URL of this node; try again, with growing pauses, until it is there.

    Meanwhile the process answers its probes: it lives, and is not ready.

    Args:
        conf: The settings.
        sleep: What waits.

    Raises:
        BadSetting: The authorities' file cannot be used, or the port of the probes.
    """
    log, tries = structlog.get_logger(), 0
    with answer_probes(conf.metrics_port) as waiting:
        while True:
            try:
                return ask(conf)
            except (EnrolmentRefused, EnrolmentUnavailable) as exc:
                pause = PAUSES[min(tries, len(PAUSES) - 1)]
                tries += 1
                waiting.reason = exc.message
                log.warning("enrolment failed; trying again", error=exc.message, seconds=pause)
                sleep(pause)


class Renewal:
    """Enrols again when Redis does not take the password any more.

    When the service gives another password, the worker ends its task and begins again with it
    (`begin_again`): Celery keeps a URL in more places than can be exchanged safely. When it gives
    the same one, the service has only put the user back, and the next connection succeeds.
    """

    def __init__(
        self,
        conf: Settings,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM),
    ) -> None:
        self._conf, self._clock, self._end = conf, clock, end
        self._lock = threading.Lock()
        self._not_before, self._tries = float("-inf"), 0
        self._url = ""

    def rejected(self) -> None:
        """Note that Redis refused the password; enrol again unless that was tried just now."""
        with self._lock:
            now, log = self._clock(), structlog.get_logger()
            if self._url or now < self._not_before:
                return
            self._not_before = now + PAUSES[min(self._tries, len(PAUSES) - 1)]
            self._tries += 1
            try:
                url = ask(self._conf)
            except (EnrolmentRefused, EnrolmentUnavailable, BadSetting) as exc:
                log.warning("Redis refuses this node, and enrolling failed", error=exc.message)
                return
            if url == self._conf.broker_url:
                log.info("enrolled again: the password is the same")
                return
            log.info("enrolled again with another password: this worker begins again")
            self._url = url
        self._end()

    def accepted(self) -> None:
        """Note that Redis took the password."""
        with self._lock:
            self._tries = 0

    def begin_again(self) -> None:
        """Replace this process by a new one with the new password; return when there is none."""
        if self._url:
            os.environ[f"{PREFIX}BROKER_URL"] = self._url
            # The same process id and arguments, so that its supervisor sees nothing of it.
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _context(conf: Settings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=conf.enrolment_ca or None)
    except OSError as exc:
        raise BadSetting(
            f"CARINA_TASKS_ENROLMENT_CA: {conf.enrolment_ca} cannot be used: {exc}"
        ) from exc


def _token(conf: Settings) -> str:
    try:
        return Path(conf.enrolment_token_file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise EnrolmentUnavailable(
            f"CARINA_TASKS_ENROLMENT_TOKEN_FILE: {conf.enrolment_token_file} cannot be read: "
            f"{getattr(exc, 'strerror', '') or 'it is no token'}"
        ) from exc


def _url_of(status: int, data: bytes) -> str:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    body = body if isinstance(body, dict) else {}
    if status == 200 and isinstance(url := body.get("url"), str) and url:
        return url
    reason = str(body.get("reason") or f"HTTP status {status}")[:300]
    if status in (401, 403, 404, 405, 413, 429):
        raise EnrolmentRefused(f"the enrolment service refuses this node: {reason}")
    raise EnrolmentUnavailable(f"the enrolment service cannot answer now: {reason}")
