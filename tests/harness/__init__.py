"""The product in one process and in virtual time, shared by the kill points and the simulation.

``api``          the product's API client over the emulator's functions
``clock``        virtual time
``controllers``  Kubernetes' and Carina's controllers, as quick and as hostile as they may be
``faults``       points at which a process may die, and what happens there
``nodes``        nodes with the simulated lvm, and their workers
``promises``     what must hold at the end
``sim``          one history: cluster, nodes, schedules and time
``stage``        the objects with which a history begins
"""
