"""What people see: logs, audit records and metrics.

``logs``        one line an event, for users or as JSON
``audit``       every irreversible act: a log line, a Kubernetes Event and a metric
``metrics``     Prometheus metrics and their endpoint
``inspection``  commands of ``celery inspect`` for our workers: read only
``json_lines``  in JSON mode a process writes only JSON, from its first line to its last
``web``         the HTTP endpoint of a process: ``/metrics``, ``/livez`` and ``/readyz``
"""
