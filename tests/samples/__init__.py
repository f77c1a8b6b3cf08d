"""What releases of carina-tasks left behind or sent: journals, annotations, the operator's state,
messages on queues, answers of nodes, heartbeats, and enrolment in both directions.

A folder for each release. `tests/unit/test_samples.py` has the code of today read all of them, so
that processes of two releases work beside each other while one replaces the other, and what an
older release began is finished by a newer one. A file is recorded once and never changed:

    python -m tests.samples.record        # into the folder of this release, before it is tagged
"""
