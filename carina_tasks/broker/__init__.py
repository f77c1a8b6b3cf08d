"""Celery's messages: publishing, and what waits in the queues.

``calls``          a control worker sends requests to nodes and waits for their answers
``connection``     Celery's connection, whose errors say what to do
``consumer``       Celery's consumer, which connects again after every error of the broker
``loop``           Celery's loop records that it turns
``queue_lengths``  how many messages wait in a queue, and since when
``tls``            what the client libraries are told of TLS, and whether its files are usable
"""
