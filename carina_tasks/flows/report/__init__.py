"""Reports: read only, nothing is written.

``status``         what is happening now
``problems``       what needs an operator, and the command for it
``retry``          which task continues something that failed
``loss_plan``      what the loss of a node would do
``lost_volumes``   which volumes of lost nodes no node fits, and which wait for their node
``failback_plan``  which old copies a node holds, and whether each could be the volume again
``readiness``      for every node: would all its volumes find another node?
``carina_failover``  what Carina's own failover can still do
``doctor``         does everything that failover needs exist, and is it configured correctly?
``history``        the audit trail of a volume or a node
``gauges``         the state of the whole cluster, as Prometheus gauges
``affected``       the first claims behind a gauge, for the text of an alert
``problem``        one problem, and the list of them
"""
