"""Reads the admission policy that denies Carina's own failover (deploy/admission)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from carina_tasks.errors import ApiDenied, ApiUnavailable, NotFound
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api, Raw
from carina_tasks.model.admission import AdmissionPolicy

_CONDITION = re.compile(r"""\s*request\.userInfo\.username\s*==\s*(["'])([^"'\\]+)\1\s*""")
_OPERATIONS = {"DELETE": ("delete",), "CREATE": ("create",), "*": ("create", "delete")}


def policy(api: Api) -> AdmissionPolicy | None:
    """Return the policy; None when there is none or it may not be read.

    None as well from an API server that has no such kind (below Kubernetes 1.30).

    Raises:
        ApiUnavailable: The API server did not answer.
    """
    if not _is_served(api):
        return None
    try:
        spec = _spec(api.get(paths.ADMISSION_POLICY))
    except (NotFound, ApiDenied):
        return None
    try:
        bound = _is_bound(_spec(api.get(paths.ADMISSION_BINDING)))
    except (NotFound, ApiDenied):
        bound = False
    return AdmissionPolicy(_account(spec), _denied(spec), bound)


def _is_served(api: Api) -> bool:
    """Return whether the API server has the kind.

    Asked first: a 404 for a kind that is not served is no proof of absence, and so an error.
    """
    try:
        found = api.get(paths.ADMISSION).get("resources") or ()
    except (NotFound, ApiUnavailable):
        return False
    return "validatingadmissionpolicies" in {one.get("name") for one in found}


def _spec(raw: Raw) -> Mapping[str, Any]:
    return raw.get("spec") or {}


def _account(spec: Mapping[str, Any]) -> str:
    """Return the user of the only condition; empty for any other condition.

    CEL is not evaluated: a condition that does not read as ours could mean anything.
    """
    conditions = spec.get("matchConditions") or []
    if len(conditions) != 1:
        return ""
    found = _CONDITION.fullmatch(str(conditions[0].get("expression")))
    return found[2] if found else ""


def _denied(spec: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Return resource and verb of what is denied whatever the object is, in every namespace."""
    validations = spec.get("validations") or ()
    constraints = spec.get("matchConstraints") or {}
    # One that is false is enough: all of them must hold.
    denies = any(str(one.get("expression")).strip() == "false" for one in validations)
    if not denies or spec.get("failurePolicy") == "Ignore" or spec.get("paramKind"):
        return frozenset()
    if _is_narrowed(constraints):
        return frozenset()
    return frozenset(
        (resource, verb)
        for rule in constraints.get("resourceRules") or ()
        if {"", "*"} & set(rule.get("apiGroups") or ())
        and {"v1", "*"} & set(rule.get("apiVersions") or ())
        and rule.get("scope") in (None, "*", "Namespaced")
        and not rule.get("resourceNames")
        for resource in rule.get("resources") or ()
        for operation in rule.get("operations") or ()
        for verb in _OPERATIONS.get(operation, ())
    )


def _is_bound(spec: Mapping[str, Any]) -> bool:
    return (
        spec.get("policyName") == paths.ADMISSION_NAME
        and "Deny" in (spec.get("validationActions") or ())
        and not _is_narrowed(spec.get("matchResources") or {})
        and not (spec.get("matchResources") or {}).get("resourceRules")
    )


def _is_narrowed(match: Mapping[str, Any]) -> bool:
    """Return whether a selector or an exclusion leaves something out.

    An empty selector does not.
    """
    return any(
        match.get(key) for key in ("namespaceSelector", "objectSelector", "excludeResourceRules")
    )
