"""Waiting for what other processes do."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable

from tests.patience import LOAD


def until(check: Callable[[], object], seconds: float) -> bool:
    """Return whether it came true within `seconds` (on a quiet machine: see `LOAD`)."""
    end = time.monotonic() + seconds * LOAD
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.1)
    return False


def probe(port: int, path: str) -> int:
    """Return the status of a GET, 0 without an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        return exc.code
    except OSError:
        return 0
