"""The enrolment service: ``python -m workers.enrolment``, any number of replicas.

See `carina_tasks.enrolment`.
"""

from __future__ import annotations

from carina_tasks.enrolment.process import main

if __name__ == "__main__":
    raise SystemExit(main())
