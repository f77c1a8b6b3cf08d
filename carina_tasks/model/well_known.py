"""Names in the cluster and on disks: Carina's (fixed, we must stay compatible) and ours.

Source of Carina's: its CRDs and constants, v0.14.
"""

from __future__ import annotations

from typing import Final

# Carina's
CSI_DRIVER: Final = "carina.storage.io"
LOGIC_VOLUME_FINALIZER: Final = "carina.storage.io/logicvolume"
MANAGE_TYPE: Final = "carina.io/volume-manage-type"
MANAGE_TYPE_LVM: Final = "lvm"
MIGRATION_ALLOWED: Final = "carina.storage.io/allow-pod-migration-if-node-notready"
TOPOLOGY_NODE: Final = "topology.carina.storage.io/node"
ATTRIBUTE_NODE: Final = "carina.storage.io/node"
ATTRIBUTE_GROUP: Final = "carina.storage.io/disk-group-name"
ATTRIBUTE_PATH: Final = "carina.storage.io/path"
ATTRIBUTE_MAJOR: Final = "carina.storage.io/major"
ATTRIBUTE_MINOR: Final = "carina.storage.io/minor"
ATTRIBUTE_CACHE: Final = "carina.storage.io/cache/"
STATUS_SUCCESS: Final = "Success"

# Kubernetes'
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
HOSTNAME: Final = "kubernetes.io/hostname"
MIRROR: Final = "kubernetes.io/config.mirror"
DISRUPTION_TARGET: Final = "DisruptionTarget"
"""Type of the pod condition that a Job's podFailurePolicy looks at."""

# Ours, in the cluster
OURS: Final = "tasks.carina.storage.io/"
JOURNAL: Final = OURS + "journal"
PROGRESS: Final = OURS + "progress"
HISTORY: Final = OURS + "history"
TOUCH: Final = OURS + "touch"
RETAINED: Final = OURS + "retained"
"""On a PersistentVolume whose policy Retain is ours and not the operator's."""
DISRUPTED_BY_US: Final = "DeletionByCarinaTasks"
"""Reason of the condition DisruptionTarget; the garbage collector of pods writes
``DeletionByPodGC``.
"""
STATE_CONFIG_MAP: Final = "carina-tasks-state"

# Ours, on disks. LVM tags take a-z A-Z 0-9 _ + . - / = ! : # & and at most 1024 characters (lvm(8),
# "VALID NAMES")
TAG_OURS: Final = "carina-tasks."
TAG_CREATING: Final = TAG_OURS + "creating="
"""On an LV from the moment lvm2 commits it until a separate call finds it wiped and puts another in
its place.
"""
TAG_ZEROING: Final = TAG_OURS + "zeroing="
"""In the place of TAG_CREATING on an LV that is wiped and is still to be zeroed."""
TAG_INTENT: Final = TAG_OURS + "intent="
TAG_ORPHAN: Final = TAG_OURS + "orphan="
TAG_TRASH: Final = TAG_OURS + "trash."
TAG_TRASH_NAME: Final = TAG_TRASH + "name="
TAG_TRASH_AT: Final = TAG_TRASH + "at="
TAG_TRASH_WHY: Final = TAG_TRASH + "why="
TAG_RESTORED: Final = TAG_OURS + "restored="

TAINT_UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
"""What Kubernetes taints a cordoned node with."""
TAINT_OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
"""What the operator taints a node with whose machine is off for certain."""
