"""A small Kubernetes API server in memory, for the demo and for tests (see docs/api-emulator.md).

`__main__` is the command, `server` the server and its thread; a request goes `handler` -> `routes`,
`negotiation` -> `cluster` (reads), `writes`, `deletion` or `watch` -> `store`. `kinds` has the
rules of each kind, `patches` the four patch formats, `tables` what `kubectl get` prints.

``bootstrap``     the cluster as it is when the server starts: three namespaces and Carina's
``cluster``       the cluster: its objects, its registry, and the reads
``deletion``      delete: preconditions, grace periods, finalizers, collections, eviction
``discovery``     discovery: /version, /api, /apis and the resource lists
``durations``     times as the API server writes them, and ages as `kubectl get` shows them
``errors``        the API server's errors: every failure leaves as a Kubernetes `Status` object
``handler``       the HTTP server: one handler for every path
``kinds``         the built-in resources
``kubeconfig``    the kubeconfig for a server without credentials
``list_options`` which parameters of a list and of a watch go together
``naming``        which names, labels and annotation keys Kubernetes allows
``negotiation``   media types and shapes of requests and responses
``openapi``       OpenAPI, as far as `kubectl apply` reads it
``patches``       the four ways to change an object by a patch
``registry``      the served resources, built-in and defined
``routes``        from a path to the resource
``schema``        schemas of custom resources: pruning, defaults, validation
``selectors``     label and field selectors
``server``        the server: in the foreground for the command line, in a thread for tests
``store``         objects, their versions, a bounded history, and the fan-out to watchers
``subresources``  writes to the subresources binding and scale
``tables``        responses as whole objects, as metadata or as table rows
``watch``         watch: events from a version on, as each watcher may see them
``writes``        create, replace, patch, and the subresources that write
"""

from .server import ApiServer

__all__ = ["ApiServer"]
