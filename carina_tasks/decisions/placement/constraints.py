"""One pod's scheduling constraints, read once and asked many times.

A constraint that cannot be read raises BadObject here; the plan turns that into a reason. Nothing
is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from carina_tasks.decisions.placement import selectors
from carina_tasks.decisions.placement.selectors import NodeSelector, Requirement, Selector
from carina_tasks.decisions.placement.spec import (
    PodSpec,
    PodTerm,
    SpreadConstraint,
    Toleration,
    read,
)
from carina_tasks.errors import BadObject
from carina_tasks.model.objects import Node, Pod, Taint

UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    """Required pod affinity or anti-affinity.

    Pods of these namespaces with these labels, in one topology domain.
    """

    namespaces: frozenset[str] | None
    """None stands for all of them."""
    selector: Selector
    topology_key: str
    uncertain: bool = False
    """It has a namespaceSelector other than ``{}``, and namespaces' labels are not observed."""

    def matches(self, pod: Pod) -> bool:
        """Return whether the term selects the pod; an uncertain match counts as one."""
        in_namespace = self.namespaces is None or pod.meta.namespace in self.namespaces
        return in_namespace and self.selector.matches(pod.meta.labels)


@dataclass(frozen=True, slots=True)
class SpreadRule:
    """One topology spread constraint with ``DoNotSchedule``, its defaults filled in."""

    max_skew: int
    topology_key: str
    selector: Selector
    min_domains: int
    honor_affinity: bool
    honor_taints: bool


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port that a pod takes on its node."""

    ip: str
    protocol: str
    port: int

    def conflicts(self, other: HostPort) -> bool:
        """Return whether both cannot be on one node: 0.0.0.0 stands for every address."""
        same = self.protocol == other.protocol and self.port == other.port
        return same and (self.ip == other.ip or "0.0.0.0" in (self.ip, other.ip))  # noqa: S104  compared, not bound


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a pod on a node means for others: whom it keeps away, and which ports it takes."""

    anti_affinity: tuple[AffinityTerm, ...] = ()
    ports: tuple[HostPort, ...] = ()
    problem: str = ""
    """Why it cannot be read; then its node takes nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A pod with its constraints."""

    pod: Pod
    tolerations: tuple[Toleration, ...]
    node_labels: tuple[Requirement, ...]
    """spec.nodeSelector."""
    node_affinity: NodeSelector | None
    affinity: tuple[AffinityTerm, ...]
    spread: tuple[SpreadRule, ...]
    footprint: Footprint

    @property
    def anti_affinity(self) -> tuple[AffinityTerm, ...]:
        """Required pod anti-affinity."""
        return self.footprint.anti_affinity

    def tolerates(self, taint: Taint) -> bool:
        """Return whether one of its tolerations covers the taint."""
        return any(_tolerates(toleration, taint) for toleration in self.tolerations)

    def untolerated(self, node: Node) -> Taint | None:
        """Return the node's first taint that keeps it away (NoSchedule, NoExecute), or None."""
        return next(
            (
                t
                for t in node.taints
                if t.effect in ("NoSchedule", "NoExecute") and not self.tolerates(t)
            ),
            None,
        )

    def wants(self, node: Node) -> bool:
        """Return whether nodeSelector and required node affinity hold on the node."""
        labels = node.meta.labels
        if not all(requirement.matches(labels) for requirement in self.node_labels):
            return False
        return self.node_affinity is None or self.node_affinity.matches(node.name, labels)


def shape(pod: Pod) -> Shape:
    """Return a pod with its constraints.

    Raises:
        BadObject: One of them cannot be read.
    """
    try:
        return _shape(pod, read(pod.spec, PodSpec))
    except BadObject as exc:
        raise BadObject(f"pod {pod.meta.key}: {exc.message}") from exc


def footprint(pod: Pod) -> Footprint:
    """Return what a pod that stays means for others.

    Raises:
        BadObject: It cannot be read.
    """
    affinity, containers = pod.spec.get("affinity"), pod.spec.get("containers") or ()
    if (
        not affinity
        and not pod.spec.get("initContainers")
        and not any("ports" in one for one in containers)
    ):
        return Footprint()  # most pods: reading them all takes a second in a large cluster
    parts = {
        key: pod.spec.get(key)
        for key in ("affinity", "containers", "initContainers")
        if pod.spec.get(key)
    }
    try:
        return _footprint(pod, read(parts, PodSpec))
    except BadObject as exc:
        raise BadObject(f"pod {pod.meta.key}: {exc.message}") from exc


