"""Results as people meet them in the Python shell and in a notebook.

Plain JSON that prints as tables.
"""

from __future__ import annotations

import shutil
from typing import Any, get_type_hints

import msgspec
from celery import Task
from celery.result import AsyncResult

from carina_tasks.views import tables


class ResultView(dict[str, Any]):
    """A result: a dict of plain JSON, whose fields are attributes too, and which prints as tables.

    >>> plan("10.20.9.154").volumes[0].target                  # doctest: +SKIP
    >>> plan("10.20.9.154")["volumes"][0]["target"]            # doctest: +SKIP
    """

    def __init__(self, value: msgspec.Struct) -> None:
        super().__init__(msgspec.to_builtins(value))
        self._value = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._value, name)

    def __dir__(self) -> list[str]:
        """Return what Tab completes: the fields and properties of the result, then a dict's."""
        own = [name for name in dir(self._value) if not name.startswith("_")]
        return [*own, *super().__dir__()]

    def _ipython_key_completions_(self) -> list[str]:
        """Return what Tab completes after ``result["``."""
        return list(self)

    def __repr__(self) -> str:
        return tables.text(tables.of(self._value), shutil.get_terminal_size((120, 24)).columns)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Return it for a notebook; every text is escaped."""
        return tables.html(tables.of(self._value))


class Refusal(msgspec.Struct, frozen=True):
    """What a control task returns when a guard refused."""

    outcome: str
    reason: str


class SentTask(AsyncResult):  # type: ignore[misc]
    """A task that was sent; `get` waits for its result and returns it as a `ResultView`."""

    kind: type[msgspec.Struct] = Refusal

    def get(self, *args: Any, **options: Any) -> Any:
        """Wait for the result. Raises what the task raised, and celery's TimeoutError."""
        return as_view(super().get(*args, **options), self.kind)


def as_view(value: object, kind: type[msgspec.Struct]) -> object:
    """Return `value` (JSON) as a `ResultView` of `kind`, or of a refusal.

    Anything else (another release's) as it is.
    """
    for each in (kind, Refusal):
        try:
            return ResultView(msgspec.convert(value, each))
        except msgspec.ValidationError:
            continue
    return value


def with_result_view(task: Task, sent: AsyncResult) -> SentTask:
    """Return `sent` as an Answer that reads its result as what `task` reports that it returns."""
    made = SentTask(sent.id, backend=sent.backend, app=sent.app)
    made.kind = get_type_hints(task.run)["return"]
    return made
