"""The Kubernetes API server: the only code that talks to it.

``api``       one request: credentials, timeouts, and HTTP answers as errors of ours
``paths``     where each kind lives
``cluster``   complete lists and single objects as frozen values
``volumes``   the writes of a rebuild, each guarded by UID and resourceVersion
``events``    Kubernetes Events, aggregated
``state``     the ConfigMap that holds the pause
"""
