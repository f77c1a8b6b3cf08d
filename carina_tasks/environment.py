"""The environment variables that hold the settings."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final

from carina_tasks.errors import BadSetting

PREFIX: Final = "CARINA_TASKS_"
"""What the name of every variable of ours begins with."""
FOREIGN: Final = (
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
    "CELERY_CONFIG_MODULE",
    "CELERY_LOADER",
)
"""Variables by which Celery would use another broker than these settings name, or other settings.
"""
SHORT: Final = {
    "CELERY_BROKER_URL": "BROKER_URL",
    "CELERY_RESULT_BACKEND": "RESULT_BACKEND",
    "CELERY_LOADER": "LOADER",
}
"""Variables that the ``celery`` command turns into those (celery/bin/celery.py)."""


def check_environment(environ: Mapping[str, str]) -> None:
    """Raise BadSetting when a variable of Celery's would override these settings."""
    found = [
        SHORT[n] if environ.get(SHORT.get(n, n)) == environ[n] and n in SHORT else n
        for n in FOREIGN
        if environ.get(n)
    ]
    if found:
        raise BadSetting(
            f"{', '.join(sorted(found))}: Celery would follow it and not {PREFIX}BROKER_URL; take "
            "it out of the environment of this process"
        )


def check_names(environ: Mapping[str, str], known: Set[str]) -> None:
    """Refuse a variable with our prefix that is no setting: it is a typing error.

    Raises:
        BadSetting: It names each of them.
    """
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise BadSetting(
            f"there is no setting {', '.join(unknown)}; all settings are in docs/settings.md"
        )
