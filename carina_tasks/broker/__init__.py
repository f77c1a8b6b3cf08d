"""Redis or Valkey: the only code that talks to it besides Celery.

``calls``      a control worker asks nodes and waits for their answers
``findings``   what control tasks found last, for all workers' metrics and `carina status`
``heartbeat``  a process says that it lives, and a control worker looks
``info``       what the broker says of itself
``lock``       one worker at a time per failover: saves double work, never carries safety
``stored``     what the result backend still knows of control tasks
"""
