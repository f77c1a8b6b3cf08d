"""``python -m tests.mutations [--table] [WORD …]``: take each guard out; a line each, and 1 when
nothing failed without one.
"""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.planted.edits import Edit, copy_of_code, survives
from tests.planted.guards import GUARDS, table

WORKERS = 2

if __name__ == "__main__":
    if "--table" in sys.argv:
        print(table())
        sys.exit()
    begun, words = time.perf_counter(), sys.argv[1:]
    todo = [
        (g, e)
        for g in GUARDS
        for e in g.edits
        if all(w in g.what + e.where + e.test for w in words)
    ]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(WORKERS):
            copies.put(copy_of_code(Path(folder, str(number))))

        def tried(edit: Edit) -> str:
            """Take it out of a copy that no other thread uses now."""
            copy = copies.get()
            try:
                return survives(edit, copy)
            finally:
                copies.put(copy)

        wrong = 0
        for (guard, edit), why in zip(
            todo, pool.map(tried, [edit for _, edit in todo]), strict=True
        ):
            wrong += bool(why)
            print(
                f"{'SURVIVED' if why else 'found'}: {guard.what}: {edit.where}: {edit.old[:60]!r}: "
                f"{edit.test} {why}",
                flush=True,
            )
    print(
        f"{len(todo)} times a guard was taken out, {wrong} unnoticed, "
        f"{time.perf_counter() - begun:.0f} s"
    )
    sys.exit(bool(wrong))