def _shape(pod: Pod, spec: PodSpec) -> Shape:
    if spec.resource_claims:
        raise BadObject("it uses resource claims, and which node has the devices is not observed")
    affinity = spec.affinity
    node = affinity.node_affinity if affinity else None
    near = affinity.pod_affinity if affinity else None
    return Shape(
        pod=pod,
        tolerations=spec.tolerations or (),
        node_labels=tuple(
            Requirement(k, "In", frozenset((v,)))
            for k, v in sorted((spec.node_selector or {}).items())
        ),
        node_affinity=selectors.node_selector(node.required.node_selector_terms)
        if node and node.required
        else None,
        affinity=tuple(_term(one, pod) for one in (near.required if near else None) or ()),
        spread=tuple(
            _spread(one, pod)
            for one in spec.topology_spread_constraints or ()
            if one.when_unsatisfiable == "DoNotSchedule"
        ),
        footprint=_footprint(pod, spec),
    )


def _footprint(pod: Pod, spec: PodSpec) -> Footprint:
    apart = spec.affinity.pod_anti_affinity if spec.affinity else None
    sidecars = tuple(c for c in spec.init_containers or () if c.restart_policy == "Always")
    return Footprint(
        anti_affinity=tuple(_term(one, pod) for one in (apart.required if apart else None) or ()),
        ports=tuple(
            HostPort(port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port)  # noqa: S104  compared, not bound
            for container in spec.containers + sidecars
            for port in container.ports or ()
            if port.host_port > 0
        ),
    )


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Source: `v1.Toleration.ToleratesTaint`.

    An empty effect covers all, an empty key with Exists covers all.
    """
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if not toleration.key and toleration.operator != "Exists":
        return False
    return toleration.operator == "Exists" or toleration.value == taint.value


def _term(raw: PodTerm, pod: Pod) -> AffinityTerm:
    """Source: `framework.newAffinityTerm`.

    Own namespace when neither namespaces nor a selector is given.
    """
    if not raw.topology_key:
        raise BadObject("a pod affinity term without a topologyKey")
    namespaces: frozenset[str] | None = frozenset(raw.namespaces or ())
    uncertain = False
    if raw.namespace_selector is not None:
        wide = raw.namespace_selector
        uncertain = bool(wide.match_labels or wide.match_expressions)
        namespaces = None
    elif not namespaces:
        namespaces = frozenset((pod.meta.namespace,))
    # The API server merges these keys into the stored selector; doing so again changes nothing, and
    # helps old objects.
    selector = selectors.label_selector(raw.label_selector)
    selector = selector.also(_same(raw.match_label_keys, pod.meta.labels, "In"))
    selector = selector.also(_same(raw.mismatch_label_keys, pod.meta.labels, "NotIn"))
    return AffinityTerm(namespaces, selector, raw.topology_key, uncertain)


def _spread(raw: SpreadConstraint, pod: Pod) -> SpreadRule:
    """Source: podtopologyspread `filterTopologySpreadConstraints`, with its defaults."""
    if (
        raw.max_skew < 1
        or (raw.min_domains is not None and raw.min_domains < 1)
        or not raw.topology_key
    ):
        raise BadObject(
            "a topology spread constraint with maxSkew or minDomains below 1, or without a "
            "topologyKey"
        )
    selector = selectors.label_selector(raw.label_selector)
    return SpreadRule(
        max_skew=raw.max_skew,
        topology_key=raw.topology_key,
        selector=selector.also(_same(raw.match_label_keys, pod.meta.labels, "In")),
        min_domains=raw.min_domains if raw.min_domains is not None else 1,
        honor_affinity=raw.node_affinity_policy != "Ignore",
        honor_taints=raw.node_taints_policy == "Honor",
    )


def _same(
    names: tuple[str, ...] | None, labels: Mapping[str, str], operator: str
) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(name, operator, frozenset((labels[name],)))
        for name in names or ()
        if name in labels
    )
