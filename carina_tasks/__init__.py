"""Failover of Carina's local Kubernetes volumes, as a Celery distributed task system.

Where to look, from the outside in:

=================  =================================================================================
``celery``, ``queues`` the Celery application: broker options, queues, what it imports
``tasks``          thin Celery tasks: decode the message, call the flow, return the result
``flows``          what a task does, without Celery: read, decide, act
``kube``           the only code that talks to the Kubernetes API server
``lvm``            the only code that runs lvm2
``broker``         Celery's messages: publishing, and what waits in the queues
``decisions``      pure functions on frozen values: no I/O, no Celery, no clock
``model``          values, names and quantities
``errors``         the error tree
``settings``       every setting, with type, unit, default and why
``broker_settings`` the part of them that is about the connection to the broker
``observability``  logs, audit records, metrics
``cli``            the ``celery carina`` commands
``demo``           the demo: a stage, three acts and a summary
``emulator``       an API server, controllers and an lvm for the demo and the tests
``enrolment``      gives node workers their Redis users, and cuts off who floods Redis
``enrolment_settings`` the settings of that
``environment``    the environment variables that hold the settings
``flower``         Flower for operators
``liveness``       does the loop of this process turn?
``node_watch``     publishes a task when a node is deleted or becomes NotReady
``queues``         the queues ``control`` and ``node.<name>``
``runtime``        what one process is made of
``setting_types``  types of settings: how a variable's text is read, and its bounds
``store``          the key-value store in Redis or Valkey: answers, heartbeats, results
``notebook``       what operators ask, as functions for a Python shell or a notebook
``views``          how results look in a terminal, in a Python shell and in a notebook
``vital``          threads that end the process when they end
=================  =================================================================================
"""

__version__ = "0.1.0"
