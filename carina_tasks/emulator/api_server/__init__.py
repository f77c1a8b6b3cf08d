"""A small Kubernetes API server in memory, for the demo and for tests (see docs/api-emulator.md).

`__main__` is the command, `server` the server and its thread; a request goes `handler` -> `routes`,
`negotiation` -> `cluster` (reads), `writes`, `deletion` or `watch` -> `store`. `kinds` has the
rules of each kind, `patches` the four patch formats, `tables` what `kubectl get` prints.
"""

from .server import ApiServer

__all__ = ["ApiServer"]
