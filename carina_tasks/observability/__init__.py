"""What people see: logs, audit records and metrics.

``logs``     one line an event, for users or as JSON
``audit``    every irreversible act: a log line, a Kubernetes Event and a metric
``metrics``  Prometheus metrics and their endpoint
"""
