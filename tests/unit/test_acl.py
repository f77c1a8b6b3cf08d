"""deploy/redis/acl.py: the URLs and users that it writes, and what it refuses."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from carina_tasks.settings import load

ACL = Path(__file__).parents[2] / "deploy" / "redis" / "acl.py"


def call(folder, *words):
    """Run it as a user does."""
    return subprocess.run(
        [sys.executable, str(ACL), "--folder", str(folder), *words],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "begin", "end"),
    [
        (["--address", "h:6379"], "redis://n1:", "@h:6379/0"),
        (["--scheme", "rediss", "--address", "[::1]:6380/3"], "rediss://n1:", "@[::1]:6380/3"),
        (["--scheme", "sentinel", "--address", "a:1,b/2"], "sentinel://n1:", "@b/2"),
    ],
)
def test_its_urls_are_settings(tmp_path, words, begin, end):
    """What stands in a file is taken by the setting, with the line's end that the file has."""
    assert call(tmp_path, *words, "n1").returncode == 0
    text = (tmp_path / "n1.url").read_text()
    assert text.startswith(begin)
    assert text.endswith(end + "\n")
    more = {"CARINA_TASKS_BROKER_MASTER_NAME": "m"} if "sentinel" in text else {}
    assert load({"CARINA_TASKS_BROKER_URL": text} | more).broker_url == text.strip()


def test_a_password_of_the_operators_own_stays_and_is_percent_encoded(tmp_path):
    """Redis gets the digest of the password itself, the URL its encoded form."""
    tmp_path.joinpath("n1.url").write_text("redis://n1:p%40ss%2Fw:d@h:1/0\n")
    said = call(tmp_path, "--scheme", "rediss", "--address", "h:1")
    assert f"user n1 reset on #{hashlib.sha256(b'p@ss/w:d').hexdigest()} " in said.stdout
    assert (tmp_path / "n1.url").read_text() == "rediss://n1:p%40ss%2Fw%3Ad@h:1/0\n"


@pytest.mark.parametrize(
    "address", ["redis://h:1", "h:1/name", "::1", "a b", "h:1,", "u:p@h", ",h", "", "a:1,b:2"]
)
def test_an_address_that_is_none_is_refused(tmp_path, address):
    """Before anything is written; several are for Sentinel alone."""
    said = call(tmp_path / "new", "--address", address, "n1")
    assert said.returncode == 1
    assert said.stderr.startswith("--address takes HOST:PORT/DB")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("text", ["", "rubbish", "redis://[h"])
def test_a_file_without_a_url_is_named(tmp_path, text):
    """A new password in its place would lock the node out without a word."""
    tmp_path.joinpath("n1.url").write_text(text)
    said = call(tmp_path)
    assert said.returncode == 1
    assert "n1.url holds no URL" in said.stderr
    assert "Traceback" not in said.stderr
