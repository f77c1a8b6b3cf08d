"""The Kubernetes API server: the only code that talks to it.

``admission``      the policy that denies Carina's own failover
``api``            the verbs: every answer as a value or an error of ours
``http``           one exchange: credentials, timeouts, and every failure as an error of ours
``paths``          where each kind lives
``cluster``        complete lists and single objects as frozen values
``events``         Kubernetes Events, aggregated
``event_queue``    Events that no step waits for
``token_review``    whose token is this?
``published``      the object FailoverStatus, which viewers read
``state``          the ConfigMap that holds the pause
``dry_run``        writes that the API server only checks
``event_times``    when an Event was said first and last, and how often
``event_history``  our Events, read back: what was reported about an object, and since when
``responses``      HTTP responses, as lists and as errors of ours
``rights``         the verbs of deploy/rbac.yaml, and whether the credentials at hand have them
``informer``       the cluster as watches show it: a suspicion that costs no list
``kinds``          the kinds that are read, and their decoders
``parsing``        the API server's bytes as frozen values, or why an object is none
``reflector``      one kind, listed and then watched
``shared``         one reading for all threads that ask at the same time
``snapshots``      complete lists of every kind as one snapshot
``token_review``   whose token is this?
``writes``         the writes of rebuilds and sweeps, guarded by UID and resourceVersion
"""
