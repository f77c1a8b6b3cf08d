"""Redis or Valkey: the only code that talks to it besides Celery.

``calls``      a control worker asks nodes and waits for their answers
``heartbeat``  a node worker says that it lives, and a control worker looks
``lock``       one worker at a time per failover: saves double work, never carries safety
"""
