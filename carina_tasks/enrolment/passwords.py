"""A node's password is derived, so that nobody has to keep it: the service has no state.

HMAC-SHA256 (RFC 2104) of the master key over node name, node UID and epoch. A node that is created
again has another UID, and therefore another password.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from carina_tasks.errors import BadSetting

SHORTEST_KEY: Final = 32
"""Bytes of the master key: as many as the hash has (RFC 2104, section 3)."""


def master_key(data: bytes) -> bytes:
    """Return the master key in the content of its file.

    Raises:
        BadSetting: It is too short, or one byte again and again.
    """
    if len(data) < SHORTEST_KEY or len(set(data)) < 8:
        raise BadSetting(
            f"CARINA_TASKS_ENROLMENT_MASTER_KEY: the file holds {len(data)} bytes; it needs "
            f"{SHORTEST_KEY} random ones: head -c {SHORTEST_KEY} /dev/urandom"
        )
    return data


def password(key: bytes, node: str, uid: str, epoch: str) -> str:
    """Return the password of a node, 43 characters that need no escaping in a URL.

    Args:
        key: The master key.
        node: Name of the node.
        uid: UID of the Node object.
        epoch: Number of the epoch.
    """
    # No part can hold a line feed, so no two of them give the same text.
    text = "\n".join(("carina-tasks", node, uid, epoch)).encode()
    return base64.urlsafe_b64encode(hmac.digest(key, text, hashlib.sha256)).rstrip(b"=").decode()


def passwords(key: bytes, node: str, uid: str, epochs: Iterable[str]) -> tuple[str, ...]:
    """Return the passwords that are valid for a node, the one that is given out first.

    Args:
        key: The master key.
        node: Name of the node.
        uid: UID of the Node object.
        epochs: Numbers of the epochs, the newest first.
    """
    return tuple(password(key, node, uid, epoch) for epoch in epochs)


def url_of(template: str, node: str, secret: str) -> str:
    """Return the Redis URL of a node.

    Args:
        template: The URL without user and password; several are separated by semicolons.
        node: Name of the node, which is its Redis user.
        secret: Its password.
    """
    return ";".join(
        one.replace("://", f"://{node}:{secret}@", 1) for one in template.split(";") if one
    )
