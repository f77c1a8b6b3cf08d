"""The API server asked what it would say to a write.

Validation, quotas, policies and webhooks answer, nothing is changed.

Source: API concepts, "Dry-run". A create under a name that is taken is answered 409 AlreadyExists
only after validation and admission (the generic registry's Create): that answer reports that
nothing else is in the way.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

from carina_tasks.errors import AlreadyExists

Raw = dict[str, Any]


class WriteApi(Protocol):
    """The requests that writing takes; `kube.api.Api` describes them."""

    def get(self, path: str) -> Raw:
        """Return the object."""
        ...

    def create(self, path: str, body: Raw) -> Raw:
        """Create an object."""
        ...

    def merge(self, path: str, body: Raw) -> Raw:
        """Apply a merge patch."""
        ...

    def delete(self, path: str, *, uid: str, version: str = "", grace: int | None = None) -> Raw:
        """Delete an object.

        Args:
            path: Path of the object in the API.
            uid: UID that the object must have, so that no other one of its name is changed.
            version: resourceVersion that the object must have; empty: any.
            grace: Grace period in seconds; None: the object's own.
        """
        ...


class TryApi(Protocol):
    """The same requests, which can be tried."""

    def get(self, path: str) -> Raw:
        """Return the object."""
        ...

    def create(self, path: str, body: Raw, *, dry_run: bool = False) -> Raw:
        """Create an object.

        Args:
            path: Path of the object in the API.
            body: The object or patch, as JSON.
            dry_run: Whether the API server only checks the request.
        """
        ...

    def merge(self, path: str, body: Raw, *, dry_run: bool = False) -> Raw:
        """Apply a merge patch.

        Args:
            path: Path of the object in the API.
            body: The object or patch, as JSON.
            dry_run: Whether the API server only checks the request.
        """
        ...

    def delete(
        self,
        path: str,
        *,
        uid: str,
        version: str = "",
        grace: int | None = None,
        dry_run: bool = False,
    ) -> Raw:
        """Delete an object.

        Args:
            path: Path of the object in the API.
            uid: UID that the object must have, so that no other one of its name is changed.
            version: resourceVersion that the object must have; empty: any.
            grace: Grace period in seconds; None: the object's own.
            dry_run: Whether the API server only checks the request.
        """
        ...


class DryRun:
    """Every write as a dry run.

    Raises what the write would; DryRunUnsupported when a webhook takes none.
    """

    def __init__(self, api: TryApi) -> None:
        self._api = api

    def get(self, path: str) -> Raw:
        """Return the object as it is."""
        return self._api.get(path)

    def create(self, path: str, body: Raw) -> Raw:
        """Try to create an object whose name may still be taken."""
        with suppress(AlreadyExists):
            return self._api.create(path, body, dry_run=True)
        return body

    def merge(self, path: str, body: Raw) -> Raw:
        """Try a merge patch."""
        return self._api.merge(path, body, dry_run=True)

    def delete(self, path: str, *, uid: str, version: str = "", grace: int | None = None) -> Raw:
        """Try a deletion.

        Args:
            path: Path of the object in the API.
            uid: UID that the object must have, so that no other one of its name is changed.
            version: resourceVersion that the object must have; empty: any.
            grace: Grace period in seconds; None: the object's own.
        """
        return self._api.delete(path, uid=uid, version=version, grace=grace, dry_run=True)
