"""What the enrolment service does.

It enrols nodes, keeps the users in step with the nodes, and cuts off a node that takes more of
Redis than it may.

It keeps no state that another replica would lack: passwords are derived, and who is cut off is in
Redis.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from carina_tasks.enrolment import bounds, passwords, verdict
from carina_tasks.errors import ApiDenied, CarinaTasksError, TransientError
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import Audit, about_node
from carina_tasks.settings import Settings
from carina_tasks.store.acl_users import AclUsers

GROWTH: Final = 8 << 20
"""Bytes by which Redis must have grown before the keys of all nodes are measured again."""
MEASURED_EVERY: Final = 30.0
"""Seconds after which they are measured in any case."""


class Cluster(Protocol):
    """What the service asks the API server; each method raises ApiUnavailable or ApiDenied."""

    def review(self, token: str) -> verdict.Review:
        """Return what the API server says of a token."""

    def node(self, name: str) -> verdict.Node | None:
        """Return a node, None when there is none of that name."""

    def nodes(self) -> dict[str, str]:
        """Return the UIDs of all nodes by name."""

    def pod(self, name: str) -> verdict.Pod | None:
        """Return a pod of the node workers' namespace, None when there is none of that name."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A node has its user; `url` holds the password."""

    node: str
    url: str
    epoch: str


