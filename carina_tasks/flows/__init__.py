"""What a task does, without Celery: read, decide, act.

``failover``    a node is lost, or an operator moves a logic volume
``sweeps``      what nothing needs any more is removed
``leave``       before an uninstall: nothing is under way, and nothing of ours stays
``publish``     the status, where viewers of the cluster read it
``report``      what operators ask; writes nothing
``context``     everything a flow works with, handed in, so that a test can hand in its own
``ask_nodes``   requests to node workers, and the check of their answers
``one_object``  which errors concern one object only
``plan_memory`` what `readiness` found last for each node, and whether it still holds
``stop``        the operator's pause, and its end: who, when and why
``threads``     several threads that log as one task
"""
