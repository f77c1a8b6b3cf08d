"""The manifest from which a rebuild creates the PersistentVolume again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carina_tasks.model import quantity, well_known
from carina_tasks.model.objects import copy_of

if TYPE_CHECKING:
    from carina_tasks.model.journal import Journal
    from carina_tasks.model.messages import LvResult
    from carina_tasks.model.objects import LogicVolume, PersistentVolume, WholePersistentVolume


ANNOTATIONS = 256 * 1024
"""Bytes that all annotations of an object may have together."""


RESERVED = 4096
"""Bytes for what else is written on the LogicVolume of a rebuild: its progress (1000 characters),
and the history at its end.
"""


def is_block(manifest: dict[str, Any]) -> bool:
    """Return whether the volume is a raw device (volumeMode Block).

    Then a pod can read every byte that the LV holds.
    """
    return (manifest.get("spec") or {}).get("volumeMode") == "Block"


def wanted_size(logic_volume: LogicVolume, manifest: dict[str, Any]) -> int:
    """Return the bytes of the new LV of a PV with this manifest."""
    capacity = ((manifest.get("spec") or {}).get("capacity") or {}).get("storage")
    return logic_volume.rebuilt_size(quantity.to_bytes(capacity))


def manifest_of(pv: WholePersistentVolume, policy: str) -> dict[str, Any]:
    """Return what the PV is made from again.

    Name, labels, annotations, finalizers, owners and spec, with `policy`.

    Raw JSON on purpose: a field that this release does not know must come back too. The claimRef's
    resourceVersion is left out, because it names a version of the claim that is past.
    """
    meta, spec = pv.raw.get("metadata") or {}, copy_of(pv.raw.get("spec") or {})
    spec["persistentVolumeReclaimPolicy"] = policy
    (spec.get("claimRef") or {}).pop("resourceVersion", None)
    theirs = {k: v for k, v in (meta.get("annotations") or {}).items() if k != well_known.RETAINED}
    meta = {**meta, "annotations": theirs}
    kept = {
        k: meta[k]
        for k in ("name", "labels", "annotations", "finalizers", "ownerReferences")
        if meta.get(k)
    }
    return {"metadata": copy_of(kept), "spec": spec}


def is_complete(manifest: dict[str, Any], name: str) -> bool:
    """Return whether a PV can be made from `manifest`.

    The journal is an annotation, and people can edit those.
    """
    meta, spec = manifest.get("metadata"), manifest.get("spec")
    if not isinstance(meta, dict) or not isinstance(spec, dict) or meta.get("name") != name:
        return False
    parts = [meta.get("annotations"), spec.get("capacity"), spec.get("claimRef"), spec.get("csi")]
    attributes = spec["csi"].get("volumeAttributes") if isinstance(spec.get("csi"), dict) else ""
    return spec.get("csi") is not None and all(
        part is None or isinstance(part, dict) for part in [*parts, attributes]
    )


def replacement(journal: Journal, lv_result: LvResult | None = None) -> dict[str, Any]:
    """Return the PV for the journal's target.

    `lv_result` has the device numbers there, when they are known.
    """
    manifest, target = copy_of(journal.manifest), journal.target
    meta, spec = manifest["metadata"], manifest["spec"]
    # A client may have written null where Kubernetes leaves a map out.
    meta["annotations"] = {
        well_known.PROVISIONED_BY: well_known.CSI_DRIVER,
        **(meta.get("annotations") or {}),
    }
    spec["nodeAffinity"] = {
        "required": {
            "nodeSelectorTerms": [
                {
                    "matchExpressions": [
                        {"key": well_known.TOPOLOGY_NODE, "operator": "In", "values": [target]}
                    ]
                }
            ]
        }
    }
    attributes = {**(spec["csi"].get("volumeAttributes") or {}), well_known.ATTRIBUTE_NODE: target}
    spec["csi"]["volumeAttributes"] = attributes
    if lv_result is not None and lv_result.major >= 0:
        for key, value in (
            (well_known.ATTRIBUTE_MAJOR, lv_result.major),
            (well_known.ATTRIBUTE_MINOR, lv_result.minor),
        ):
            if key in attributes:
                attributes[key] = str(value)
    return {"apiVersion": "v1", "kind": "PersistentVolume", **manifest}


def annotations_too_large(logic_volume: LogicVolume, journal: Journal) -> str:
    """Return why the journal does not fit into the LogicVolume's annotations, or empty.

    All annotations of an object may hold 256 KiB together, keys and values (apimachinery,
    ValidateAnnotationsSize).
    """
    others = {
        k: v
        for k, v in logic_volume.meta.annotations.items()
        if k not in (well_known.JOURNAL, well_known.PROGRESS)
    }
    taken = sum(len(f"{key}{value}".encode()) for key, value in others.items())
    ours = len(well_known.JOURNAL) + len(journal.to_json().encode()) + RESERVED
    if taken + ours <= ANNOTATIONS:
        return ""
    return (
        f"its annotations hold {taken} bytes and the journal of its rebuild needs {ours} (the "
        f"annotations of its PersistentVolume are in it), which is {taken + ours - ANNOTATIONS} "
        f"more than the {ANNOTATIONS} that an object may have: take annotations off the "
        "LogicVolume or the PersistentVolume"
    )


def policy_of(pv: PersistentVolume, manifest: dict[str, Any]) -> str:
    """Return the policy that the new PV gets.

    The PV's policy, unless that Retain is ours; then the journal's.
    """
    if pv.policy == "Retain" and well_known.RETAINED in pv.meta.annotations:
        return str((manifest.get("spec") or {}).get("persistentVolumeReclaimPolicy") or "Delete")
    return pv.policy
