"""``python -m tests.planted [WORD …]``: every planted bug with these words, and its finders.

With ``--chaos`` as the first word, the bugs that a chaos case must find are planted in a copy of
the code; a line each, and 1 when one was not found.
"""

import re
import sys
import tempfile
import time
from pathlib import Path

from tests.planted.catalogue import BUGS, Chaos
from tests.planted.edits import Edit, copy_of_code, without


def chaos(words: list[str]) -> int:
    """Plant each bug that a chaos case finds and whose name has all of `words`."""
    missed = 0
    for bug in BUGS:
        for finder in bug.found_by:
            if isinstance(finder, Chaos) and all(word in bug.name for word in words):
                missed += not _found(bug.name, finder.edit)
    return int(missed > 0)


def _found(name: str, edit: Edit) -> bool:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        done = without(edit, copy_of_code(Path(folder)))
    output = done if isinstance(done, str) else done.stdout
    # A case that could not even begin has found nothing: only its own line counts.
    seen = re.search(r"BROKEN \|.*\| seen: (.{0,160})", output)
    verdict = f"found: {name}: {seen[1]}" if seen else f"MISSED: {name}: {output[-200:]}"
    print(f"{verdict} ({edit.test}, {time.monotonic() - begun:.0f} s)", flush=True)
    return seen is not None


if __name__ == "__main__":
    if sys.argv[1:2] == ["--chaos"]:
        sys.exit(chaos(sys.argv[2:]))
    for bug in BUGS:
        if all(word in bug.name for word in sys.argv[1:]):
            print(f"{bug.name}: {', '.join(map(str, bug.found_by))}")
