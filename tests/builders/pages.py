"""Raw objects as the adapter decodes them: from the bytes of a page, or of one event of a watch."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from carina_tasks.kube.kinds import Kind
from carina_tasks.kube.parsing import Change, Objects, read_change, read_page

Json = dict[str, Any]


def objects_of(
    kind: Kind[Any], items: Iterable[Json], version: str = "", now: float = 0.0
) -> Objects[Any]:
    """Return a complete list of raw objects; its items have no kind of their own there."""
    page = {"kind": f"{kind.name}List", "metadata": {}, "items": list(items)}
    found: Objects[Any] = Objects({}, {}, version, now)
    read_page(kind.path, kind, _bytes(page), found)
    return found


def change_of(kind: Kind[Any], type_: str, raw: Json) -> Change[Any]:
    """Return one event of a watch."""
    return read_change(kind, type_, _bytes(raw))


def _bytes(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        # What fuzzing makes and no API server sends: half a surrogate pair, a number without end.
        return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the path of everything in raw JSON."""
    yield path
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in inner:
        yield from paths_of(child, (*path, key))
