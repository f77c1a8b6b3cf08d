"""The Redis users of nodes, and what each takes of Redis.

Only the enrolment service uses it: no other user may run ACL commands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from celery import Celery

from carina_tasks.store.acl_rules import ANSWER_SLOTS, RESERVED, digest, node_rules
from carina_tasks.store.answers import RESULT_KEY
from carina_tasks.store.client import connection
from carina_tasks.store.heartbeat import KEY

CUT_OFF: Final = "carina-tasks.cut-off."
ANSWERED_FOR: Final = 60
"""Seconds for which a node that was cut off has an answer: who waits looks each second at least."""
_FIELD: Final = re.compile(r"([a-z-]+)=(\S*)")
_FIELDS: Final = frozenset({"id", "addr", "user", "age", "tot-mem", "cmd"})


class AclUsers:
    """Makes and removes the users of nodes. Safe to share between threads.

    Every method raises BrokerUnavailable when Redis does not answer, or refuses.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def names(self) -> dict[str, frozenset[str]]:
        """Return the users that are nodes', with the digests of their passwords.

        Known by their queue: whatever else an administrator has made is left alone.
        """
        with connection(self._app) as client:
            lines = [_text(one) for one in client.execute_command("ACL", "LIST")]
        found = {}
        for words in (line.split() for line in lines):
            if len(words) > 1 and words[1] not in RESERVED and f"~node.{words[1]}" in words:
                found[words[1]] = frozenset(w[1:] for w in words if w.startswith("#"))
        return found

    def put(self, passwords: Mapping[str, Sequence[str]]) -> None:
        """Give nodes their users, with their rules and these passwords and no others."""
        with connection(self._app) as client:
            pipe = client.pipeline(transaction=False)
            for node, secrets in passwords.items():
                pipe.execute_command(
                    *("ACL", "SETUSER", node, "reset", "on"),
                    *(f"#{digest(one)}" for one in secrets),
                    *node_rules(node).split(),
                )
            pipe.execute()

    def remove(self, node: str) -> None:
        """Remove the user of a node with its connections, and the keys that it can have written.

        Its queue is left: a control worker wrote it, and its messages expire.
        """
        with connection(self._app) as client:
            # DELUSER closes the connections of the user. Nothing can be written after it.
            client.execute_command("ACL", "DELUSER", node)
            # DEL and not UNLINK: a Redis that was full has room again when this returns.
            client.delete(*_keys(node))

    @staticmethod
    def digests(passwords: Iterable[str]) -> frozenset[str]:
        """Return passwords as `names` shows them."""
        return frozenset(digest(one) for one in passwords)

    def disconnect(self, node: str) -> None:
        """Close the connections of a user whose password is no longer valid."""
        with connection(self._app) as client:
            client.execute_command("CLIENT", "KILL", "USER", node)

    def cut_off(self, node: str, seconds: float, reason: str) -> None:
        """Write down that a node may not enrol for some time, then remove its user.

        A control worker that waits for the node gets an answer at once: a failover would wait for
        its whole deadline (CARINA_TASKS_NODE_DEADLINE) otherwise.

        Args:
            node: Name of the node.
            seconds: For how long.
            reason: Why.
        """
        # First the user: a Redis at its memory limit takes no new key.
        self.remove(node)
        with connection(self._app) as client:
            pipe = client.pipeline(transaction=False)
            pipe.set(CUT_OFF + node, reason, px=max(1, int(seconds * 1000)))
            failure = {"exc_type": "NodeCutOff", "exc_message": [reason], "exc_module": ""}
            answer = json.dumps({"status": "FAILURE", "result": failure})
            for key in _slots(node):
                pipe.set(key, answer, ex=ANSWERED_FOR)
            pipe.execute()

    def cut_off_for(self, node: str) -> float:
        """Return the seconds for which a node is cut off yet; 0 when it is not."""
        with connection(self._app) as client:
            left = int(client.pttl(CUT_OFF + node))
        return max(0.0, left / 1000)

    def cut_off_nodes(self, nodes: Sequence[str]) -> frozenset[str]:
        """Return those of `nodes` that are cut off."""
        with connection(self._app) as client:
            pipe = client.pipeline(transaction=False)
            for node in nodes:
                pipe.pttl(CUT_OFF + node)
            return frozenset(n for n, left in zip(nodes, pipe.execute(), strict=True) if left > 0)

    def default_is_off(self) -> bool:
        """Return whether the user `default` is off: who has not logged in may do nothing then."""
        with connection(self._app) as client:
            lines = [_text(one) for one in client.execute_command("ACL", "LIST")]
        return any(line.split()[:3] == ["user", "default", "off"] for line in lines)

    def clients(self) -> list[dict[str, str]]:
        """Return every connection of the server: id, addr, user, age, tot-mem and cmd."""
        with connection(self._app) as client:
            text = _text(client.execute_command("CLIENT", "LIST"))
        return [
            {key: value for key, value in _FIELD.findall(line) if key in _FIELDS}
            for line in text.splitlines()
        ]

    def close(self, ids: Iterable[int]) -> None:
        """Close connections by their ids."""
        with connection(self._app) as client:
            pipe = client.pipeline(transaction=False)
            for one in ids:
                pipe.execute_command("CLIENT", "KILL", "ID", one)
            pipe.execute()

    def used_memory(self) -> int:
        """Return the bytes that Redis uses."""
        with connection(self._app) as client:
            return int(client.info("memory").get("used_memory") or 0)

    def memory(self, nodes: Sequence[str]) -> dict[str, int]:
        """Return the bytes that the keys of each node take."""
        with connection(self._app) as client:
            pipe = client.pipeline(transaction=False)
            for node in nodes:
                for key in _keys(node):
                    pipe.memory_usage(key)
            sizes = [int(one or 0) for one in pipe.execute()]
        each = ANSWER_SLOTS + 1
        return {node: sum(sizes[i * each : (i + 1) * each]) for i, node in enumerate(nodes)}


def _keys(node: str) -> list[str]:
    """Return every key that a node's user may write."""
    return [*_slots(node), KEY + node]


def _slots(node: str) -> list[str]:
    return [f"{RESULT_KEY}{node}:{slot}" for slot in range(ANSWER_SLOTS)]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
