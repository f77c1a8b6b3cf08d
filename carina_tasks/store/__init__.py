"""The key-value store in Redis or Valkey: Celery's result backend, and keys of our own.

``client``          the connection, and the one translation of its errors
``acl_rules``       what each Redis user may do
``acl_users``       the users of nodes, for the enrolment service
``answers``         answers of nodes, decoded and bounded
``heartbeat``       a process reports that it works, and a control worker reads that
``latest_results``  what control tasks found last, for the metrics of all workers and for `carina
                    status`
``task_results``    what Celery's result backend still knows of control tasks
``listener``        hears when nodes have answered
``lock``            one worker at a time per failover: saves double work, never carries safety
``server_info``     what the server reports about itself
``trouble``         why the broker cannot be used, in one sentence
"""
