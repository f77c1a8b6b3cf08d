"""PersistentVolumes as frozen values.

A list or a watch shows what decisions look at. What a PersistentVolume is made from again is the
whole object, and it is read by its name.
"""

from __future__ import annotations

import msgspec

from carina_tasks.model import names, shapes, sharing, well_known
from carina_tasks.model.meta import ObjectMeta, Raw, checked, meta_of, read, size_of


class PersistentVolume(msgspec.Struct, frozen=True, gc=False):
    """A PersistentVolume as lists and watches show it: nothing can be made from it again."""

    meta: ObjectMeta
    driver: str
    handle: str
    capacity: int
    policy: str
    phase: str
    storage_class: str
    nodes: tuple[str, ...]
    """Values of its required node affinity for Carina's topology key; empty when it has none."""
    claim_key: str
    """``namespace/name`` of claimRef, empty without one."""
    claim_uid: str
    cached: bool = False
    """Whether bcache lies between it and its LV."""
    block: bool = False
    """Whether it is a raw device (volumeMode Block), so that a pod can read every byte of its LV.
    """
    affinity: shapes.NodeSelector | None = None
    """Its required node affinity, whoever wrote it and for whatever key."""

    @property
    def ours(self) -> bool:
        """It is a plain Carina volume under the names that Carina gives (handle, no bcache)."""
        return (
            self.driver == well_known.CSI_DRIVER
            and self.handle == names.VOLUME_PREFIX + self.meta.name
            and not self.cached
        )


class WholePersistentVolume(PersistentVolume, frozen=True, gc=False, kw_only=True):
    """A PersistentVolume that was read by its name, with every field that it has."""

    raw: Raw
    """What a replacement is made from."""


def parse_persistent_volume(raw: Raw) -> WholePersistentVolume:
    """Return a PersistentVolume of any driver, with all that it has.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    slim = read(raw, shapes.PersistentVolume, persistent_volume_of)
    fields = {name: getattr(slim, name) for name in slim.__struct_fields__}
    return WholePersistentVolume(**fields, raw=raw)


def persistent_volume_of(found: shapes.PersistentVolume) -> PersistentVolume:
    """Return a PersistentVolume of any driver.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    meta, spec = meta_of(found), found.spec or shapes.PersistentVolumeSpec()
    csi, ref = spec.csi or _NO_CSI, spec.claim_ref
    required = spec.node_affinity.required if spec.node_affinity else None
    # Most of a large cluster's affinities name one of its nodes, and nothing else.
    affinity = _affinities.get(required, lambda one: one) if required else None
    return PersistentVolume(
        meta=meta,
        driver=sharing.word(csi.driver),
        handle=csi.volume_handle or "",
        capacity=checked(size_of, (spec.capacity or {}).get("storage"), meta, "capacity"),
        policy=sharing.word(spec.persistent_volume_reclaim_policy) or "Retain",
        phase=sharing.word(found.status.phase) if found.status else "",
        storage_class=sharing.word(spec.storage_class_name),
        nodes=_nodes.get(affinity, _nodes_of) if affinity else (),
        claim_key=f"{ref.namespace or ''}/{ref.name or ''}" if ref else "",
        claim_uid=(ref.uid or "") if ref else "",
        cached=any(
            key.startswith(well_known.ATTRIBUTE_CACHE)
            for key in (csi.volume_attributes if isinstance(csi.volume_attributes, dict) else ())
        ),
        block=spec.volume_mode == "Block",
        affinity=affinity,
    )


def _nodes_of(affinity: shapes.NodeSelector) -> tuple[str, ...]:
    return tuple(
        value
        for term in affinity.node_selector_terms or ()
        for expression in term.match_expressions or ()
        if expression.key == well_known.TOPOLOGY_NODE and expression.operator == "In"
        for value in expression.values or ()
    )


_NO_CSI = shapes.CsiSource()
_affinities, _nodes = sharing.Table(), sharing.Table()
