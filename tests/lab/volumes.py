"""The objects of one Carina volume, field for field as Carina v0.14 and its CSI provisioner write
them.
"""

from dataclasses import dataclass

from tests.lab.kube import Json

DRIVER = "carina.storage.io"
TOPOLOGY = "topology.carina.storage.io/node"
STORAGE_CLASS = "csi-carina-sc"
VG = "carina-vg-hdd"
MIGRATE = "carina.storage.io/allow-pod-migration-if-node-notready"
PROVISIONER_IDENTITY = "1732400000000-8081-carina.storage.io"
GIB = 1 << 30

_UNITS = {
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
}


def size_in_bytes(quantity: str) -> int:
    """Return the bytes of a storage quantity as the lab's manifests write them (`5Gi`,
    `1073741824`).
    """
    for unit, factor in _UNITS.items():
        if quantity.endswith(unit):
            return int(quantity.removesuffix(unit)) * factor
    return int(quantity)


def lv_size(quantity: str) -> int:
    """Return the size of the LV that Carina makes for a quantity: whole GiB, rounded up."""
    return -(-size_in_bytes(quantity) // GIB) * GIB


@dataclass(frozen=True)
class Volume:
    """One volume: where it is, whose it is, how large (a quantity)."""

    name: str
    node: str
    claim: str
    claim_uid: str
    size: str
    namespace: str = "default"
    vg: str = VG
    storage_class: str = STORAGE_CLASS
    mode: str = "Filesystem"
    major: int = 0
    minor: int = 0

    @property
    def lv(self) -> str:
        """Return the name of its LV, which is also its volume id and handle."""
        return f"volume-{self.name}"

    def logic_volume(self) -> Json:
        """Return the LogicVolume as the CSI controller creates it."""
        return {
            "apiVersion": "carina.storage.io/v1",
            "kind": "LogicVolume",
            "metadata": {
                "name": self.name,
                "annotations": {"carina.io/volume-manage-type": "lvm"},
                "finalizers": ["carina.storage.io/logicvolume"],
            },
            "spec": {
                "nodeName": self.node,
                "size": self.size,
                "deviceGroup": self.vg,
                "pvc": self.claim,
                "nameSpace": self.namespace,
            },
        }

    def logic_volume_status(self) -> Json:
        """Return the LogicVolume's status once the node's agent has made the LV."""
        return {
            "status": {
                "volumeID": self.lv,
                "status": "Success",
                "code": 0,
                "currentSize": self.size,
                "deviceMajor": self.major,
                "deviceMinor": self.minor,
            }
        }

    def persistent_volume(self) -> Json:
        """Return the PersistentVolume as a newer CSI provisioner creates it, with its finalizer and
        annotations.
        """
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": self.name,
                "annotations": {
                    "pv.kubernetes.io/provisioned-by": DRIVER,
                    "volume.kubernetes.io/provisioner-deletion-secret-name": "",
                    "volume.kubernetes.io/provisioner-deletion-secret-namespace": "",
                },
                "finalizers": [
                    "external-provisioner.volume.kubernetes.io/finalizer",
                    "kubernetes.io/pv-protection",
                ],
            },
            "spec": {
                "capacity": {"storage": self.size},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": self.storage_class,
                "volumeMode": self.mode,
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": self.namespace,
                    "name": self.claim,
                    "uid": self.claim_uid,
                },
                "csi": {
                    "driver": DRIVER,
                    "volumeHandle": self.lv,
                    "fsType": "ext4",
                    "volumeAttributes": {
                        "csi.storage.k8s.io/pv/name": self.name,
                        "csi.storage.k8s.io/pvc/name": self.claim,
                        "csi.storage.k8s.io/pvc/namespace": self.namespace,
                        "storage.kubernetes.io/csiProvisionerIdentity": PROVISIONER_IDENTITY,
                        "carina.storage.io/node": self.node,
                        "carina.storage.io/disk-group-name": self.vg,
                        "carina.storage.io/path": f"/dev/{self.vg}/{self.lv}",
                        "carina.storage.io/major": str(self.major),
                        "carina.storage.io/minor": str(self.minor),
                    },
                },
                "nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [
                                    {"key": TOPOLOGY, "operator": "In", "values": [self.node]}
                                ]
                            }
                        ]
                    }
                },
            },
        }
