"""D1 on the embedded default: beat. The last file by name, so that its half minute has mostly
passed already.
"""

from __future__ import annotations

from tests.integration.embedded import Embedded


def test_beat_sends_the_schedule(embedded: Embedded) -> None:
    """D1: beat runs with beat_schedule.py: it sends `resume` every 30 seconds, and the control
    worker runs it.
    """
    embedded.wait("beat sends resume", lambda: "carina.failover.resume" in embedded.log("beat"), 35)
    embedded.wait("it is run", lambda: "carina.failover.resume" in embedded.log("control"), 5)
