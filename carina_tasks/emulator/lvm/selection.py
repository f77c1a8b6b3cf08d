"""The part of lvm's selection (``-S``, lvmreport(7)) that the adapter uses.

Conditions joined by ``&&``.

Fields are strings, string lists or numbers, as in lvm. Operators ``=``, ``!=`` and, for a regular
expression, ``=~``. List values: ``"a"`` and ``{"a","b"}`` hold when all are in the field,
``["a","b"]`` when they are exactly the field.
"""

from __future__ import annotations

import re

from .options import CommandError

_CONDITION = re.compile(
    r'\s*([a-z_]+)\s*(!?=|=~|>=|<)\s*("[^"]*"|\[[^\]]*\]|\{[^}]*\}|[\w.+-]+)\s*(&&|$)'
)
_LISTS = {"lv_role", "lv_layout", "lv_tags", "tags"}

Row = dict[str, str]


def selects(text: str, row: Row) -> bool:
    """Return whether all conditions hold for `row` (not --binary).

    Raises CommandError for what is not understood.
    """
    at = 0
    chosen = True
    joined = True
    while joined:
        match = _CONDITION.match(text, at)
        if match is None or (match[4] == "" and match.end() != len(text)):
            raise CommandError(5, f"  Selection syntax error at '{text[at:]}'.")
        field, operator, value = match[1], match[2], match[3]
        if field not in row:
            raise CommandError(
                5,
                f"  Unrecognised selection field: {field}",
                f"  Selection syntax error at '{text[at:]}'.",
            )
        chosen &= _holds(field, operator, value, row[field])
        at, joined = match.end(), match[4] == "&&"
    return chosen


def _holds(field: str, operator: str, value: str, actual: str) -> bool:
    if operator in (">=", "<"):
        if not actual.lstrip("-").isdigit():
            return False
        return int(actual) >= int(value) if operator == ">=" else int(actual) < int(value)
    if operator == "=~":
        return re.search(value.strip('"'), actual) is not None
    wanted = [word.strip().strip('"') for word in value.strip("[]{}").split(",")]
    if field in _LISTS:
        have = [word for word in actual.split(",") if word]
        same = sorted(wanted) == sorted(have) if value[0] == "[" else set(wanted) <= set(have)
    else:
        same = actual == wanted[0]
    return same if operator == "=" else not same