class Enrolment:
    """The service. Safe to share between threads."""

    def __init__(
        self,
        conf: Settings,
        key: bytes,
        cluster: Cluster,
        users: AclUsers,
        audit: Audit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conf, self._key, self._cluster, self._users = conf, key, cluster, users
        self._audit, self._clock = audit, clock
        self._rules = verdict.Rules(conf.enrolment_audience, conf.namespace, conf.enrolment_account)
        self._limits = bounds.Limits(conf.node_connections, conf.node_memory)
        self._rates = bounds.Rates(conf.enrolment_rate)
        self._lock = threading.Lock()
        self._log = structlog.get_logger()
        self._measured = (float("-inf"), 0)
        self._sizes: dict[str, int] = {}

    def enrol(self, authorization: str) -> Enrolled | verdict.Refused:
        """Give the node of a token its Redis user.

        Args:
            authorization: The header Authorization.
        """
        try:
            found = self._enrol(authorization)
        except ApiDenied as exc:
            self._log.error("enrolment: the API server refuses this service", error=exc.message)
            found = verdict.Refused(
                503, "unavailable", "the API server refuses the enrolment service", 30
            )
        except CarinaTasksError as exc:
            self._log.warning("enrolment: not possible now", error=exc.message)
            what = "try again" if isinstance(exc, TransientError) else "see the service's log"
            found = verdict.Refused(503, "unavailable", f"no answer is possible now: {what}", 5)
        if isinstance(found, verdict.Refused):
            metrics.ENROLMENTS.labels(found.outcome).inc()
            self._log.warning("enrolment refused", reason=found.reason, status=found.status)
        else:
            metrics.ENROLMENTS.labels("enrolled").inc()
        return found

    def _enrol(self, authorization: str) -> Enrolled | verdict.Refused:
        token = verdict.token_of(authorization)
        if isinstance(token, verdict.Refused):
            return token
        who = verdict.identify(self._cluster.review(token), self._rules)
        if isinstance(who, verdict.Refused):
            return who
        name = who.node or verdict.node_of_pod(who, self._cluster.pod(who.pod))
        if isinstance(name, verdict.Refused):
            return name
        admitted = verdict.admit(who, name, self._node(name))
        if isinstance(admitted, verdict.Refused):
            return admitted
        node = admitted.node
        with self._lock:
            wait = self._rates.wait(node.name, self._clock())
        refused = verdict.not_now(node.name, self._users.cut_off_for(node.name), wait)
        if refused:
            return refused
        secrets = self._passwords(node)
        self._users.put({node.name: secrets})
        epoch = self._conf.enrolment_epochs[0]
        self._audit.noted(
            "enrol-node", f"node {node.name} enrolled", object=node.name, pod=who.pod, epoch=epoch
        )
        url = passwords.url_of(self._conf.enrolment_broker_url, node.name, secrets[0])
        return Enrolled(node.name, url, epoch)

    def reconcile(self) -> None:
        """Make the users of all nodes, and remove those of nodes that are gone.

        Raises:
            ApiUnavailable: The nodes cannot be listed: nothing is changed.
            BrokerUnavailable: Redis does not answer.
        """
        # Users before nodes: a node that enrols in between is in the list.
        known = self._users.names()
        nodes = {n: uid for n, uid in self._cluster.nodes().items() if self._is_node(n, uid)}
        if known and not nodes:
            self._log.error("enrolment: the API server lists no node; no user is removed")
            return
        for gone in sorted(known.keys() - nodes.keys()):
            self._users.remove(gone)
            self._audit.noted(
                "remove-node-user", f"node {gone} is gone: its Redis user is", object=gone
            )
        wanted = {n: self._passwords(verdict.Node(n, uid)) for n, uid in nodes.items()}
        cut_off = self._users.cut_off_nodes(sorted(wanted))
        allowed = {n: w for n, w in wanted.items() if n not in cut_off}
        self._users.put(allowed)
        for name in sorted(known.keys() & allowed.keys()):
            if known[name] - self._users.digests(allowed[name]):
                # Somebody knows a password that is not valid any more, and is still connected.
                self._users.disconnect(name)

    def supervise(self) -> None:
        """Look once at what each node takes of Redis, and cut off who takes too much.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        found = [_connection(one) for one in self._users.clients()]
        self._close(bounds.strangers(found, self._users.default_is_off()))
        names = self._users.names()
        self._measure(sorted(names))
        for node in sorted(names):
            own = [one for one in found if one.user == node]
            memory = self._sizes.get(node, 0) + sum(one.memory for one in own)
            judged = bounds.judge(len(own), memory, self._limits)
            if isinstance(judged, bounds.Floods):
                self._cut_off(node, judged.reason)

    def _close(self, strangers: bounds.Strangers) -> None:
        if not strangers.ids:
            return
        self._users.close(strangers.ids)
        metrics.STRANGERS.inc(len(strangers.ids))
        for source, many in sorted(strangers.crowds.items()):
            # Said each second for as long as it lasts: the only sign of where it comes from.
            self._log.warning(
                "Redis: closed the connections of one address on which nobody logs in",
                address=source,
                connections=many,
            )

    def _cut_off(self, node: str, reason: str) -> None:
        seconds = self._conf.cut_off_time
        self._users.cut_off(node, seconds, reason)
        self._sizes.pop(node, None)
        metrics.CUT_OFF.labels(node).set_to_current_time()
        self._audit.warn(
            about_node(node),
            "NodeCutOff",
            f"Cut off from Redis for {seconds:.0f} s: {reason}. Look for what else uses this "
            "node's access.",
            node=node,
        )

    def _measure(self, nodes: list[str]) -> None:
        """Measure the keys of all nodes when Redis has grown, or the last time is long ago."""
        now, used = self._clock(), self._users.used_memory()
        then, before = self._measured
        if now - then < MEASURED_EVERY and used < before + GROWTH:
            # The lowest counts: what others have given back is no room for a flood.
            self._measured = (then, min(before, used))
            return
        self._sizes = self._users.memory(nodes)
        self._measured = (now, used)

    def _node(self, name: str) -> verdict.Node | None:
        return self._cluster.node(name) if name else None

    def _is_node(self, name: str, uid: str) -> bool:
        found = verdict.Identified(name, uid, "", "", "")
        return isinstance(verdict.admit(found, name, verdict.Node(name, uid)), verdict.Admitted)

    def _passwords(self, node: verdict.Node) -> tuple[str, ...]:
        return passwords.passwords(self._key, node.name, node.uid, self._conf.enrolment_epochs)


def _connection(fields: dict[str, str]) -> bounds.Connection:
    return bounds.Connection(
        id=int(fields.get("id", 0)),
        user=fields.get("user", ""),
        age=float(fields.get("age", 0)),
        memory=int(fields.get("tot-mem", 0)),
        said=fields.get("cmd", "NULL") != "NULL",
        source=fields.get("addr", "").rpartition(":")[0],
    )
