"""Delete: preconditions, grace periods, finalizers, collections, eviction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from . import durations
from .cluster import Cluster, Target
from .errors import JSON, StatusError, bad_request, forbidden
from .kinds import DEFINITIONS, NAMESPACES
from .selectors import Selection
from .store import clone


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a caller may ask of a deletion.

    Propagation is accepted and nothing follows from it (no garbage collector).
    """

    grace: int | None = None
    uid: str | None = None
    version: str | None = None
    dry_run: bool = False


DEFAULT = DeleteOptions()


def parse_options(body: Any, query: dict[str, str]) -> DeleteOptions:
    """Read DeleteOptions from a body, or from the query where there is none.

    StatusError 400 for nonsense.
    """
    body = body or {}
    if not isinstance(body, dict):
        raise bad_request("the body of a deletion is not DeleteOptions")
    grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    try:
        seconds = int(grace) if grace is not None else None
    except (TypeError, ValueError) as error:
        raise bad_request(f"gracePeriodSeconds is not a number: {grace!r}") from error
    preconditions = body.get("preconditions") or {}
    dry_run = body.get("dryRun") or query.get("dryRun")
    return DeleteOptions(
        seconds, preconditions.get("uid"), preconditions.get("resourceVersion"), bool(dry_run)
    )


def delete(cluster: Cluster, target: Target, options: DeleteOptions = DEFAULT) -> JSON:
    """Delete an object, now or when its grace and finalizers allow.

    Return what the caller is answered.
    """
    resource = target.resource
    obj = target.resource.to_stored(cluster.get(target))
    metadata = obj["metadata"]
    _check_preconditions(target, metadata, options)
    if resource is NAMESPACES and target.name in ("default", "kube-system"):
        raise forbidden("namespaces", "", target.name, "this namespace may not be deleted")
    grace = resource.behaviour.grace(obj, options.grace)
    holding = bool(metadata.get("finalizers")) or bool(
        resource is NAMESPACES and obj.get("spec", {}).get("finalizers")
    )
    if metadata.get("deletionTimestamp"):
        left = metadata.get("deletionGracePeriodSeconds") or 0
        if options.grace is None or grace >= left:
            if left or holding:
                return obj
        elif holding or grace:
            return _mark(cluster, target, obj, grace, options)
    elif grace or holding:
        return _mark(cluster, target, obj, grace, options)
    if options.dry_run:
        return _answer(target, obj)
    if resource.behaviour.grace(
        obj, None
    ):  # a pod that its kubelet never let go ends with the grace it was given
        obj = _marked(obj, 0)
    remove(cluster, target, obj)
    return _answer(target, obj)


def _answer(target: Target, obj: JSON) -> JSON:
    resource = target.resource
    if resource.behaviour.returns_deleted:
        return obj
    details = {"name": target.name}
    if resource.group:
        details["group"] = resource.group
    details |= {"kind": resource.plural, "uid": obj["metadata"]["uid"]}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }


def _check_preconditions(target: Target, metadata: JSON, options: DeleteOptions) -> None:
    kind, why = target.resource.kind, ""
    if options.uid is not None and options.uid != metadata["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record "
            f"({metadata['uid']}). The object might have been deleted and then recreated"
        )
    elif options.version is not None and options.version != metadata["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.version}) does not match the "
            f"ResourceVersion in record ({metadata['resourceVersion']}). The object might have "
            "been modified"
        )
    if why:
        details = {"name": target.name, "kind": kind}
        if target.resource.group:
            details["group"] = target.resource.group
        message = (
            "Operation cannot be fulfilled on "
            f"{kind}{'.' + target.resource.group if target.resource.group else ''} "
            f'"{target.name}": {why}'
        )
        raise StatusError(409, "Conflict", message, details)


def _marked(obj: JSON, grace: int) -> JSON:
    marked: JSON = clone(obj)
    metadata = marked["metadata"]
    moment = datetime.now(UTC) + timedelta(seconds=grace)
    if not metadata.get("deletionTimestamp"):
        if metadata.get("generation"):
            metadata["generation"] += 1
        metadata["deletionTimestamp"] = durations.timestamp(moment)
    elif grace < (metadata.get("deletionGracePeriodSeconds") or 0):
        metadata["deletionTimestamp"] = durations.timestamp(moment)
    metadata["deletionGracePeriodSeconds"] = grace
    return marked


def _mark(cluster: Cluster, target: Target, obj: JSON, grace: int, options: DeleteOptions) -> JSON:
    marked = _marked(obj, grace)
    if target.resource is NAMESPACES:
        marked["metadata"].pop("deletionGracePeriodSeconds", None)
        marked["status"] = {**(marked.get("status") or {}), "phase": "Terminating"}
    return marked if options.dry_run else cluster.store.put(target.resource.id, target.key, marked)


def remove(cluster: Cluster, target: Target, last: JSON) -> None:
    """Take an object away; with a definition goes everything of its kind."""
    if target.resource is DEFINITIONS:
        for resource in [
            r for r in cluster.registry if r.custom and f"{r.plural}.{r.group}" == target.name
        ][:1]:
            for (namespace, name), obj in cluster.store.items(resource.id):
                remove(cluster, Target(resource, namespace, name), obj)
        cluster.registry.undefine(last)
    cluster.store.remove(target.resource.id, target.key, last)


def finish_if_released(cluster: Cluster, target: Target, obj: JSON) -> bool:
    """Remove an object whose last finalizer this write took away; return whether it is gone."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if target.resource is NAMESPACES and (obj.get("spec") or {}).get("finalizers"):
        return False
    if metadata.get("deletionGracePeriodSeconds"):
        return False
    remove(cluster, target, obj)
    return True


def delete_collection(
    cluster: Cluster, target: Target, selection: Selection, options: DeleteOptions = DEFAULT
) -> list[JSON]:
    """Delete all selected objects; return them."""
    page = cluster.page(target.resource, target.namespace, selection)
    for obj in page.objects:
        metadata = obj["metadata"]
        delete(
            cluster,
            Target(target.resource, metadata.get("namespace", ""), metadata["name"]),
            options,
        )
    return page.objects


def evict(cluster: Cluster, target: Target, body: Any) -> JSON:
    """Evict a pod: a deletion (there are no PodDisruptionBudgets here)."""
    options = body.get("deleteOptions") if isinstance(body, dict) else None
    delete(cluster, target, parse_options(options, {}))
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
