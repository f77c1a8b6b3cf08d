"""Frozen values: what the adapters hand to the decisions, and what the decisions hand back.

``names``        which strings Kubernetes and LVM take
``quantity``     Kubernetes quantities as bytes
``objects``      Node, Pod, Claim, PersistentVolume, LogicVolume, StorageClass
``local``        local volumes, volume groups and a node's inventory
``journal``      the rebuild's journal on a LogicVolume
``progress``     annotations that users read: the progress line and past failovers
``messages``     what a control worker asks a node, and what a node answers
``admission``    the admission policy that denies Carina's own failover
``maintenance``  maintenance of a node, as the ConfigMap holds it
``meta``         what every object has
``pods``         pods
``process``      what a process reports with its heartbeat
``published``    the status as viewers read it
``pvs``          PersistentVolumes
``shapes``       the JSON of the API server, as far as it is read
``sharing``      equal values held once
``snapshot``     the cluster as it was read at one moment
``task_names``   the names of all tasks
``times``        durations and times as text
``well_known``   annotations, labels, finalizers, taints and LVM tags, Carina's and ours
"""
