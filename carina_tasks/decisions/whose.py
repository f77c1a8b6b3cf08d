"""Whose data is a volume? Its claim, and the pods that use it: what people know it by.

``pvc-<uuid>`` is how Kubernetes calls it, and a detail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carina_tasks.model.objects import LogicVolume
    from carina_tasks.model.snapshot import ClusterSnapshot


def claim_of(snapshot: ClusterSnapshot, volume: str) -> str:
    """Return the claim (``namespace/name``) of the volume of that name; empty when unknown."""
    logic_volume = snapshot.logic_volumes.get(volume)
    return logic_volume.claim_key if logic_volume is not None else ""


def pod_of(snapshot: ClusterSnapshot, claim: str) -> str:
    """Return the name of the pod that uses a claim, ``mysql-0``, or ``mysql-0 and 2 more``.

    Empty when no pod does. The pod's namespace is the claim's.

    Args:
        snapshot: The cluster as it was read.
        claim: The claim, ``namespace/name``.
    """
    names = sorted(pod.meta.name for pod in snapshot.pods_of(claim))
    if not names:
        return ""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def detailed(text: str, volume: str) -> str:
    """Return a text with the volume's name at its end, in parentheses, unless it names it."""
    return text if not volume or volume in text else f"{text} ({volume})"


def titled(logic_volume: LogicVolume) -> str:
    """Return the volume as a text names it: ``default/data-mysql-0 (pvc-…)``."""
    return f"{logic_volume.claim_key} ({logic_volume.name})"
