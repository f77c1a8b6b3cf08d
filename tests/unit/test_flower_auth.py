"""Flower's doors: who may come in, and which option wins."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from carina_tasks.errors import BadSetting
from carina_tasks.flower import auth


@pytest.mark.parametrize(
    ("basic", "oauth", "environ"),
    [
        (["operator:secret"], "", {}),
        (["operator:secret", "prometheus:other"], "", {}),
        (None, "me@example.org", {}),
        (None, "", {auth.OPEN: "true"}),
    ],
)
def test_who_said_who_may_come_in_is_let_run(basic, oauth, environ):
    """A pair, OAuth2, or the word that there is to be no password."""
    auth.check(basic, oauth, environ)


@pytest.mark.parametrize(
    ("basic", "environ"),
    [
        (None, {}),
        ([], {}),
        (None, {auth.OPEN: "false"}),
        (None, {auth.OPEN: ""}),
        (["operator"], {}),
        (["operator:"], {}),
        ([":secret"], {}),
        ([""], {}),
        (["operator:secret", "x"], {}),
        (["operator"], {auth.OPEN: "true"}),
    ],
)
def test_nobody_runs_it_open_by_accident(basic, environ):
    """No credentials, half a pair, a password with a comma in it: the error reports what to set."""
    with pytest.raises(BadSetting, match="FLOWER_BASIC_AUTH"):
        auth.check(basic, "", environ)


def test_what_the_environment_names_is_left_to_it():
    """Flower reads its file after the environment; ours must not win over what the operator set."""
    assert auth.defaults({})["read_only"] is True
    assert "read_only" not in auth.defaults({"FLOWER_READ_ONLY": "false"})
    assert "persistent" not in auth.defaults({})
    assert auth.defaults({"FLOWER_DB": "/var/lib/flower/state"})["persistent"] is True


def test_celery_flower_ends_without_credentials(tmp_path):
    """In any folder, with nothing configured: one line, exit code 1, and no port opened."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(Path(auth.__file__).parents[2]),
        "CARINA_TASKS_BROKER_URL": "memory://",
    }
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "carina_tasks", "flower", "--port=0"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Flower has no password: set FLOWER_BASIC_AUTH=user:password" in done.stderr
    assert "Traceback" not in done.stderr
