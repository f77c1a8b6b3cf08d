"""The sweeps: what nothing needs any more is removed, and what is missing is reported.

``local_volumes``  LVs of each node against LogicVolumes and PersistentVolumes
``logic_volumes``  LogicVolumes against PersistentVolumes
``trash``          what the sweeps removed, and how an operator restores it
``results``        what the tasks return
``removal``        what the sweep of local volumes asks a node to mark, remove or purge
``tally``          what a sweep of local volumes knows of all nodes
``rules``          rules that the sweep and the trash share
"""
