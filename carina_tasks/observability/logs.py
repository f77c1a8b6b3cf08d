"""Logs: one line an event, as text (console) or JSON, including Celery's own.

Two streams. The *log* goes to standard error. The *audit log* (what was done that cannot be undone,
what a guard refused, what the operator should look at) goes where the settings say, always as JSON,
one object a line. Both carry the task's id and, where there is one, node, volume and intent of what
the line is about.

What is written may come from a message, a node's answer or a name in the cluster. So no line ends
but at its end, no control character reaches a terminal, and no password of the broker is shown,
whichever exception quotes it.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
from collections.abc import Iterable
from typing import Any, NoReturn
from urllib.parse import quote, unquote, urlsplit

import structlog
from structlog.typing import EventDict

from carina_tasks.environment import PREFIX
from carina_tasks.errors import BadSetting
from carina_tasks.settings import Settings

AUDIT = "carina_tasks.audit"
STREAMS = ("stdout", "stderr")
_SHOWN = "***"
_CREDENTIALS = re.compile(r"(?<=://)[^\s/'\"@]*@")
# C0 and C1 controls, line and paragraph separators, and what turns the direction of text round.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def configure(fmt: str, level: str, audit: str = "stderr", secrets: Iterable[str] = ()) -> None:
    """Send every line of this process, ours and the libraries', where it belongs.

    The log to stderr, the audit to `audit`.

    `audit` is ``stdout``, ``stderr`` or the path of a file; `secrets` are as in `passwords`.

    Args:
        fmt: ``console`` or ``json``.
        level: The lowest level that is logged.
        audit: The stream of the audit log.
        secrets: URLs whose passwords never appear, and passwords.

    Raises:
        BadSetting: The file cannot be opened.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # Without the local variables of each frame: they hold whatever the process knows.
    as_data = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    json = [as_data, structlog.processors.JSONRenderer()]
    console = [
        structlog.processors.format_exc_info,
        _harmless,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,
            pad_event_to=0,
        ),
    ]
    hidden = passwords(secrets)
    log = logging.StreamHandler(sys.stderr)
    log.setFormatter(_Formatter(shared, json if fmt == "json" else console, hidden))
    root = logging.getLogger()
    root.handlers[:] = [log]
    root.setLevel(level.upper())
    try:
        # Opened again when logrotate has moved it.
        apart = (
            logging.StreamHandler(sys.stdout if audit == "stdout" else sys.stderr)
            if audit in STREAMS
            else logging.handlers.WatchedFileHandler(audit, encoding="utf-8")
        )
    except OSError as exc:
        raise BadSetting(f"the audit log {audit} cannot be opened: {exc.strerror}") from exc
    apart.setFormatter(_Formatter(shared, json, hidden))
    audited = logging.getLogger(AUDIT)
    audited.handlers[:], audited.propagate = [apart], False
    # Complete at every level of the log.
    audited.setLevel(logging.INFO)
    # Python's own warnings are lines of the log, too.
    logging.captureWarnings(True)
    # Logged once a retry, or once a request: too often to be read.
    for name in ("kombu", "redis", "urllib3", "kubernetes", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def passwords(secrets: Iterable[str]) -> frozenset[str]:
    """Return the passwords in `secrets`, plain and quoted.

    Each is a password, or a URL with one in it. A Sentinel URL holds several, separated by ``;``.
    """
    given = list(secrets)
    plain = [text for text in given if "://" not in text]
    found = {form for text in plain for form in (text, quote(text, safe=""), repr(text)[1:-1])}
    for url in ";".join(text for text in given if "://" in text).split(";"):
        # By hand where it does not parse: a password with a slash in it is still one.
        _, _, rest = url.partition("://")
        try:
            parsed = urlsplit(url).password or ""
        except ValueError:
            parsed = ""
        for text in (parsed, rest.rpartition("@")[0].partition(":")[2]):
            found |= {text, unquote(text), quote(unquote(text), safe="")}
    # One of three letters would be found in every word; in a URL it is taken out all the same.
    return frozenset(text for text in found if len(text) > 3)


def without_secrets(text: str, hidden: Iterable[str]) -> str:
    """Return `text` with these passwords, and everything before the @ of a URL, removed."""
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, _SHOWN)
    return _CREDENTIALS.sub(f"{_SHOWN}@", text)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders a line and takes the secrets out of the whole of it, exceptions included."""

    def __init__(self, shared: list[Any], renderer: list[Any], hidden: frozenset[str]) -> None:
        super().__init__(
            foreign_pre_chain=shared, processors=[self.remove_processors_meta, *renderer]
        )
        self._hidden = hidden

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return without_secrets(super().format(record), self._hidden)


def _harmless(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Show what cannot be printed by its number.

    The lines of a stack trace stay lines, each set off from what is an event.
    """
    for key, value in event.items():
        if key == "exception":
            event[key] = "\n".join(f"  | {_escaped(line)}" for line in str(value).splitlines())
        elif isinstance(value, str):
            event[key] = _escaped(value.strip())
    return event


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def begin(conf: Settings) -> None:
    """Set the log of a process of ours up before anything else writes a line.

    Raises:
        BadSetting: For its audit log.
    """
    from carina_tasks.observability import json_lines

    if conf.log_format == "json":
        json_lines.install(conf.secrets)
    configure(conf.log_format, conf.log_level, conf.audit_log, conf.secrets)


def fail(text: str) -> NoReturn:
    """End the process with one line that explains what to do.

    JSON when the environment asks for it, whatever else is wrong there.
    """
    from carina_tasks.observability import json_lines

    if os.environ.get(f"{PREFIX}LOG_FORMAT", "").strip().lower() == "json":
        names = ("BROKER_URL", "SENTINEL_PASSWORD", "BROKER_KEY_PASSWORD")
        json_lines.install([os.environ.get(PREFIX + name, "") for name in names])
    sys.exit(text)
