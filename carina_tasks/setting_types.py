"""Settings: how a variable's text is read, its bounds, and what else is checked.

Written here and not taken from a library: every node of a cluster runs a worker that reads these,
and pydantic with pydantic-settings costs each of them 10 MB and 0.1 s.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from carina_tasks.environment import PREFIX
from carina_tasks.errors import BadInput
from carina_tasks.model import names, quantity

Check = Callable[[Any, Mapping[str, Any]], Any]
"""Takes a value and the settings before it that are right; returns the value, or raises ValueError
that says what it should be.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """What a number must be."""

    gt: float | None = None
    ge: float | None = None
    le: float | None = None

    def check(self, value: float) -> None:
        """Check a number; not-a-number is within no bounds.

        Raises:
            ValueError: It is outside.
        """
        if self.gt is not None and not value > self.gt:
            raise ValueError(f"Input should be greater than {self.gt:g}")
        if self.ge is not None and not value >= self.ge:
            raise ValueError(f"Input should be greater than or equal to {self.ge}")
        if self.le is not None and not value <= self.le:
            raise ValueError(f"Input should be less than or equal to {self.le}")


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as documentation and the reader of the environment need it."""

    name: str
    type: Any
    """`str`, `bool`, `int`, `float`, `tuple[str, ...]` or a Literal."""
    read: Callable[[str], Any]
    bounds: Bounds | None
    default: Any
    description: str
    variable: str
    """The variable that users set; `CARINA_TASKS_<NAME>` is always taken too."""


def setting(default: Any, *, description: str, variable: str = "") -> Any:
    """Declare a setting of a settings class.

    Args:
        default: Its value without a variable.
        description: What it is, in which unit, and why this default.
        variable: The variable, where it is not ``CARINA_TASKS_<NAME>``.
    """
    return dataclasses.field(
        default=default, metadata={"description": description, "variable": variable}
    )


def settings_of(cls: type) -> dict[str, Setting]:
    """Return the settings that a class declares, by name."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: _setting(field, hints[field.name]) for field in dataclasses.fields(cls)}


def _setting(field: dataclasses.Field[Any], hint: Any) -> Setting:
    kind, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    return Setting(
        name=field.name,
        type=kind,
        read=next((one for one in extras if callable(one)), _reader_of(kind)),
        bounds=next((one for one in extras if isinstance(one, Bounds)), None),
        default=field.default,
        description=field.metadata["description"],
        variable=field.metadata["variable"] or PREFIX + field.name.upper(),
    )


def read_settings(
    settings: Iterable[Setting], environ: Mapping[str, str], checks: Mapping[str, tuple[Check, ...]]
) -> tuple[dict[str, Any], list[str]]:
    """Return the values that are right, and what is wrong with the others.

    Args:
        settings: What is read.
        environ: The environment.
        checks: What else a value must be, by setting. That of a default is checked too.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for one in settings:
        variable = one.variable if one.variable in environ else PREFIX + one.name.upper()
        try:
            value = _read(one, environ[variable]) if variable in environ else one.default
            for check in checks.get(one.name, ()):
                value = check(value, values)
        except ValueError as exc:
            wrong.append(f"{variable}: {exc}")
        else:
            values[one.name] = value
    return values, wrong


def _read(one: Setting, text: str) -> Any:
    value = one.read(text)
    if one.bounds:
        one.bounds.check(value)
    return value


def _reader_of(kind: Any) -> Callable[[str], Any]:
    if get_origin(kind) is Literal:
        return lambda text: _choice(text, get_args(kind))
    if get_origin(kind) is tuple:
        return words
    readers: dict[Any, Callable[[str], Any]] = {
        str: str,
        bool: _boolean,
        int: _whole_number,
        float: _number,
    }
    return readers[kind]


def _choice(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        *others, last = (repr(choice) for choice in choices)
        raise ValueError(f"Input should be {', '.join(others)} or {last}")
    return text


def _boolean(text: str) -> bool:
    word = text.lower()
    if word in ("1", "on", "t", "true", "y", "yes"):
        return True
    if word in ("0", "off", "f", "false", "n", "no"):
        return False
    raise ValueError("Input should be a valid boolean, unable to interpret input")


def _whole_number(text: str) -> int:
    try:
        return int(re.sub(r"\.0+\s*$", "", text))
    except ValueError:
        raise ValueError(
            "Input should be a valid integer, unable to parse string as an integer"
        ) from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            "Input should be a valid number, unable to parse string as a number"
        ) from None


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text that are separated by commas or blanks."""
    return tuple(word for word in re.split(r"[,\s]+", text) if word)


def size(text: str) -> int:
    """Return a Kubernetes quantity in bytes.

    Raises:
        ValueError: It is none.
    """
    return 0 if text == "0" else _named(quantity.to_bytes, text)


def namespace(text: str) -> str:
    """Return the name of a namespace.

    Raises:
        ValueError: It is none.
    """
    return _named(names.namespace_name, text)


def node_name(text: str) -> str:
    """Return the name of a node, or an empty text.

    Raises:
        ValueError: It is none.
    """
    return _named(names.node_name, text) if text else text


def docs_url(text: str) -> str:
    """Return an http(s) URL, or an empty text.

    Raises:
        ValueError: It is none.
    """
    if not re.fullmatch(r"(https?://[^\s]+)?", text):
        raise ValueError(r"String should match pattern '^(https?://[^\s]+)?$'")
    return text


T = typing.TypeVar("T")


def _named(read: Callable[[object], T], text: str) -> T:
    try:
        return read(text)
    except BadInput as exc:
        raise ValueError(exc.message) from exc


NodeName = Annotated[str, node_name]
Namespace = Annotated[str, namespace]
DocsUrl = Annotated[str, docs_url]
Size = Annotated[int, size]
Seconds = Annotated[float, Bounds(ge=0, le=86400)]
PositiveSeconds = Annotated[float, Bounds(gt=0, le=86400)]
Share = Annotated[float, Bounds(ge=0, le=1)]
