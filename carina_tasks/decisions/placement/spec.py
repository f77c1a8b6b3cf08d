"""The part of a pod's spec that the scheduler's filters read, typed by msgspec.

Field names are the API's. Anything unknown beside them is left out; a wrong type or operator raises
BadObject.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec

from carina_tasks.errors import BadObject


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """A piece of Kubernetes JSON."""


class SelectorRequirement(_Part, frozen=True):
    """LabelSelectorRequirement and NodeSelectorRequirement."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: tuple[str, ...] = ()


class LabelSelector(_Part, frozen=True):
    """LabelSelector."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[SelectorRequirement, ...] = ()


class NodeTerm(_Part, frozen=True):
    """NodeSelectorTerm."""

    match_expressions: tuple[SelectorRequirement, ...] = ()
    match_fields: tuple[SelectorRequirement, ...] = ()


class NodeTerms(_Part, frozen=True):
    """NodeSelector."""

    node_selector_terms: tuple[NodeTerm, ...]


class NodeAffinity(_Part, frozen=True):
    """NodeAffinity; preferences are not read."""

    required: NodeTerms | None = msgspec.field(
        default=None, name="requiredDuringSchedulingIgnoredDuringExecution"
    )


class PodTerm(_Part, frozen=True):
    """PodAffinityTerm."""

    topology_key: str
    label_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] | None = None
    namespace_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] | None = None
    mismatch_label_keys: tuple[str, ...] | None = None


class PodTerms(_Part, frozen=True):
    """PodAffinity and PodAntiAffinity; preferences are not read."""

    required: tuple[PodTerm, ...] | None = msgspec.field(
        default=None, name="requiredDuringSchedulingIgnoredDuringExecution"
    )


class Affinity(_Part, frozen=True):
    """Affinity."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodTerms | None = None
    pod_anti_affinity: PodTerms | None = None


class Toleration(_Part, frozen=True):
    """Toleration."""

    key: str = ""
    operator: Literal["", "Equal", "Exists"] = ""
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""


class SpreadConstraint(_Part, frozen=True):
    """TopologySpreadConstraint."""

    max_skew: int
    topology_key: str
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: LabelSelector | None = None
    min_domains: int | None = None
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None
    match_label_keys: tuple[str, ...] | None = None


class Port(_Part, frozen=True):
    """ContainerPort."""

    host_port: int = 0
    host_ip: str = msgspec.field(default="", name="hostIP")
    protocol: str = "TCP"


class Container(_Part, frozen=True):
    """Container and init container."""

    ports: tuple[Port, ...] | None = None
    restart_policy: str = ""


class PodSpec(_Part, frozen=True):
    """PodSpec."""

    node_selector: dict[str, str] | None = None
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] | None = None
    topology_spread_constraints: tuple[SpreadConstraint, ...] | None = None
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] | None = None
    resource_claims: tuple[Any, ...] | None = None


class TopologyRequirement(_Part, frozen=True):
    """TopologySelectorLabelRequirement."""

    key: str
    values: tuple[str, ...]


class TopologyTerm(_Part, frozen=True):
    """TopologySelectorTerm; one without expressions matches no node."""

    match_label_expressions: tuple[TopologyRequirement, ...] = ()


T = TypeVar("T")


def read(raw: object, kind: type[T]) -> T:
    """Return raw JSON as a `kind`.

    Raises:
        BadObject: Naming the field that is wrong.
    """
    try:
        return msgspec.convert(raw, kind, strict=True)
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as exc:
        raise BadObject(str(exc)[:200]) from exc
