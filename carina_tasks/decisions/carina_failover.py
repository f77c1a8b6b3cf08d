"""Can Carina's own failover act beside ours?

It kills the pods of a NotReady node, deletes their claims and creates them again, and has no
switch. What stops it is that its service account lacks the verbs, or that an admission policy
denies them (docs/carina.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from carina_tasks.model.admission import AdmissionPolicy

VERBS = (
    ("pods", "delete"),
    ("persistentvolumeclaims", "delete"),
    ("persistentvolumeclaims", "create"),
)
"""What Carina's own failover needs and nothing else of Carina does. Found by running Carina 0.14
against an API server's audit log.
"""


@dataclass(frozen=True, slots=True)
class FailoverOff:
    """It can do nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class FailoverOn:
    """It can act on a volume that carina-tasks is rebuilding."""

    reason: str


@dataclass(frozen=True, slots=True)
class FailoverUnknown:
    """What it may do cannot be asked."""

    reason: str


CarinaFailover = FailoverOff | FailoverOn | FailoverUnknown


def carina_failover(
    account: str, rights: Mapping[tuple[str, str], bool | None], policy: AdmissionPolicy | None
) -> CarinaFailover:
    """Judge whether Carina's controller can still do its own failover.

    Args:
        account: The user as which the controller runs, ``system:serviceaccount:…``.
        rights: Whether RBAC grants each of `VERBS`; None when that could not be asked.
        policy: The admission policy; None when there is none.
    """
    reason = _why_not_denied(account, policy)
    if policy is not None and not reason:
        return FailoverOff(f"the admission policy denies it to {account}")
    granted = [f"{verb} {resource}" for (resource, verb) in VERBS if rights[resource, verb]]
    if granted:
        return FailoverOn(f"{account} may {', '.join(granted)}, and {reason}")
    if any(allowed is None for allowed in rights.values()):
        return FailoverUnknown(f"what {account} may do cannot be asked, and {reason}")
    return FailoverOff(f"{account} has none of its dangerous verbs")


def _why_not_denied(account: str, policy: AdmissionPolicy | None) -> str:
    """Return why the policy does not stop `account`; empty when it does."""
    if policy is None:
        return "no admission policy denies it"
    if not policy.bound:
        return "no binding puts the admission policy into force"
    if policy.account != account:
        return f"the admission policy is for {policy.account or 'nobody that can be read from it'}"
    if lacking := [f"{verb} {what}" for what, verb in VERBS if (what, verb) not in policy.denied]:
        return f"the admission policy does not deny {', '.join(lacking)}"
    return ""
