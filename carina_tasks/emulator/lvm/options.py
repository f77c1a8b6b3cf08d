"""The command line of the simulated lvm: long and short options, sizes, names."""

from __future__ import annotations

import re

SHORT = {
    "n": "name",
    "L": "size",
    "W": "wipesignatures",
    "Z": "zero",
    "S": "select",
    "o": "options",
    "V": "virtualsize",
    "a": "activate",
    "s": "snapshot",
    "y": "yes",
    "q": "quiet",
    "f": "force",
    "T": "thin",
}
FLAGS = {"yes", "quiet", "binary", "nosuffix", "noheadings", "snapshot", "force", "thin", "help"}
VALUES = {
    "name",
    "size",
    "wipesignatures",
    "zero",
    "select",
    "options",
    "virtualsize",
    "activate",
    "addtag",
    "deltag",
    "reportformat",
    "units",
    "config",
    "configreport",
    "type",
    "thinpool",
}

_UNITS = {"b": 1, "s": 512, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "": 1 << 20}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([bskmgt]?)", re.I)
TAG = re.compile(r"[a-zA-Z0-9_+.\-/=!:#&]{1,1024}")
NAME = re.compile(r"[a-zA-Z0-9+_.][a-zA-Z0-9+_.-]{0,126}")


class CommandError(Exception):
    """The command fails: its exit code and what it writes to stderr."""

    def __init__(self, code: int, *lines: str) -> None:
        super().__init__(*lines)
        self.code = code
        self.lines = lines


def bad_line(*lines: str) -> CommandError:
    """Return the error of a command line that lvm does not take (exit code 3)."""
    return CommandError(3, *lines, "  Error during parsing of command line.")


class Options:
    """A parsed command line: options in order (some may come twice), and positional arguments."""

    def __init__(self, command: str, words: list[str]) -> None:
        self.given: list[tuple[str, str]] = []
        self.names: list[str] = []
        queue = list(words)
        while queue:
            word = queue.pop(0)
            if word.startswith("--"):
                name, has_value, value = word[2:].partition("=")
                self._take(command, word, name, value if has_value else None, queue)
            elif word.startswith("-") and len(word) > 1:
                self._short(command, word, queue)
            else:
                self.names.append(word)

    def _short(self, command: str, word: str, queue: list[str]) -> None:
        rest = word[1:]
        while rest:
            letter, rest = rest[0], rest[1:]
            name = SHORT.get(letter, "")
            if name in FLAGS:
                self.given.append((name, ""))
            else:
                self._take(command, f"-{letter}", name, rest or None, queue)
                return

    def _take(
        self, command: str, word: str, name: str, value: str | None, queue: list[str]
    ) -> None:
        if name in FLAGS and value is None:
            self.given.append((name, ""))
        elif name in VALUES and (value is not None or queue):
            self.given.append((name, queue.pop(0) if value is None else value))
        elif name in VALUES:
            raise bad_line(f"{command}: option '{word}' requires an argument")
        else:
            raise bad_line(f"{command}: unrecognized option '{word}'")

    def has(self, name: str) -> bool:
        """Return whether the option was given."""
        return any(given == name for given, _ in self.given)

    def get(self, name: str, default: str = "") -> str:
        """Return the last value of the option."""
        return ([default] + [value for given, value in self.given if given == name])[-1]

    def all(self, name: str) -> list[str]:
        """Return all values of the option."""
        return [value for given, value in self.given if given == name]

    def bytes(self, name: str) -> int:
        """Return a size option in bytes. Raises CommandError as lvm words it."""
        text = self.get(name)
        match = _SIZE.fullmatch(text)
        if match is None:
            raise bad_line(f"  Invalid argument for --{name}: {text}")
        size = (
            int(float(match[1]) * _UNITS[match[2].lower()])
            if "." in match[1]
            else int(match[1]) * _UNITS[match[2].lower()]
        )
        if size % 512:
            low = size // 512 * 512
            raise bad_line(
                f"  Size is not a multiple of 512. Try using {low} or {low + 512}.",
                f"  Invalid argument for --{name}: {text}",
            )
        return size
