"""A small kubelet for the pods of one namespace: what KWOK only says of a pod happens to these.

==============  ================================================================================
`kubelet`       the loop: pods that are bound to a node are run, deleted ones are ended
`pod`           one pod from its first container to its end, with its status and its probes
`manifest`      what a pod is given: environment and files, read from the API server
`sandbox`       where a container runs: its own root folder, mounts, user and network
`machine`       the same for a privileged pod: the node's own machine (user-mode-linux)
`probes`        liveness and readiness
`network`       addresses of pods, names of Services, the API server's address in the cluster
`enter`         `kubectl exec`
==============  ================================================================================

There is no network plug-in, so a NetworkPolicy changes nothing here, and no limit of memory or CPU.
The image is this virtual environment and the lab's copy of the sources.
"""
