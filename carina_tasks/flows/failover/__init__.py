"""Failover: what is lost, where it goes, and the steps that bring it there.

``lost_node``      a node is lost: which logic volumes, and the whole run from check to journal to
``lost_together``  which other nodes are lost at the same moment, confirmed once for all
``loss``           is this node lost, and may its failover begin?
``planning``       where the logic volumes go, and the journals that record it
``whole_pvs``      the PersistentVolumes of a plan, read by name
``replanning``     another target for those that the first one cannot take
``rehearse``       every write of a rebuild, tried as a dry run first
``advance``        the journalled logic volumes of one run, target by target
``stepping``       one journalled logic volume, step by step
``steps``          one step, done
``binding``        until a claim is Bound to its new PV
``evict``          pods that are ended, because their logic volume leaves its node
``resume``         every journal that is not finished, and what the node watch missed
``single_volume``  one logic volume of a live node, rebuilt elsewhere for an operator
``failback``       an old copy that becomes the volume again
``maintenance``    an operator announces that a machine will be away
``events``         the Events and annotations that report it
``results``        what the tasks return
``node_events``    one summary of each run, as Events on the lost node
"""
