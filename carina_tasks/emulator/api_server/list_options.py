"""Which parameters of a list and of a watch go together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from .errors import Cause, forbidden_value, invalid, unsupported_value

_MATCH = "resourceVersionMatch"
_INITIAL = "sendInitialEvents"
NOT_OLDER = "NotOlderThan"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """From where a list or a watch reads."""

    version: str = ""
    match: str = ""
    token: str = ""
    initial: bool | None = None
    """sendInitialEvents; None when the request does not say."""

    def checked(self, *, watching: bool) -> Self:
        """Return the options with the real server's defaults.

        Args:
            watching: Whether they are a watch's.

        Raises:
            StatusError: 422, with every cause, for parameters that do not go together.
        """
        causes = self._watch_causes() if watching else self._list_causes()
        if causes:
            raise invalid("ListOptions", "meta.k8s.io", "", causes)
        if watching and self.initial is None:
            # A watch from no version, or from any, has begun with what is there since long before
            # sendInitialEvents existed.
            return replace(self, initial=self.version in ("", "0"))
        return self

    def _watch_causes(self) -> list[Cause]:
        causes = []
        if self.initial is not None and self.match != NOT_OLDER:
            why = f"{_INITIAL} requires setting {_MATCH} to {NOT_OLDER}"
            causes.append(forbidden_value(_MATCH, why))
        if self.match and self.initial is None:
            why = f"{_MATCH} is forbidden for watch unless {_INITIAL} is provided"
            causes.append(forbidden_value(_MATCH, why))
        if self.match not in ("", NOT_OLDER):
            causes.append(unsupported_value(_MATCH, self.match, [NOT_OLDER]))
        return causes + self._continue_causes()

    def _list_causes(self) -> list[Cause]:
        causes = []
        if self.match and not self.version:
            why = f"{_MATCH} is forbidden unless resourceVersion is provided"
            causes.append(forbidden_value(_MATCH, why))
        causes += self._continue_causes()
        if self.match not in ("", "Exact", NOT_OLDER):
            causes.append(unsupported_value(_MATCH, self.match, ["Exact", NOT_OLDER, ""]))
        if self.match == "Exact" and self.version == "0":
            why = f'{_MATCH} "exact" is forbidden for resourceVersion "0"'
            causes.append(forbidden_value(_MATCH, why))
        if self.initial is not None:
            causes.append(forbidden_value(_INITIAL, f"{_INITIAL} is forbidden for list"))
        return causes

    def _continue_causes(self) -> list[Cause]:
        if not (self.match and self.token):
            return []
        return [forbidden_value(_MATCH, f"{_MATCH} is forbidden when continue is provided")]
