"""What each Redis user of carina-tasks may do: the one place for it.

Read by ``deploy/redis/acl.py`` (which runs without this package installed, so that this file needs
Python's standard library only), and by the enrolment service. docs/redis.md explains each rule.
"""

from __future__ import annotations

import hashlib
from typing import Final

ANSWER_SLOTS: Final = 8
"""Keys in which a node may leave answers. More than this many unread answers of one node are never
kept: the oldest is overwritten. One digit, so that a glob can name all of them.
"""

NODE_RULES: Final = (
    "-@all +hello +auth +ping +client|setname +multi +exec +brpop +llen +set +setex +publish "
    "~node.{node} ~celery-task-meta-{node}:[0-7] ~alive.{node} &celery-task-meta-{node}:[0-7]"
)
"""What a node may do: take from its own queue, write its own answers, say that it lives.

Nine keys beside its queue: however it floods, it can keep no more than nine values in Redis, and
`proto-max-bulk-len` bounds each.
"""

CONTROL_RULES: Final = "~* &* +@all -@admin -@dangerous +info +keys"
"""Everything but administration. `info` and `keys` are for Flower's broker page and Celery's remote
control.
"""

FLOWER_RULES: Final = (
    "%R~* ~_kombu.binding* ~*.reply.celery.pidbox* &* +@all -@admin -@dangerous +info"
)
"""Read everything, write what remote control needs, and no queue: Flower's API can start no task.
Redis 7 or Valkey.
"""

ENROLMENT_RULES: Final = (
    "-@all +hello +auth +ping +select +client|setname +client|list +client|kill "
    "+acl|setuser +acl|deluser +acl|list +info +memory|usage +set +setex +pttl +del "
    "+multi +exec ~celery-task-meta-*:[0-7] ~alive.* ~carina-tasks.*"
)
"""The enrolment service. Whoever may run ACL SETUSER can give themselves every right: this user is
as good as Redis' administrator, and no other process has it.
"""

SHARED: Final = {
    "_control": ("carina-tasks", CONTROL_RULES),
    "_enrolment": ("carina-tasks-enrolment", ENROLMENT_RULES),
    "_flower": ("carina-tasks-flower", FLOWER_RULES),
}
"""File, user and rules of those that are no node; names of nodes begin with a letter or digit."""

RESERVED: Final = frozenset({"default", *(user for user, _ in SHARED.values())})
"""Names of users that no node may have."""


def node_rules(node: str) -> str:
    """Return the rules of the user of `node`."""
    return NODE_RULES.format(node=node)


def digest(password: str) -> str:
    """Return the password as Redis keeps it: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(password.encode()).hexdigest()


def line(user: str, rules: str, password: str) -> str:
    """Return the line of an ACL file; the password stands in it as its SHA-256.

    Args:
        user: Name of the user.
        rules: What it may do.
        password: Its password.
    """
    return f"user {user} reset on #{digest(password)} {rules}"
