"""Label and field selectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import JSON, bad_request

Path = tuple[str, ...] | Callable[[JSON], str]
Fields = Mapping[str, Path]

_SET = re.compile(r"^(?P<key>[^\s!=<>,()]+)\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^\s!=<>,()]+)\s*(?P<op>==|=|!=|>|<)\s*(?P<value>[^\s!=<>,()]*)$")
_EXISTS = re.compile(r"^(?P<not>!?)\s*(?P<key>[^\s!=<>,()]+)$")
_TERM = re.compile(r"\s*((?:[^,()]|\([^()]*\))*)\s*(?:,|$)")


@dataclass(frozen=True, slots=True)
class Selection:
    """What a request selects by; empty selects everything."""

    labels: tuple[Callable[[Mapping[str, str]], bool], ...] = ()
    fields: tuple[tuple[Path, str, bool], ...] = ()  # path, value, wanted equal

    def matches(self, obj: JSON) -> bool:
        """Return whether the object is selected."""
        labels = obj["metadata"].get("labels") or {}
        return all(term(labels) for term in self.labels) and all(
            (_text(obj, path) == value) is equal for path, value, equal in self.fields
        )


def _text(obj: JSON, path: Path) -> str:
    if callable(path):
        return path(obj)
    value: Any = obj
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _label_term(term: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(term):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(term):
        key, op, value = found["key"], found["op"], found["value"]
        if op == "!=":
            return lambda labels: labels.get(key) != value
        if op in "><":
            if not value.lstrip("-").isdigit():
                raise bad_request(
                    "unable to parse requirement: for 'Gt', 'Lt' operators, the value must be an "
                    "integer"
                )
            bound = int(value)
            return lambda labels: _compare(labels.get(key), op, bound)
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(term):
        key, absent = found["key"], bool(found["not"])
        return lambda labels: (key in labels) is not absent
    raise bad_request(f"unable to parse requirement: {term!r} is not a label requirement")


def _compare(text: str | None, op: str, bound: int) -> bool:
    if text is None or not text.lstrip("-").isdigit():
        return False
    return int(text) > bound if op == ">" else int(text) < bound


def parse_labels(text: str) -> tuple[Callable[[Mapping[str, str]], bool], ...]:
    """Parse a label selector (equality, sets, existence); StatusError 400 when it is none."""
    text = text.strip()
    terms: list[str] = []
    position = 0
    while position < len(text):
        found = _TERM.match(text, position)
        if found is None or found.end() == position:
            raise bad_request(
                f"unable to parse requirement: {text[position:]!r} is not a label requirement"
            )
        terms.append(found[1].strip())
        position = found.end()
    return tuple(_label_term(term) for term in terms)


def parse_fields(text: str, known: Fields, *, generic: bool) -> tuple[tuple[Path, str, bool], ...]:
    """Parse a field selector over the `known` fields; StatusError 400 for any other.

    `generic` resources know nothing but name and namespace and say so in other words.
    """
    terms = []
    for term in filter(None, text.split(",")):
        found = re.match(r"^(?P<field>[^=!]+)(?P<op>==|=|!=)(?P<value>.*)$", term)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        field = found["field"]
        if field not in known:
            if generic:
                names = '"metadata.name", "metadata.namespace"'
                raise bad_request(f'"{field}" is not a known field selector: only {names}')
            raise bad_request(f"field label not supported: {field}")
        terms.append((known[field], found["value"], found["op"] != "!="))
    return tuple(terms)
