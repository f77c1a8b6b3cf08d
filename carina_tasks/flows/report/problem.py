"""One problem that needs an operator, and the list of them."""

from __future__ import annotations

from typing import Literal

import msgspec
import msgspec.structs

from carina_tasks.decisions.verdict import Verdict

PATIENCE = 60
"""Seconds before a rebuild counts as a problem: it takes seconds, and resume runs every 30."""


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
    claim: str = ""
    """``namespace/name`` of the claim, when it is about a volume."""
    pod: str = ""
    """The pod that uses the volume, in the claim's namespace; empty without one."""


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

    @property
    def verdict(self) -> Verdict:
        """The first line of `carina failed`."""
        urgent = [finding for finding in self.findings if finding.kind != "waiting"]
        if urgent:
            stopped = any(finding.kind in ("paused", "stopped") for finding in urgent)
            things = "1 thing needs" if len(urgent) == 1 else f"{len(urgent)} things need"
            return Verdict("STOPPED" if stopped else "DEGRADED", f"{things} the operator")
        if self.findings:
            return Verdict("WORKING", "what is shown here continues by itself")
        known = ", as far as is known" if self.unknown else ""
        return Verdict("HEALTHY", f"nothing failed, and nothing is stuck{known}")
