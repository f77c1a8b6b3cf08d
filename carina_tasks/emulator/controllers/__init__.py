"""Emulated Kubernetes controllers, kubelets and Carina's provisioner.

Written to behave as the real ones do where carina-tasks can notice, and no further:

``loop``          runs them all, one after another, whenever something changed
``informer``      what each sees of the cluster: a list and a watch, as client-go's informers
``binder``        PVs and claims: Bound, Lost, Released
``protection``    finalizers of volumes and claims that nothing uses any more
``provisioner``   a claim with a selected node gets LogicVolume, LV and PV
``workloads``     StatefulSets make their claims and pods again (in parallel, without updates)
``scheduler``     pods go to a Ready, schedulable node that their volumes allow
``kubelet``       nodes heartbeat; their pods run, and end when they are deleted
``node_life``     a silent node becomes Unknown and tainted; pods of deleted nodes are collected
``stateful_set``  a StatefulSet as its controller reads it
``view``          everything the controllers see, and the writes that they share

Not here: taint-based eviction (300 s in a real cluster), rolling updates, resource fit, topology
spread. On real parts the same promises are shown by the system tests.
"""

from carina_tasks.emulator.controllers.loop import Controllers

__all__ = ["Controllers"]
