"""Breaks JSON: a few places of a valid document get a value of another kind, are doubled, or go."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

HOSTILE = (
    "",
    " ",
    "\n",
    "\0",
    "\ud800",
    "..",
    "../../etc/passwd",
    "-",
    "--config=x",
    "volume-",
    "volume-x\n",
    "volume-x; lvremove -f vg",
    "$(reboot)",
    "`reboot`",
    "'",
    '"',
    "\\",
    "#",
    "a" * 300,
    "é",
    "\u202e",
    "n2",
    "n1",
    "true",
    "True",
    "1e999",
    "-5Gi",
    "5Gi",
    "1E9",
    "9" * 400,
    "0",
    "1970-01-01T00:00:00Z",
    "2026-13-45T99:99:99Z",
    "{}",
    "[]",
    "null",
    "carina-vg-hdd",
    "volume-pvc-1",
    "Unknown",
)
"""Strings that have broken something somewhere."""

JUNK = st.one_of(
    st.sampled_from(HOSTILE),
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 1 << 31, 1 << 63, 1 << 80, 10**400]),
    st.floats(allow_nan=True),
    st.text(max_size=20),
    st.recursive(
        st.none() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        ),
    ),
)


@st.composite
def broken(draw: st.DrawFn, valid: Any, most: int = 3) -> Any:
    """Return a copy of `valid` in which at most `most` places are broken; often it is still
    valid.
    """
    whole = [copy.deepcopy(valid)]
    for _ in range(draw(st.integers(0, most))):
        places = list(_places(whole))
        parent, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(["replace", "replace", "replace", "drop", "wrap", "double"])):
            case "drop" if parent is not whole:
                del parent[key]
            case "wrap":
                parent[key] = [parent[key]]
            case "double" if isinstance(parent[key], list):
                parent[key] = parent[key] * 2
            case _:
                parent[key] = draw(JUNK)
    return whole[0]


def _places(node: Any) -> Any:
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in list(items):
        yield node, key
        yield from _places(value)
