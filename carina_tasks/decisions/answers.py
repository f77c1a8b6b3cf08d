"""Which results in a node's answer are accepted?

Only those that were asked for, once each, with an outcome that such a task can have.

A node may be broken, or broken into: what it reports about LVs that it was not asked about is not
acted on and not recorded as if it had been done. Source: docs/design.md, section 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from carina_tasks.model import names

if TYPE_CHECKING:
    from carina_tasks.model.messages import LvInTrash, LvResult, LvResults, LvTarget, LvToCreate

    Asked = LvToCreate | LvInTrash | LvTarget


@dataclass(frozen=True, slots=True)
class AllowedOutcomes:
    """What a task can say of a volume that it was asked about, and of one that it came across."""

    asked: frozenset[str]
    beside: frozenset[str] = frozenset()


# A creation purges the trash when it needs the space, and reports it.
CREATE: Final = AllowedOutcomes(
    frozenset({"created", "zeroing", "taken", "kept", "replaced", "restored", "failed"}),
    frozenset({"purged"}),
)
MARK: Final = AllowedOutcomes(frozenset({"marked", "unmarked", "absent", "failed"}))
REMOVE: Final = AllowedOutcomes(frozenset({"removed", "trashed", "absent", "failed"}))
RESTORE: Final = AllowedOutcomes(frozenset({"restored", "absent", "failed"}))
PURGE: Final = AllowedOutcomes(frozenset({"purged", "absent", "failed"}))


@dataclass(frozen=True, slots=True)
class Accepted:
    """What counts of an answer, and what is wrong with the rest."""

    volumes: tuple[LvResult, ...]
    odd: tuple[str, ...]
    """One line for each part that does not count, at most ten."""


def accept(asked: Iterable[Asked], answer: LvResults, words: AllowedOutcomes) -> Accepted:
    """Return what of `answer` counts.

    Of two equal results the first counts; of two that differ, none.

    Args:
        asked: The LVs that were asked for.
        answer: The node's answer.
        words: The outcomes that such a task can have.
    """
    open_ = {(wanted.group, wanted.name) for wanted in asked}
    first: dict[tuple[str, str], LvResult] = {}
    odd: dict[str, None] = {}
    differing: set[tuple[str, str]] = set()
    for done in answer.volumes:
        key, name = (done.group, done.name), f"{done.group}/{done.name}"
        beside = done.outcome in words.beside and done.name.startswith(names.TRASH_PREFIX)
        if key not in open_ and not beside:
            odd[f"it selects {name}, which it was not asked about"] = None
        elif key in open_ and done.outcome not in words.asked:
            odd[f"it reports {done.outcome!r} for {name}, which this task cannot return"] = None
        elif key in first:
            odd[f"it selects {name} twice"] = None
            if first[key] != done:
                differing.add(key)
        else:
            first[key] = done
    return Accepted(
        tuple(done for key, done in first.items() if key not in differing), tuple(odd)[:10]
    )
