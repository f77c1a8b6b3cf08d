"""``python -m tests.chaos.planted``: bugs planted in a copy of the code; the bad day that is named
for each must not be kept.

A line each, and 1 when one was kept all the same.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path

from tests.mutations.catalogue import Edit
from tests.mutations.runner import copy_of_code, without

PLANTED = {
    "what a failover left behind is not fetched": Edit(
        "carina_tasks/flows/failover/resume.py",
        "parted = company.parted(",
        "parted = () and company.parted(",
        "tests/chaos/test_returns.py::test_a_failover_is_cut_off_between_the_journals_of_one_pod",
    ),
    "a LogicVolume goes by the word of a list": Edit(
        "carina_tasks/flows/sweeps/logic_volumes.py",
        "    return logic_volumes.judge(volume, pv, claim, world.now, grace)",
        "    return verdict",
        "tests/chaos/test_api_server.py::test_lists_are_cut_short",
    ),
    "a mass failure stops nobody": Edit(
        "carina_tasks/flows/failover/loss.py",
        "    if isinstance(verdict, guards.Stop):",
        "    if False:",
        "tests/chaos/test_nodes.py::test_two_of_three_nodes_fall_silent",
    ),
    "what the operator restored is an orphan again": Edit(
        "carina_tasks/flows/sweeps/local_volumes.py",
        "restore_hold=conf.restore_hold",
        "restore_hold=0.0",
        "tests/chaos/test_trash.py::test_a_wrong_removal_is_brought_back_while_paused",
    ),
    "the status is not cleared before the PV goes": Edit(
        "carina_tasks/decisions/rebuild.py",
        "if not on_target and volume.status:",
        "if False:",
        "tests/chaos/test_stand_ins.py::test_carinas_controller_and_agent_together",
    ),
}


def main(words: list[str]) -> int:
    """Plant each whose name has all of `words`."""
    missed = 0
    for what, edit in PLANTED.items():
        if not all(word in what for word in words):
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            done = without(edit, copy_of_code(Path(folder)))
        output = done if isinstance(done, str) else done.stdout
        # A case that could not even begin has found nothing: only its own line counts.
        seen = re.search(r"BROKEN \|.*\| seen: (.{0,160})", output)
        missed += seen is None
        verdict = f"found: {what}: {seen[1]}" if seen else f"MISSED: {what}: {output[-200:]}"
        print(f"{verdict} ({edit.test}, {time.monotonic() - begun:.0f} s)", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
