"""Failover of Carina's local Kubernetes volumes, as a Celery distributed task system.

Where to look, from the outside in:

=====================  ==============================================================
``app``                the Celery application: queues, broker options, what it imports
``tasks/``             thin Celery tasks: parse, observe, decide, act
``failover/``          the observing and acting that several tasks share
``kube/``              the only code that talks to the Kubernetes API server
``lvm/``               the only code that runs lvm2
``nodes/``             the only code that sends to a node's queue and reads its answers
``decisions/``         pure functions on frozen values: no I/O, no Celery, no clock
``model/``             values, names and quantities
``errors``             the error tree
``settings``           every setting, with type, unit, default and why
``observability/``     logs, audit records, metrics
``cli/``               the ``celery carina`` commands
``demo/``              the embedded default: API emulator, simulated LVM, ``make demo``
=====================  ==============================================================
"""

__version__ = "0.1.0"
