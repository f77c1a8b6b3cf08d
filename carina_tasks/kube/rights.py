"""The verbs of deploy/rbac.yaml, and whether the credentials at hand have them.

A table here because the manifest is no part of the package; a test compares the two.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import kubernetes
import msgspec

from carina_tasks.errors import ApiDenied, ApiUnavailable
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api
from carina_tasks.kube.kinds import Kind
from carina_tasks.model import published, shapes, well_known
from carina_tasks.model.meta import ObjectMeta, meta_of

CLIENT: str = kubernetes.__version__
REVIEWS = "/apis/authorization.k8s.io/v1"
CARINA = "carina.storage.io"
STATUSES = "tasks.carina.storage.io"
_ALL = (
    ("", "nodes", "get list watch"),
    ("", "pods", "list watch delete"),
    ("", "pods/status", "patch"),
    ("", "persistentvolumeclaims", "get list watch patch"),
    ("", "persistentvolumeclaims/status", "patch"),
    ("", "persistentvolumes", "get list watch create patch delete"),
    (CARINA, "logicvolumes", "get list watch patch delete"),
    (CARINA, "logicvolumes/status", "patch"),
    ("storage.k8s.io", "storageclasses", "list watch"),
    ("events.k8s.io", "events", "create"),
    ("", "events", "get list patch"),
    ("authorization.k8s.io", "subjectaccessreviews", "create"),
)


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource; `namespace` and `name` empty: all."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{'.' + self.group if self.group else ''}{where}"

    def attributes(self) -> dict[str, str]:
        """Return it as resourceAttributes of an access review."""
        resource, _, sub = self.resource.partition("/")
        found = {
            "group": self.group,
            "resource": resource,
            "subresource": sub,
            "verb": self.verb,
            "namespace": self.namespace,
            "name": self.name,
        }
        return {key: value for key, value in found.items() if value}


class _Program(msgspec.Struct, frozen=True, gc=False):
    """What runs in a pod, and as whom."""

    meta: ObjectMeta
    account: str
    carinas_controller: bool


def _program_of(found: shapes.PodProgram) -> _Program:
    meta, spec = meta_of(found), found.spec or shapes.ProgramSpec()
    words = (
        str(word) for one in spec.containers or () for word in (one.name, one.image, one.command)
    )
    return _Program(
        meta,
        f"system:serviceaccount:{meta.namespace}:{spec.service_account_name or 'default'}",
        any("carina-controller" in word for word in words),
    )


_PROGRAMS: Kind[_Program] = Kind("Pod", "pods", paths.PODS, shapes.PodProgram, _program_of)


def needed(namespace: str) -> tuple[Right, ...]:
    """Return what a control worker needs; `namespace` is the one of the ConfigMap."""
    rights = [
        Right(group, resource, verb) for group, resource, verbs in _ALL for verb in verbs.split()
    ]
    rights += [
        Right("", "configmaps", verb, namespace, well_known.STATE_CONFIG_MAP)
        for verb in ("get", "patch")
    ]
    rights.append(Right("", "configmaps", "create", namespace))
    rights += [
        Right(STATUSES, "failoverstatuses", verb, namespace, published.NAME)
        for verb in ("get", "patch")
    ]
    rights.append(Right(STATUSES, "failoverstatuses", "create", namespace))
    rights += [
        Right("admissionregistration.k8s.io", kind, "get", name=paths.ADMISSION_NAME)
        for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
    ]
    rights.append(Right("coordination.k8s.io", "leases", "get", "kube-node-lease"))
    return tuple(rights)


def missing(api: Api, rights: tuple[Right, ...]) -> list[Right]:
    """Return those of `rights` that these credentials lack.

    Raises:
        ApiUnavailable: Reviews are not answered.
    """
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda right: _allowed(api, "selfsubjectaccessreviews", right, {}), rights
        )
        return [right for right, allowed in zip(rights, answers, strict=True) if not allowed]


def has(api: Api, account: str, right: Right) -> bool | None:
    """Return whether the user `account` has a right; None when we may not ask.

    Args:
        api: The client of the API server.
        account: The user, ``system:serviceaccount:…``.
        right: The right.
    """
    try:
        return _allowed(api, "subjectaccessreviews", right, {"user": account})
    except (ApiDenied, ApiUnavailable):
        return None


def carinas_controllers(api: Api) -> list[str]:
    """Return the users (``system:serviceaccount:…``) of Carina's own controller."""
    found = api.read_all(_PROGRAMS).values.values()
    return sorted({one.account for one in found if one.carinas_controller})


def _allowed(api: Api, kind: str, right: Right, more: dict[str, str]) -> bool:
    names = {
        "selfsubjectaccessreviews": "SelfSubjectAccessReview",
        "subjectaccessreviews": "SubjectAccessReview",
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": names[kind],
        "spec": {"resourceAttributes": right.attributes(), **more},
    }
    return bool((api.create(f"{REVIEWS}/{kind}", body).get("status") or {}).get("allowed"))
