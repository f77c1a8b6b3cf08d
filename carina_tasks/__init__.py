"""Failover of Carina's local Kubernetes volumes, as a Celery distributed task system.

Where to look, from the outside in:

=====================  ==============================================================
``celery``, ``queues`` the Celery application: broker options, queues, what it imports
``tasks/``             thin Celery tasks: parse the message, call the flow, give the result back
``flows/``             what a task does, without Celery: observe, decide, act
``kube/``              the only code that talks to the Kubernetes API server
``lvm/``               the only code that runs lvm2
``broker/``            the only code that talks to Redis: asking nodes, heartbeats, locks
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
