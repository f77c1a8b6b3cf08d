"""A task as a readable row: *rebuild node 10.20.9.154 → 5 volumes*, and not a dict.

Events carry arguments and results as the text of Python literals. Read them, never run them; what
does not read as such, because it is cut off or another client sent it, is shown in the row as it
came.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from carina_tasks.model import task_names

WORK: Mapping[str, str] = {
    task_names.REBUILD_NODE: "rebuild node",
    task_names.MIGRATE_NODE: "migrate node",
    task_names.FAILBACK: "fail volumes back to node",
    task_names.PLAN: "plan the loss of node",
    task_names.RESUME: "resume what is unfinished",
    task_names.REBUILD_VOLUME: "rebuild volume",
    task_names.READINESS: "readiness of every node",
    task_names.STATUS: "status",
    task_names.PUBLISH: "publish the status",
    task_names.LIST_TRASH: "list the trash",
    task_names.RESTORE: "restore from the trash of node",
    task_names.SWEEP_LOCAL_VOLUMES: "sweep local volumes",
    task_names.SWEEP_LOGIC_VOLUMES: "sweep LogicVolumes",
    task_names.INVENTORY: "inventory of node",
    task_names.CREATE_VOLUMES: "create on node",
    task_names.MARK_VOLUMES: "mark on node",
    task_names.REMOVE_VOLUMES: "remove on node",
    task_names.PURGE_VOLUMES: "purge on node",
    task_names.RESTORE_VOLUME: "restore on node",
}
"""What each task does; the node follows. One that is not named here is called by its own name, in
words.
"""

ROUTINE = frozenset({task_names.INVENTORY, task_names.PUBLISH, task_names.READINESS})
"""Tasks that run all the time: their good end is no news, and the page *Cluster* shows it."""

OPEN = ("failed", "given-up", "no-fit", "refused", "unfinished")
"""Outcomes of a volume that the operator should check."""

STATES: Mapping[str, str] = {
    "no-fit": "NO-FIT",
    "failed": "UNFINISHED",
    "given-up": "UNFINISHED",
    "unfinished": "UNFINISHED",
    "refused": "REFUSED",
}
"""The state in which a task is shown that has such an outcome, the most urgent first."""

LONGEST = 300
"""Characters of a row's result; an inventory that does not fit into its event is cut there too."""

Json = dict[str, Any]


def state_of(task: Any) -> str:
    """Return the state of a task that ended well, as its row shows it.

    Celery knows success and failure alone: a guard's no and a volume without a place would be green
    beside what was done, and what found nothing to do would bury both.

    Args:
        task: Flower's task, with the event of its end taken in.

    Returns:
        ``REFUSED``, ``NO-FIT``, ``UNFINISHED``, ``ROUTINE``, or the state that it has.
    """
    if task.name in ROUTINE:
        return "ROUTINE"
    text = str(task.result or "")
    idle = task.name == task_names.RESUME
    if not idle and not any(f"'{word}'" in text for word in OPEN):
        return str(task.state)
    result = _read(text)
    if not isinstance(result, dict):
        return str(task.state)
    outcomes = {str(result.get("outcome"))} | {
        str(one.get("outcome"))
        for field in (result.get("volumes"), result.get("nodes"))
        if isinstance(field, list | tuple)
        for one in field
        if isinstance(one, dict)
    }
    if idle and (outcomes == {"refused"} or not any(result.values())):
        return "ROUTINE"
    for word, state in STATES.items():
        if word in outcomes:
            return state
    return str(task.state)


def format_row(task: Any) -> Any:
    """Return Flower's `task` for a row of the list.

    What it does in `args`, what came of it in `result`.
    """
    came = _came(task)
    task.args = _what(task, came.short or _asked(task))
    task.result = came.text if len(came.text) <= LONGEST else came.text[:LONGEST] + " …"
    return task


def format_details(task: Any) -> Any:
    """Return Flower's `task` for its own page: the same, and a line for each volume or node."""
    came = _came(task)
    task.args = _what(task, came.short or _asked(task))
    task.result = "\n".join([came.text, *came.lines]).strip()
    return task


class _Came:
    """What came of a task: a few words, a sentence, and a line for each volume or node."""

    def __init__(self, short: str = "", text: str = "", lines: Sequence[str] = ()) -> None:
        self.short, self.text, self.lines = short, text, tuple(lines)


def _what(task: Any, short: str) -> str:
    name = str(task.name or "")
    if not name:
        # Its first event came before Flower was there.
        return str(task.args or "")
    args, kwargs = _read(task.args), _read(task.kwargs)
    words = [WORK.get(name) or name.removeprefix("carina.").replace(".", " ").replace("_", " ")]
    words += (
        [str(arg) for arg in args if isinstance(arg, str | int)]
        if isinstance(args, list | tuple)
        else []
    )
    words += [f"→ {short}"] if short else []
    if isinstance(kwargs, dict):
        # A node's task knows volumes by their LVs alone: their names are a detail, on its own page,
        # and found by a search.
        words += [f"({kwargs['reason']})"] if kwargs.get("reason") else []
    return " ".join(words)


