"""``python -m carina_tasks.demo``.

The main job on the embedded default, in a minute (``make demo``).
"""

from __future__ import annotations

import argparse
import sys

from carina_tasks.errors import BadSetting


def main() -> int:
    """Read the command line and play; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m carina_tasks.demo", description=__doc__)
    parser.add_argument(
        "--keep", action="store_true", help="leave everything running after the acts, until Ctrl-C"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help="a setting: --set confirm_absence=10",
    )
    options = parser.parse_args()
    try:
        from carina_tasks.demo import play
    except ModuleNotFoundError as exc:
        sys.exit(f"the demo lacks {exc.name}: pip install 'carina-tasks[demo]', or use make demo")
    try:
        return play.run(keep=options.keep, changed=dict(options.set))
    except BadSetting as exc:
        sys.exit(f"carina-tasks demo: {exc.message}")


def _setting(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.lower(), value


if __name__ == "__main__":
    raise SystemExit(main())
