"""The resources that are served from the start, one module for each family of kinds.

``base``       what a served resource is
``custom``     customResourceDefinitions, and the resources that they make
``event``      events, of the core group and of events.k8s.io
``namespace``  namespaces
``node``       nodes
``plain``      kinds that are little more than data
``pod``        pods
``volumes``    persistentVolumes and PersistentVolumeClaims
``workloads``  statefulSets and Deployments: objects only, their controllers are not here
"""

from .base import Behaviour, Column, Resource
from .custom import DEFINITIONS, resources_of
from .event import EVENTS, EVENTS_V1
from .namespace import NAMESPACES
from .node import NODES
from .plain import (
    CONFIG_MAPS,
    CSI_DRIVERS,
    LEASES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STORAGE_CLASSES,
)
from .pod import PODS
from .volumes import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from .workloads import DEPLOYMENTS, STATEFUL_SETS

BUILT_IN: tuple[Resource, ...] = (
    CONFIG_MAPS,
    EVENTS,
    EVENTS_V1,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    DEPLOYMENTS,
    STATEFUL_SETS,
    LEASES,
    CSI_DRIVERS,
    STORAGE_CLASSES,
    DEFINITIONS,
)

__all__ = [
    "BUILT_IN",
    "DEFINITIONS",
    "NAMESPACES",
    "PODS",
    "Behaviour",
    "Column",
    "Resource",
    "resources_of",
]
