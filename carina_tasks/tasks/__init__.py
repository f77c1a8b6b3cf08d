"""Thin Celery tasks: decode the message, call the flow, return the result.

``base``      what all tasks share: retries with growing pauses, errors in one line
``sweep``     ``carina.sweep.*``, on the control queue
``failover``  ``carina.failover.*``, on the control queue
``trash``     ``carina.trash.*``, on the control queue
``volume``    ``carina.volume.*``, on a node's queue
``node``      ``carina.node.*``, on a node's queue
"""
