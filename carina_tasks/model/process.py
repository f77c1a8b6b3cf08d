"""What a process of carina-tasks reports about itself with each heartbeat."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Role = Literal["control", "node", "node-watch", "beat"]
Word = Annotated[str, Meta(max_length=300)]


class Process(msgspec.Struct, frozen=True):
    """One process: written by itself, and for users only. Nothing is decided by it."""

    role: Role
    name: Word
    """The node that it serves, or the host that it runs on."""
    version: Word = ""
    celery: Word = ""
    redis: Word = ""
    """Version of redis-py."""
    at: float = 0
    """Its own clock when it gave this sign, seconds since the epoch; 0: it did not say."""
    profile: Word = ""
    """Of a node worker: ``open`` or ``sealed``."""
    settings: Annotated[dict[Word, Word], Meta(max_length=100)] = {}
    """Its settings that are not the default, without those that hold a password."""
