"""Flower's configuration.

Carina_tasks/celery.py names it to Flower, so it holds wherever Flower is started.

Every option may be given as FLOWER_<OPTION> or on the command line too, and then that counts. Those
that matter:

    FLOWER_BASIC_AUTH             user:password, several with commas between them; without one
    Flower does not start FLOWER_UNAUTHENTICATED_API    true: no password at all. For a demo on
    loopback, nothing else FLOWER_READ_ONLY              false: buttons and API may revoke tasks and
    stop workers FLOWER_DB                     file that keeps what was seen over a restart; its
    folder must be writable
"""

import os
import sys

from tornado.options import options

from carina_tasks.errors import BadSetting
from carina_tasks.flower import (
    auth as credentials,
)  # every name here that is an option of Flower's would set it
from carina_tasks.flower import patches, rows

try:
    credentials.check(options.basic_auth, options.auth, os.environ)
except BadSetting as exc:
    sys.exit(f"carina-tasks Flower: {exc.message}")
patches.apply()

format_task = rows.format_row
globals().update(credentials.defaults(os.environ))
