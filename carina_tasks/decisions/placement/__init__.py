"""Placement: where can the volumes of a lost node go?

================  ==================================================================================
``plan``          one verdict for each volume; the only function that tasks call
``verdict``       Placement, Unschedulable, PlacementRules; Fits and DoesNotFit
``groups``        what must go together, and what rules out a move at all
``companions``    the other volumes of the pods that move
``candidate``     a node with its inventory
``filters``       one reason a file why a node cannot take a group
``score``         which of the nodes that fit is best
``pods_by_node``  ledger of pods: those of the cluster, and those that the plan placed
``space``         ledger of bytes: what each VG can still give
``ledger``        both of every node of a snapshot, for all its plans
``ranking``       the nodes in the order of their score, as one plan leaves them
``load``          what score and space read of a group
``reuse``         may the plan of a node be used again?
``constraints``   one pod's constraints, read once
``selectors``     label and node selectors
``spec``          the part of a pod's spec that is read, typed
``filter_input``  what a filter is asked about, as one frozen value
================  ==================================================================================
"""

from carina_tasks.decisions.placement.plan import plan
from carina_tasks.decisions.placement.verdict import Placement, PlacementRules, Unschedulable

__all__ = ["Placement", "PlacementRules", "Unschedulable", "plan"]
