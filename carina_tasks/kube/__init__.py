"""The Kubernetes API server: the only code that talks to it.

``admission``      the policy that denies Carina's own failover
``api``            one request: credentials, timeouts, and HTTP answers as errors of ours
``paths``          where each kind lives
``cluster``        complete lists and single objects as frozen values
``events``         Kubernetes Events, aggregated
``event_queue``    Events that no step waits for
``token_review``    whose token is this?
``published``      the object FailoverStatus, which viewers read
``state``          the ConfigMap that holds the pause
``dry_run``        writes that the API server only checks
``event_history``  our Events, read back: what was reported about an object, and since when
``responses``      HTTP responses, as lists and as errors of ours
``rights``         the verbs of deploy/rbac.yaml, and whether the credentials at hand have them
``informer``       the cluster as watches show it: a suspicion that costs no list
``parsing``        an object's JSON as a frozen value
``reflector``      one kind, listed and then watched
``shared``         one reading for all threads that ask at the same time
``slim``           what a list keeps of each object
``token_review``   whose token is this?
``writes``         the writes of rebuilds and sweeps, guarded by UID and resourceVersion
"""
