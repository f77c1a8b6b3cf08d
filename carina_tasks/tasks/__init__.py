"""Thin Celery tasks: parse the message, call the flow, give the result back.

``base``      what all tasks share: quiet failures, retries with growing pauses, the context
``sweep``     ``carina.sweep.*``, on the control queue
``failover``  ``carina.failover.*``, on the control queue
``trash``     ``carina.trash.*``, on the control queue
``volume``    ``carina.volume.*``, on a node's queue
``node``      ``carina.node.*``, on a node's queue
"""
