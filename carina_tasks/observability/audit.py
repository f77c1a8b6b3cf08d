"""Every irreversible act is an audit record.

A structured log line, a Kubernetes Event and a metric.
"""

from __future__ import annotations

from typing import Literal

import structlog

from carina_tasks.kube.events import About, Events
from carina_tasks.model.objects import Claim, LogicVolume, PersistentVolume, Pod
from carina_tasks.observability import metrics
from carina_tasks.observability.logs import AUDIT


class Audit:
    """Records acts, refusals and warnings."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._log = structlog.get_logger(AUDIT)

    def acted(
        self,
        action: str,
        about: About,
        message: str,
        reason: str,
        key: str = "",
        *,
        type_: Literal["Normal", "Warning"] = "Normal",
        related: About | None = None,
        wait: bool = False,
        **facts: str | int,
    ) -> None:
        """Record something that was done and cannot be undone; `reason` is the Event's (CamelCase).

        `key` distinguishes acts of one reason on one object (default: the volume among the facts);
        only the newest of one key is seen on the object.

        Args:
            action: What was done, a label of the metric.
            about: The object that it is about.
            message: The message, for users.
            reason: The Event's reason.
            key: Distinguishes Events of one object and reason.
            type_: ``Warning`` when data was lost.
            related: The other object that it concerns.
            wait: Whether the Event is written when this returns, because it must not be lost.
            **facts: Further fields of the log line.
        """
        metrics.AUDIT.labels(action).inc()
        self._log.info(message, action=action, object=about.name, **facts)
        key = key or str(facts.get("volume", ""))
        self._events.say(about, type_, reason, message, key, related=related, wait=wait)

    def noted(self, action: str, message: str, **facts: str | int) -> None:
        """Record an act that concerns no object's Events: a log line and the metric.

        Args:
            action: What was done, a label of the metric.
            message: The message, for users.
            **facts: Further fields of the log line.
        """
        metrics.AUDIT.labels(action).inc()
        self._log.info(message, action=action, **facts)

    def warn(
        self,
        about: About,
        reason: str,
        message: str,
        *,
        type_: Literal["Normal", "Warning"] = "Warning",
        **facts: str | int,
    ) -> None:
        """Record something that the operator should look at.

        Args:
            about: The object that it is about.
            reason: The Event's reason.
            message: The message, for users.
            type_: The Event's type; ``Normal`` for what usually ends without the operator.
            **facts: Further fields of the log line.
        """
        self._log.warning(message, reason=reason, object=about.name, **facts)
        self._events.say(about, type_, reason, message, wait=False)

    def guarded(self, guard: str, message: str, about: About | None = None) -> None:
        """Record that a guard refused.

        Args:
            guard: Name of the guard, a label of the metric.
            message: The message, for users.
            about: The object that it is about.
        """
        metrics.GUARDS.labels(guard).inc()
        self._log.warning(message, guard=guard)
        if about is not None:
            self._events.say(about, "Warning", "CarinaTasksRefused", message, guard, wait=False)

    def event(
        self,
        about: About,
        type_: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        key: str = "",
        *,
        related: About | None = None,
        wait: bool = False,
    ) -> None:
        """Write only an Event: the act itself is recorded elsewhere.

        Args:
            about: The object that it is about.
            type_: ``Normal`` or ``Warning``.
            reason: The Event's reason.
            message: The message, for users.
            key: Distinguishes Events of one object and reason.
            related: The other object that it concerns.
            wait: Whether the Event is written when this returns.
        """
        self._events.say(about, type_, reason, message, key, related=related, wait=wait)


def about_volume(logic_volume: LogicVolume) -> About:
    """Return the reference to a LogicVolume."""
    return About(
        "LogicVolume", logic_volume.name, logic_volume.meta.uid, api_version="carina.storage.io/v1"
    )


def about_claim(claim: Claim) -> About:
    """Return the reference to a claim."""
    return About("PersistentVolumeClaim", claim.meta.name, claim.meta.uid, claim.meta.namespace)


def about_pv(pv: PersistentVolume) -> About:
    """Return the reference to a PersistentVolume."""
    return About("PersistentVolume", pv.meta.name, pv.meta.uid)


def about_pod(pod: Pod) -> About:
    """Return the reference to a pod."""
    return About("Pod", pod.meta.name, pod.meta.uid, pod.meta.namespace)


def about_node(name: str) -> About:
    """Return the reference to a node, which need not exist any more."""
    return About("Node", name, name)
