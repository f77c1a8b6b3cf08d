"""May this token enrol, and as which node? Pure functions on frozen values.

Sources: Kubernetes "TokenReview" (authentication.k8s.io/v1) and "Authenticating", section "Service
account tokens": the extra fields ``authentication.kubernetes.io/…`` of a token that is bound to a
pod.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from carina_tasks.errors import BadInput
from carina_tasks.model import names
from carina_tasks.store.acl_rules import RESERVED

LONGEST_TOKEN: Final = 8192
"""Characters of a token. One of a projected volume has about 1200."""
EXTRA: Final = "authentication.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class Review:
    """What the API server says of a token."""

    authenticated: bool
    user: str = ""
    audiences: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def one(self, key: str) -> str:
        """Return the one value of an extra field, empty when there is none or more than one."""
        found = self.extra.get(EXTRA + key, ())
        return found[0] if len(found) == 1 else ""


@dataclass(frozen=True, slots=True)
class Rules:
    """Which tokens are taken."""

    audience: str
    namespace: str
    account: str

    @property
    def user(self) -> str:
        """The user name of the service account."""
        return f"system:serviceaccount:{self.namespace}:{self.account}"


@dataclass(frozen=True, slots=True)
class Node:
    """A node that the API server knows now."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod of a token, as the API server shows it now."""

    name: str
    uid: str
    node: str


@dataclass(frozen=True, slots=True)
class Identified:
    """The token is of a node worker's pod; `node` is empty when only the pod can tell."""

    node: str
    node_uid: str
    pod: str
    pod_uid: str
    reason: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """The node may enrol."""

    node: Node
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It may not. `status` is the HTTP status, `outcome` a label of the metric."""

    status: int
    outcome: str
    reason: str
    retry_after: int = 0
    """Seconds after which it is worth asking again; 0: unknown."""


def unauthenticated(reason: str) -> Refused:
    """Return the refusal of a token that proves nothing."""
    return Refused(401, "unauthenticated", reason)


def forbidden(reason: str) -> Refused:
    """Return the refusal of somebody who is known and may not."""
    return Refused(403, "forbidden", reason)


def token_of(header: str) -> str | Refused:
    """Return the token in the header Authorization, before anybody is asked about it."""
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        return unauthenticated("send the pod's token as `Authorization: Bearer TOKEN`")
    if len(token) > LONGEST_TOKEN or not token.isascii() or token.count(".") != 2:
        return unauthenticated("that is no service-account token")
    return token


def identify(review: Review, rules: Rules) -> Identified | Refused:
    """Judge what the API server says of the token.

    The audience is checked here too: an API server that does not know audiences answers without
    any, and then the token may be one for the API server itself.
    """
    if not review.authenticated:
        return unauthenticated(
            "the API server does not accept the token (expired, of a deleted pod, or of another "
            f"audience than {rules.audience!r})"
        )
    if rules.audience not in review.audiences:
        return unauthenticated(f"the token is not made for the audience {rules.audience!r}")
    if review.user != rules.user:
        return forbidden(f"the token is of {review.user[:200]!r}, not of {rules.user!r}")
    pod, pod_uid = review.one("pod-name"), review.one("pod-uid")
    if not pod or not pod_uid:
        return forbidden("the token is bound to no pod: it is not of a projected volume")
    return Identified(
        review.one("node-name"), review.one("node-uid"), pod, pod_uid, f"token of pod {pod}"
    )


def node_of_pod(found: Identified, pod: Pod | None) -> str | Refused:
    """Return the node of the token's pod, for an API server before 1.30 that does not name it."""
    if pod is None or pod.uid != found.pod_uid:
        return forbidden(f"pod {found.pod} does not exist any more")
    if not pod.node:
        return forbidden(f"pod {found.pod} is on no node")
    return pod.node


def admit(found: Identified, name: str, node: Node | None) -> Admitted | Refused:
    """Judge the node that the token names.

    Args:
        found: Who showed the token.
        name: Name of the node.
        node: The node as the API server has it now, None when there is none.
    """
    try:
        names.node_name(name)
    except BadInput as exc:
        return forbidden(exc.message)
    if name in RESERVED:
        return forbidden(f"{name!r} is the name of a Redis user that is no node's")
    if node is None or node.name != name:
        return forbidden(f"node {name} does not exist")
    if not node.uid:
        return forbidden(f"node {name} has no UID")
    if found.node_uid and found.node_uid != node.uid:
        return forbidden(f"the token is of an earlier node {name}: that one has been deleted")
    return Admitted(node, found.reason)


def not_now(node: str, cut_off_for: float, wait: float) -> Refused | None:
    """Refuse a node that was cut off, or that asks too often; None lets it in.

    Args:
        node: Name of the node.
        cut_off_for: Seconds for which it stays cut off; 0: it is not.
        wait: Seconds until its next enrolment is due by its rate; 0: now.
    """
    if cut_off_for > 0:
        seconds = math.ceil(cut_off_for)
        return Refused(
            429, "cut-off", f"node {node} is cut off from Redis for {seconds} s more", seconds
        )
    if wait > 0:
        seconds = math.ceil(wait)
        return Refused(429, "limited", f"node {node} enrols too often: wait {seconds} s", seconds)
    return None
