"""Pure functions on frozen values: no I/O, no Celery, no clock, no randomness.

``placement``      where can the volumes of a lost node go?
``admission_classes`` which rebuilds does the API server look at alike?
``advice``         what helps a volume that no node fits
``answers``        which results in a node's answer are accepted
``broker_trouble`` what an error of the connection to the broker means, and what to do
``carina_failover`` can Carina's own failover act beside ours?
``colocation``     are the volumes of one pod still planned for one node?
``doctor``         one check of `carina doctor` a function
``eviction``       what becomes of a pod whose volume leaves its node
``failback``       could an old copy be the volume again?
``guards``         pause, mass failure, and how many orphans one sweep may remove
``hints``          what the node watch publishes, and when
``local_volume``   create, keep, replace or restore one LV
``logic_volumes``  keep or delete this LogicVolume?
``node_loss``      is this node deleted, or NotReady for long enough?
``orphans``        keep, mark, unmark or remove this LV?
``pv_manifest``    the manifest from which a rebuild creates the PV again
``rebuild``        which step comes next for this journal?
``removal``        may this LV be removed, and how?
``selection``      which logic volumes of a lost node are rebuilt?
``single_volume``  may one logic volume of a live node be rebuilt elsewhere?
``targets``        what an operator means by a claim, a pod, a volume or a node
``verdict``        the one sentence about the whole cluster, and the command that helps
``volume_state``   the state of a LogicVolume, for the metrics
``whose``          the claim and the pod of a volume
"""
