"""The admission policy that denies Carina's own failover, as far as it can be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """A ValidatingAdmissionPolicy with its binding."""

    account: str
    """The one user whose requests it denies; empty when that cannot be read from it."""
    denied: frozenset[tuple[str, str]]
    """Resource and verb of what it denies to that user, in every namespace."""
    bound: bool
    """A binding puts it into force for every namespace, with the action Deny."""
