"""The ConfigMap that holds what the operator decided.

Whether carina-tasks is paused, which nodes are in maintenance, and why.

Every mutating task reads it first. A ConfigMap, because it outlives every process and the broker,
and anybody with kubectl can set it when nothing else works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from carina_tasks.errors import BadObject, CarinaTasksError, NotFound
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api
from carina_tasks.kube.events import About
from carina_tasks.model import maintenance, well_known
from carina_tasks.model.maintenance import Maintenance


@dataclass(frozen=True, slots=True)
class OperatorState:
    """What the operator, or a guard on the operator's behalf, decided."""

    paused: str
    """Why everything is paused; empty when it is not."""
    latched: str
    """Why the mass-failure guard stopped everything; empty when it did not."""
    approved: frozenset[str] = frozenset()
    """The lost nodes that the operator approved by resuming: the guard does not stop for these
    again.
    """
    maintenance: Mapping[str, Maintenance] = field(default_factory=dict)
    """Nodes in maintenance: nothing of them is failed over."""


class StateMap:
    """Reads and writes the state."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace

    def read(self) -> OperatorState:
        """Return the state; without a ConfigMap nothing is paused.

        An error is an error, never `not paused`.
        """
        try:
            data = (
                self._api.get(paths.config_map(self._namespace, well_known.STATE_CONFIG_MAP)).get(
                    "data"
                )
                or {}
            )
        except NotFound:
            data = {}
        if not isinstance(data, dict):
            raise BadObject(f"ConfigMap {well_known.STATE_CONFIG_MAP}: its data is no mapping")
        return OperatorState(
            paused=str(data.get("paused") or ""),
            latched=str(data.get("latched") or ""),
            approved=frozenset(filter(None, str(data.get("approved") or "").split(","))),
            maintenance={
                (node := key.removeprefix(maintenance.PREFIX)): maintenance.parse(node, str(text))
                for key, text in sorted(data.items())
                if key.startswith(maintenance.PREFIX)
            },
        )

    def user(self) -> str:
        """Return the user as which the API server knows this process; empty when it does not say.

        Source: SelfSubjectReview (authentication.k8s.io/v1), which each user may create.
        """
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = self._api.create(paths.WHO_AM_I, body)
        except CarinaTasksError:
            return ""
        status = answer.get("status")
        user = status.get("userInfo") if isinstance(status, dict) else None
        return str(user.get("username") or "") if isinstance(user, dict) else ""

    def write(self, **changes: str | None) -> About:
        """Set (text) or clear (None) keys; return the ConfigMap, for an Event about it.

        They are ``paused``, ``latched``, ``approved`` (node names, comma separated), ``resumed``
        (who ended the last stop, and when) and ``maintenance.<node>`` (`Maintenance.to_json`).
        """
        try:
            written = self._api.merge(
                paths.config_map(self._namespace, well_known.STATE_CONFIG_MAP),
                {"data": dict(changes)},
            )
        except NotFound:
            body = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": well_known.STATE_CONFIG_MAP},
                "data": {key: value for key, value in changes.items() if value},
            }
            written = self._api.create(paths.config_maps(self._namespace), body)
        metadata = written.get("metadata")
        uid = str(metadata.get("uid") or "") if isinstance(metadata, dict) else ""
        return About("ConfigMap", well_known.STATE_CONFIG_MAP, uid, self._namespace)
