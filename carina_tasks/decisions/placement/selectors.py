"""Label selectors and node selectors as hashable values.

Source: apimachinery `labels.Requirement` and component-helpers `nodeaffinity`: NotIn and
DoesNotExist hold where the key is absent; Gt and Lt compare 64-bit integers and hold only where
both sides are integers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from carina_tasks.decisions.placement.spec import LabelSelector, NodeTerm, SelectorRequirement
from carina_tasks.errors import BadObject

_INTEGER: Final = re.compile(r"[+-]?\d{1,19}")
NODE_NAME_FIELD: Final = "metadata.name"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One expression about one label."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()
    bound: int = 0
    """The right-hand side of Gt and Lt."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether these labels satisfy it."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
        if value is None or not _INTEGER.fullmatch(value):
            return False
        return int(value) > self.bound if self.operator == "Gt" else int(value) < self.bound


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector: all requirements hold.

    Without any it matches everything; `nothing` matches nothing.
    """

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @property
    def empty(self) -> bool:
        """It is ``{}``: everything matches."""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether these labels satisfy it."""
        return not self.nothing and all(
            requirement.matches(labels) for requirement in self.requirements
        )

    def also(self, more: tuple[Requirement, ...]) -> Selector:
        """Return it with further requirements; one that matches nothing stays so."""
        fresh = tuple(requirement for requirement in more if requirement not in self.requirements)
        return self if self.nothing or not fresh else Selector(self.requirements + fresh)


@dataclass(frozen=True, slots=True)
class NodeSelector:
    """Required node affinity.

    One of the terms holds; a term is requirements about labels and about the name.
    """

    terms: tuple[tuple[tuple[Requirement, ...], tuple[Requirement, ...]], ...]

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Return whether the node satisfies it. A term without any requirement matches no node."""
        fields = {NODE_NAME_FIELD: name}
        return any(
            (about_labels or about_fields)
            and all(requirement.matches(labels) for requirement in about_labels)
            and all(requirement.matches(fields) for requirement in about_fields)
            for about_labels, about_fields in self.terms
        )


def label_selector(raw: LabelSelector | None) -> Selector:
    """Return a label selector; None matches nothing.

    Raises:
        BadObject: For an operator without the right values.
    """
    if raw is None:
        return Selector(nothing=True)
    exact = tuple(
        Requirement(key, "In", frozenset((value,)))
        for key, value in sorted(raw.match_labels.items())
    )
    return Selector(exact + tuple(requirement(one, numeric=False) for one in raw.match_expressions))


def node_selector(terms: tuple[NodeTerm, ...]) -> NodeSelector:
    """Return required node affinity.

    Raises:
        BadObject: For an operator without the right values.
    """
    return NodeSelector(
        tuple(
            (
                tuple(requirement(one, numeric=True) for one in term.match_expressions),
                tuple(_about_name(one) for one in term.match_fields),
            )
            for term in terms
        )
    )


def requirement(raw: SelectorRequirement, *, numeric: bool) -> Requirement:
    """Return one requirement; Gt and Lt only where `numeric`.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    many, none = raw.operator in ("In", "NotIn"), raw.operator in ("Exists", "DoesNotExist")
    if not many and not none and not numeric:
        raise BadObject(f"{raw.operator} is not an operator of a label selector")
    if (many and not raw.values) or (none and raw.values):
        raise BadObject(f"{raw.operator} on {raw.key[:80]!r} with {len(raw.values)} values")
    bound = 0
    if not many and not none:
        if len(raw.values) != 1 or not _INTEGER.fullmatch(raw.values[0]):
            raise BadObject(f"{raw.operator} on {raw.key[:80]!r} takes exactly one integer")
        bound = int(raw.values[0])
    return Requirement(raw.key, raw.operator, frozenset(raw.values), bound)


def _about_name(raw: SelectorRequirement) -> Requirement:
    if raw.key != NODE_NAME_FIELD or raw.operator not in ("In", "NotIn") or len(raw.values) != 1:
        raise BadObject(
            f"matchFields takes In or NotIn on {NODE_NAME_FIELD} with one value, not "
            f"{raw.key[:80]!r}"
        )
    return requirement(raw, numeric=False)
