"""Create, replace, patch, and the subresources that write."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .cluster import Cluster, Target, as_version, new_uid, now
from .deletion import finish_if_released
from .errors import (
    JSON,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    invalid_value,
    not_found,
    unsupported_media_type,
)
from .kinds import DEFINITIONS, NAMESPACES
from .naming import metadata_causes
from .patches import (
    APPLY,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    json_patch,
    merge_patch,
    server_side_apply,
    strategic_merge,
    track_update,
)
from .schema import prune
from .store import clone

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # what generateName appends, as the API server has it
_SET_BY_SERVER = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "namespace",
    "name",
)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a caller may ask of a write."""

    manager: str = "unknown"
    dry_run: bool = False
    strict: bool = False
    """Unknown fields are refused instead of dropped."""
    force: bool = False
    """Server-side apply takes fields over from other managers."""


DEFAULT = WriteOptions()


def create(cluster: Cluster, target: Target, body: Any, options: WriteOptions = DEFAULT) -> JSON:
    """Create an object; StatusError 409 when the name is taken."""
    resource, behaviour = target.resource, target.resource.behaviour
    obj = _accept(target, body)
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise StatusError(500, "", "resourceVersion should not be set on objects to be created")
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"][:58] + "".join(
            random.choices(_SUFFIX, k=5)  # noqa: S311 - a name, no secret
        )
    target = Target(resource, target.namespace, metadata.get("name") or "")
    _check_namespace(cluster, target)
    metadata["uid"] = new_uid()
    metadata["creationTimestamp"] = now()
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"):
        metadata.pop(key, None)
    if behaviour.generation:
        metadata["generation"] = 1
    _prune(target, obj, options)
    obj = resource.to_stored(obj)
    behaviour.default(obj)
    behaviour.on_create(obj)
    _validate(target, obj, None)
    if cluster.store.get(resource.id, target.key) is not None:
        raise already_exists(resource.plural, resource.group, target.name)
    _track(target, obj, None, options)
    if options.dry_run:
        return as_version(obj, resource)
    if resource is DEFINITIONS:
        cluster.registry.define(obj)
    return as_version(cluster.store.put(resource.id, target.key, obj), resource)


def replace(
    cluster: Cluster, target: Target, body: Any, options: WriteOptions = DEFAULT
) -> tuple[JSON, bool]:
    """Replace an object, or create it where its kind allows that.

    Return it and whether it is new.
    """
    obj = _accept(target, body)
    name = obj["metadata"].get("name")
    if not name:
        raise bad_request("name must be provided")
    old = cluster.store.get(target.resource.id, target.key)
    if old is None:
        if not target.resource.behaviour.create_on_update or target.subresource:
            raise target.not_found()
        obj["metadata"].pop("resourceVersion", None)
        return create(cluster, target, obj, options), True
    if (
        not obj["metadata"].get("resourceVersion")
        and not target.resource.behaviour.unconditional_update
    ):
        cause = invalid_value("metadata.resourceVersion", "0x0", "must be specified for an update")
        raise invalid(target.resource.kind, target.resource.group, target.name, [cause])
    uid = obj["metadata"].get("uid")
    if uid and uid != old["metadata"]["uid"]:
        why = (
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
            f"{old['metadata']['uid']}"
        )
        raise conflict(target.resource.plural, target.resource.group, target.name, why)
    return update(cluster, target, obj, old, options), False


def update(
    cluster: Cluster,
    target: Target,
    obj: JSON,
    old: JSON,
    options: WriteOptions,
    *,
    applied: bool = False,
) -> JSON:
    """Make `obj`, a copy of its own, the new state of `old`, by the rules of its kind."""
    resource, behaviour = target.resource, target.resource.behaviour
    metadata, before = obj["metadata"], old["metadata"]
    version = metadata.get("resourceVersion")
    if version and version != before["resourceVersion"]:
        raise conflict(resource.plural, resource.group, target.name)
    sent_uid = metadata.get("uid")
    for key in _SET_BY_SERVER:
        if key in before:
            metadata[key] = before[key]
        else:
            metadata.pop(key, None)
    if sent_uid and sent_uid != before["uid"]:
        metadata["uid"] = sent_uid  # refused below, with the other causes
    metadata["resourceVersion"] = before["resourceVersion"]
    if target.subresource == "status":
        behaviour.on_status_write(obj, old)
    elif target.subresource != "finalize":
        behaviour.on_main_write(obj, old)
    _prune(target, obj, options)
    obj = resource.to_stored(obj)
    behaviour.default(obj)
    _validate(target, obj, old)
    if behaviour.generation and target.subresource != "status" and behaviour.changed(obj, old):
        metadata["generation"] = before.get("generation", 0) + 1
    if applied:
        if same(obj, old):
            obj["metadata"]["managedFields"] = before.get("managedFields", [])
    else:
        _track(target, obj, old, options)
    if obj == old or options.dry_run:
        return as_version(obj if options.dry_run else old, resource)
    if resource is DEFINITIONS:
        cluster.registry.define(obj)
    if finish_if_released(cluster, target, obj):
        return as_version(obj, resource)
    return as_version(cluster.store.put(resource.id, target.key, obj), resource)


def same(obj: JSON, old: JSON) -> bool:
    """Return whether only the times of managedFields differ."""

    def bare(some: JSON) -> JSON:
        entries = [
            {k: v for k, v in e.items() if k != "time"}
            for e in some["metadata"].get("managedFields") or []
        ]
        return {**some, "metadata": {**some["metadata"], "managedFields": entries}}

    return bare(obj) == bare(old)


