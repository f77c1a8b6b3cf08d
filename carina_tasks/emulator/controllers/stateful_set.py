"""A StatefulSet as its controller reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carina_tasks.model.objects import ObjectMeta, parse_meta


@dataclass(frozen=True, slots=True)
class StatefulSet:
    """Replicas, the pod template, and the claims that each pod gets.

    Both templates are raw JSON.
    """

    meta: ObjectMeta
    replicas: int
    template: Mapping[str, Any]
    claim_templates: tuple[Mapping[str, Any], ...]
    status: Mapping[str, Any]


def parse_stateful_set(raw: Mapping[str, Any]) -> StatefulSet:
    """Return a StatefulSet. Raises BadObject."""
    spec = raw.get("spec") or {}
    return StatefulSet(
        meta=parse_meta(raw),
        replicas=int(spec.get("replicas", 1)),
        template=spec.get("template") or {},
        claim_templates=tuple(spec.get("volumeClaimTemplates") or ()),
        status=raw.get("status") or {},
    )
