"""Frozen values: what the adapters hand to the decisions, and what the decisions hand back.

``names``       which strings Kubernetes and LVM take
``quantity``    Kubernetes quantities as bytes
``keys``        annotations, labels, finalizers and tags (Carina's and ours)
``objects``     Node, Pod, Claim, PersistentVolume, LogicVolume, StorageClass
``local``       local volumes, volume groups and a node's inventory
``journal``     the rebuild's journal on a LogicVolume
``progress``    annotations that users read: the progress line and past failovers
``messages``    what a control worker asks a node, and what a node answers
"""