def patch(
    cluster: Cluster, target: Target, content_type: str, body: Any, options: WriteOptions = DEFAULT
) -> tuple[JSON, bool]:
    """Patch an object by any of the four formats.

    Return it and whether server-side apply made it new.
    """
    resource = target.resource
    accepted = [JSON_PATCH, MERGE, *([] if resource.custom else [STRATEGIC]), APPLY]
    if content_type not in accepted:
        raise unsupported_media_type(accepted if content_type == STRATEGIC else ())
    old = cluster.store.get(resource.id, target.key)
    if content_type == APPLY:
        return _apply(cluster, target, body, old, options)
    if old is None:
        raise target.not_found()
    shown = as_version(old, resource)
    if content_type == JSON_PATCH:
        obj = json_patch(shown, body)
    else:
        if not isinstance(body, dict):
            raise bad_request("error decoding patch: the patch is not an object")
        merge: Callable[[Any, JSON], JSON] = (
            merge_patch if content_type == MERGE else strategic_merge
        )
        obj = clone(merge(shown, body))
    _check_identity(target, obj)
    return update(cluster, target, obj, old, options), False


def _apply(
    cluster: Cluster, target: Target, body: Any, old: JSON | None, options: WriteOptions
) -> tuple[JSON, bool]:
    config = _accept(target, body)
    if config["metadata"].get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    if old is None and target.subresource:
        raise target.not_found()
    if not config["metadata"].get("name"):
        config["metadata"]["name"] = target.name
    _check_identity(target, config)
    version = config["metadata"].get("resourceVersion")
    if version and (old is None or version != old["metadata"]["resourceVersion"]):
        raise conflict(target.resource.plural, target.resource.group, target.name)
    merged = clone(
        server_side_apply(
            as_version(old, target.resource) if old is not None else None,
            config,
            manager=options.manager,
            subresource=target.subresource,
            force=options.force,
            now=now(),
            keyed_lists=not target.resource.custom,
        )
    )
    if old is not None:
        return update(cluster, target, merged, old, options, applied=True), False
    return create(cluster, target, merged, options), True


def _accept(target: Target, body: Any) -> JSON:
    """Return a copy of a body that may stand for the target; StatusError 400 otherwise."""
    resource = target.resource
    if not isinstance(body, dict):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): not an object"
        )
    obj: JSON = clone(body)
    if resource.custom and not obj.get("kind"):
        why = "Object 'Kind' is missing"
        raise bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): {why}"
        )
    kind, api_version = (
        obj.setdefault("kind", resource.kind),
        obj.setdefault("apiVersion", resource.api_version),
    )
    if api_version != resource.api_version:
        raise bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    if kind != resource.kind:
        raise bad_request(
            f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        )
    metadata = obj.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise bad_request("metadata is not an object")
    obj["metadata"] = metadata
    for key in ("labels", "annotations"):
        values = metadata.get(key)
        if values is not None and not (
            isinstance(values, dict) and all(isinstance(value, str) for value in values.values())
        ):
            raise bad_request(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a '
                f"{resource.kind}: "
                f"metadata.{key} must be a map of strings"
            )
        if not values:
            metadata.pop(key, None)
    if resource.namespaced:
        if metadata.setdefault("namespace", target.namespace) != target.namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
    else:
        metadata.pop("namespace", None)
    if target.name and metadata.get("name"):
        _check_identity(target, obj)
    return obj


def _check_identity(target: Target, obj: JSON) -> None:
    name = obj["metadata"].get("name") if isinstance(obj.get("metadata"), dict) else None
    if name != target.name:
        raise bad_request(
            f"the name of the object ({name or ''}) does not match the name on the URL "
            f"({target.name})"
        )
    for key in ("labels", "annotations", "finalizers", "ownerReferences"):
        if key in obj["metadata"] and not obj["metadata"][key]:
            del obj["metadata"][key]


def _check_namespace(cluster: Cluster, target: Target) -> None:
    if not target.resource.namespaced:
        return
    namespace = cluster.store.get(NAMESPACES.id, ("", target.namespace))
    if namespace is None:
        raise not_found("namespaces", "", target.namespace)
    if namespace["metadata"].get("deletionTimestamp"):
        why = (
            f"unable to create new content in namespace {target.namespace} because it is being "
            "terminated"
        )
        raise forbidden(target.resource.plural, target.resource.group, target.name, why)


def _prune(target: Target, obj: JSON, options: WriteOptions) -> None:
    resource = target.resource
    if resource.schema is None:
        return
    dropped = prune(obj, resource.schema)
    if dropped and options.strict:
        listed = ", ".join(f'unknown field "{field}"' for field in dropped)
        raise bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a '
            f"{resource.kind}: "
            f"strict decoding error: {listed}"
        )


def _validate(target: Target, obj: JSON, old: JSON | None) -> None:
    behaviour = target.resource.behaviour
    causes = metadata_causes(
        obj, old, label_name=behaviour.label_name, standard_finalizers=behaviour.standard_finalizers
    )
    causes += behaviour.validate(obj, old)
    if causes:
        raise invalid(target.resource.kind, target.resource.group, target.name, causes)


def _track(target: Target, obj: JSON, old: JSON | None, options: WriteOptions) -> None:
    if old is None and obj["metadata"].get("managedFields"):
        return  # server-side apply has recorded itself
    track_update(
        obj,
        old,
        manager=options.manager,
        subresource=target.subresource,
        now=now(),
        keyed_lists=not target.resource.custom,
    )