def _asked(task: Any) -> str:
    """Return for how many volumes a node was asked.

    The text of its request ends with how many it leaves out (`messages.describe_request`).
    """
    kwargs = _read(task.kwargs)
    names = str(kwargs.get("volumes") or "") if isinstance(kwargs, dict) else ""
    if not names:
        return ""
    *rest, last = names.split(", ")
    more = re.fullmatch(r"and (\d+) more", last)
    return _number(len(rest) + (int(more[1]) if more else 1), "volume")


def _came(task: Any) -> _Came:
    if task.state in ("FAILURE", "RETRY", "UNANSWERED"):
        return _Came(text=_error(str(task.exception or "")))
    if task.state == "REVOKED":
        return _Came(
            "not run",
            "its time was over before a worker took it, or the operator revoked it; what is left "
            "is asked for again",
        )
    result = _read(task.result)
    if not isinstance(result, dict):
        return _Came(text=str(task.result or ""))
    if result.get("outcome") == "refused":
        return _Came("refused", str(result.get("reason", "")), _volume_lines(result))
    if "summary" in result:
        return _Came(text=str(result["summary"]), lines=_lines(result))
    if "volumes" in result and _all_have(result["volumes"], "outcome"):
        return _volumes(result)
    return _Came(text=_sentence(result), lines=_lines(result))


def _volumes(result: Json) -> _Came:
    """Describe a failover, a plan, a resume or a node's batch.

    How many volumes, and what became of them.
    """
    volumes = result["volumes"]
    outcomes = Counter(str(v["outcome"]) for v in volumes)
    counted = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
    to = ", ".join(sorted({str(v["target"]) for v in volumes if v.get("target")}))
    open_ = [v for v in volumes if v["outcome"] in OPEN]
    why = [f"{_name(v)}: {v.get('reason', '')}" for v in open_[:1]]
    why = why or [str(result.get("reason", ""))]
    text = "; ".join(part for part in (f"{counted} on {to}" if to else counted, *why) if part)
    done = f"{len(volumes) - len(open_)} of " if open_ else ""
    return _Came(done + _number(len(volumes), "volume"), text, _volume_lines(result))


def _volume_lines(result: Json) -> list[str]:
    lines = []
    for volume in result.get("volumes") or ():
        if isinstance(volume, dict):
            name = _name(volume)
            way = " → ".join(str(volume[key]) for key in ("source", "target") if volume.get(key))
            reason = volume.get("reason", "")
            # What applies to all of them is shown once, above.
            parts = [
                name,
                f"pod {volume['pod']}" if volume.get("pod") else "",
                str(volume.get("outcome", "")),
                way,
                "" if reason == result.get("reason") else str(reason),
                f"({volume['volume']})" if volume.get("claim") and volume.get("volume") else "",
            ]
            lines.append("  ".join(part for part in parts if part))
    lines += [f"evicted {pod}" for pod in result.get("evicted") or ()]
    return lines + [f"not evicted {pod}" for pod in result.get("stuck") or ()]


def _name(volume: Json) -> str:
    """Return what people know a volume by: its claim; without one, its group and name."""
    if volume.get("claim"):
        return str(volume["claim"])
    return "/".join(str(volume[key]) for key in ("group", "name", "volume") if volume.get(key))


def _sentence(result: Json) -> str:
    """Describe anything else: plain values as they are, lists by their length."""
    parts = []
    for key, value in result.items():
        if isinstance(value, list | tuple):
            if ... in value:
                # So deep that the event leaves it out.
                parts.append(f"some {_words(key)}")
            elif value:
                parts.append(_number(len(value), _words(key).removesuffix("s")))
        elif value not in ("", None) and key not in ("node", "at"):
            # A reason is a sentence of its own; when it was is a column of its own.
            parts.append(str(value) if key == "reason" else f"{_words(key)} {value}")
    return ", ".join(parts) or "nothing to do"


def _lines(result: Json) -> list[str]:
    lines = []
    for key, value in result.items():
        if isinstance(value, list | tuple):
            lines += [f"{_words(key)}: {_sentence_of(item)}" for item in value]
    return lines


def _sentence_of(item: object) -> str:
    if not isinstance(item, dict):
        return str(item)
    node = f"{item['node']} " if "node" in item else ""
    return node + _sentence(item)


def _words(key: object) -> str:
    return str(key).replace("_", " ")


def _number(number: int, what: str) -> str:
    # "3 missing", "2 deleted nodes".
    plural = "" if number == 1 or what.endswith(("ed", "ing", "able")) else "s"
    return f"{number} {what}{plural}"


def _all_have(value: object, key: str) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(item, dict) and key in item for item in value)
    )


def _error(exception: str) -> str:
    """Return ``BadInput('…')``, as Celery's events carry it, as the operator would write it."""
    kind, _, rest = exception.partition("(")
    message = _read(rest.removesuffix(")").removesuffix(","))
    return f"{kind}: {message}" if kind.isidentifier() and isinstance(message, str) else exception


def _read(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
