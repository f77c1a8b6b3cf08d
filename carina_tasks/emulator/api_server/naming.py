"""What Kubernetes allows as a name, a label, an annotation key and a finalizer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from .errors import JSON, Cause, forbidden_value, invalid_value, required

_LABEL_RE = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_RE = rf"{_LABEL_RE}(\.{_LABEL_RE})*"
_QUALIFIED_RE = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE_RE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"

_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_SUBDOMAIN_RE}')"
)
_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    f"for validation is '{_LABEL_RE}')"
)
_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    f"'12345', regex used for validation is '{_VALUE_RE}')"
)
_QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_QUALIFIED_RE}')"
)
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def name_problem(name: str, *, label: bool) -> str:
    """Return what is wrong with an object's name, or "".

    `label` for kinds whose name is a DNS label.
    """
    pattern, message, limit = (_LABEL_RE, _LABEL, 63) if label else (_SUBDOMAIN_RE, _SUBDOMAIN, 253)
    if len(name) > limit:
        return f"must be no more than {limit} characters"
    return "" if re.fullmatch(pattern, name) else message


def _qualified_problem(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if slash and not re.fullmatch(_SUBDOMAIN_RE, prefix):
        return f"prefix part {_SUBDOMAIN}"
    if len(name) > 63:
        return "name part must be no more than 63 characters"
    return "" if re.fullmatch(_QUALIFIED_RE, name) else _QUALIFIED


def metadata_causes(
    obj: JSON, old: JSON | None, *, label_name: bool, standard_finalizers: bool
) -> list[Cause]:
    """Check an object's metadata as the API server does for every kind."""
    metadata = obj["metadata"]
    causes: list[Cause] = []
    if old is None:
        name = metadata.get("name") or ""
        if not name:
            causes.append(required("metadata.name", "name or generateName is required"))
        elif problem := name_problem(name, label=label_name):
            causes.append(invalid_value("metadata.name", json.dumps(name), problem))
    labels: Mapping[str, str] = metadata.get("labels") or {}
    for key, value in labels.items():
        if problem := _qualified_problem(key):
            causes.append(invalid_value("metadata.labels", json.dumps(key), problem))
        if len(value) > 63:
            causes.append(
                invalid_value(
                    "metadata.labels", json.dumps(value), "must be no more than 63 characters"
                )
            )
        elif not re.fullmatch(_VALUE_RE, value):
            causes.append(invalid_value("metadata.labels", json.dumps(value), _VALUE))
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    for key in annotations:
        if problem := _qualified_problem(key.lower()):
            causes.append(invalid_value("metadata.annotations", json.dumps(key), problem))
    finalizers: list[str] = metadata.get("finalizers") or []
    for finalizer in finalizers:
        if problem := _qualified_problem(finalizer):
            causes.append(invalid_value("metadata.finalizers", json.dumps(finalizer), problem))
        elif standard_finalizers and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            causes.append(invalid_value("metadata.finalizers", json.dumps(finalizer), detail))
    if old is not None:
        causes += _update_causes(metadata, old["metadata"], finalizers)
    return causes


def _update_causes(metadata: JSON, before: JSON, finalizers: list[str]) -> list[Cause]:
    causes: list[Cause] = []
    if metadata.get("uid") != before.get("uid"):
        causes.append(
            invalid_value("metadata.uid", json.dumps(metadata.get("uid", "")), "field is immutable")
        )
    added = [item for item in finalizers if item not in (before.get("finalizers") or [])]
    if before.get("deletionTimestamp") and added:
        listed = ", ".join(json.dumps(item) for item in added)
        why = (
            "no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{listed}}}"
        )
        causes.append(forbidden_value("metadata.finalizers", why))
    return causes
