"""The lab's API server with other flags for a while: it is restarted (3 s), its objects stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.lab import Lab


@contextmanager
def with_flags(lab: Lab, *flags: str) -> Iterator[None]:
    """Restart kube-apiserver with `flags` added, and without them at the end."""
    plane, options = lab.control_plane, lab.control_plane.options
    plane.options = dataclasses.replace(
        options, apiserver_arguments=(*options.apiserver_arguments, *flags)
    )
    try:
        plane.stop_apiserver()
        plane.start_apiserver()
        yield
    finally:
        plane.options = options
        plane.stop_apiserver()
        plane.start_apiserver()
