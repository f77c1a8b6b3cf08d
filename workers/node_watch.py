"""The node watch: ``python -m workers.node_watch``, any number of replicas.

See `carina_tasks.node_watch`.
"""

from __future__ import annotations

from carina_tasks.node_watch import main

if __name__ == "__main__":
    raise SystemExit(main())
