"""The lvm2 of this node."""

from __future__ import annotations

import shlex
from functools import cache

from carina_tasks import settings
from carina_tasks.lvm.command import Lvm
from carina_tasks.lvm.zero import Zero
from carina_tasks.observability import metrics


@cache
def lvm() -> Lvm:
    """Return the gate to lvm2, as the settings name it."""
    conf = settings.current()
    return Lvm(
        binary=tuple(shlex.split(conf.lvm_command)),
        timeout=conf.lvm_timeout,
        observe=metrics.observe_lvm,
    )


@cache
def zero() -> Zero:
    """Return what this worker zeroes, as the settings name it."""
    conf = settings.current()
    return Zero(tuple(shlex.split(conf.zero_command)), conf.zero_timeout)
