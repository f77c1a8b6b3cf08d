"""``python -m carina_tasks.emulator.lvm SUBCOMMAND …``.

The state file is in ``CARINA_TASKS_DEMO_LVM_STATE``.
"""

import sys

from .program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
