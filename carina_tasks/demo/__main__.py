"""``python -m carina_tasks.demo``: the main job on the embedded default, in a minute (``make demo``)."""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    """Read the command line and play; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m carina_tasks.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running after the acts, until Ctrl-C")
    options = parser.parse_args()
    try:
        from carina_tasks.demo import play
    except ModuleNotFoundError as exc:
        sys.exit(f"the demo lacks {exc.name}: pip install 'carina-tasks[demo]', or use make demo")
    return play.run(keep=options.keep)


if __name__ == "__main__":
    raise SystemExit(main())
