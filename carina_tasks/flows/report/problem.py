"""One problem that needs an operator, and the list of them."""

from __future__ import annotations

from typing import Literal

import msgspec
import msgspec.structs


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that needs the operator."""

    kind: Literal[
        "paused",
        "stopped",
        "unreadable",
        "refused",
        "unfinished",
        "no-fit",
        "kept",
        "missing",
        "orphans",
        "silent",
        "away",
        "failed",
        "maintenance",
        "waiting",
    ]
    """``waiting`` continues by itself; everything else needs the operator."""
    what: str
    """A volume, a node, an object or a task."""
    reason: str
    node: str = ""
    since: int = 0
    """Seconds since the epoch; 0: not known."""
    do: str = ""
    """What to type."""
    id: str = ""
    """Id of the task, when it is one."""


class ProblemsResult(msgspec.Struct, frozen=True):
    """Everything that needs the operator."""

    now: int
    """The API server's clock, seconds since the epoch."""
    findings: tuple[Problem, ...] = ()
    unknown: tuple[str, ...] = ()
    """What could not be looked at, and why."""

    @property
    def need_a_person(self) -> bool:
        """Something is there that does not continue by itself."""
        return any(finding.kind != "waiting" for finding in self.findings)
