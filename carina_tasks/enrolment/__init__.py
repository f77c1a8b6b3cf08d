"""Enrolment: a node worker shows the token of its pod and gets its own Redis user.

``verdict``    pure: may this token enrol, and as which node?
``passwords``  pure: a node's password and URL
``bounds``     pure: does a node take more of Redis than it may? how often may it enrol?
``service``    what the service does: enrol, reconcile, cut off
``server``     HTTPS
``process``    the process ``python -m workers.enrolment``
``client``     the node worker's side; imports nothing of Kubernetes
``waiting``    its probes, while it waits for its URL

docs/enrolment.md says who can obtain what.
"""
