"""The lvm2 of this node."""

from __future__ import annotations

import shlex
from functools import cache

from carina_tasks import settings
from carina_tasks.lvm.command import Lvm, Observe
from carina_tasks.lvm.zero import Zero
from carina_tasks.settings import Settings


@cache
def lvm() -> Lvm:
    """Return the gate to lvm2, as the settings name it."""
    conf = settings.current()
    return Lvm(
        binary=tuple(shlex.split(conf.lvm_command)),
        timeout=conf.lvm_timeout,
        observe=_observe(conf),
    )


@cache
def zero() -> Zero:
    """Return what this worker zeroes, as the settings name it."""
    conf = settings.current()
    return Zero(tuple(shlex.split(conf.zero_command)), conf.zero_timeout)


def _observe(conf: Settings) -> Observe:
    """Return what counts runs of lvm2; nothing where no endpoint shows the figures."""
    if not conf.metrics_port:
        return lambda subcommand, seconds, outcome: None
    from carina_tasks.observability import metrics

    return metrics.observe_lvm
