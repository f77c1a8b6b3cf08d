"""Logs: one line an event, for people (console) or for collectors (json), Celery's own lines included."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure(fmt: str, level: str) -> None:
    """Send every log line of this process, ours and the libraries', to standard error in the format `fmt`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[Any] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
        if fmt == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Said once a retry, or once a request: more than anybody reads.
    for name in ("kombu", "redis", "urllib3", "kubernetes", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
