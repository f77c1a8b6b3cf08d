"""The gate: deadlines, limits, arguments, and whose error is whose."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from carina_tasks.errors import BadInput, LvmBusy, LvmFailed, LvmNoSpace, LvmNotFound, LvmTimeout
from carina_tasks.lvm import command
from carina_tasks.lvm.command import Lvm
from carina_tasks.lvm.errors import failed, translate


def script(folder: Path, body: str) -> tuple[str, ...]:
    """Write a shell script that stands for lvm."""
    path = folder / "lvm"
    path.write_text("#!/bin/sh\n" + body)
    path.chmod(0o755)
    return (str(path),)


def test_output_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The real lvm speaks English, does not warn of file descriptors, reads no input, and sees no
    more of ours.
    """
    monkeypatch.setenv("SECRET", "s3cret")
    body = 'test -z "$(cat)" && echo "$LC_ALL $LVM_SUPPRESS_FD_WARNINGS [$SECRET] $1 $4"'
    assert Lvm(script(tmp_path, body)).run("lvs", "-a b") == "C 1 [] lvs -a b\n"


def test_no_executable_says_so(tmp_path: Path):
    """A node without lvm2 reports what is missing."""
    with pytest.raises(LvmFailed, match="is lvm2 installed"):
        Lvm((str(tmp_path / "none"),)).run("lvs")


def test_deadline_ends_the_whole_group(tmp_path: Path):
    """At the deadline lvm and what it started get SIGTERM, then SIGKILL; the call comes back."""
    pids = tmp_path / "pids"
    body = f"trap '' TERM\nsleep 60 &\necho $! $$ > {pids}\nsleep 60\nsleep 60\n"
    lvm = Lvm(script(tmp_path, body), timeout=0.4, grace=0.3)
    started = time.monotonic()
    with pytest.raises(LvmTimeout, match="did not end within"):
        lvm.run("lvs")
    assert time.monotonic() - started < 5
    until = time.monotonic() + 5
    while any(running(pid) for pid in pids.read_text().split()):
        assert time.monotonic() < until, "something of the group still runs"
        time.sleep(0.01)


def running(pid: str) -> bool:
    """Return whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_output_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Endless output ends the call, not the worker."""
    monkeypatch.setattr(command, "OUTPUT_LIMIT", 1 << 20)
    with pytest.raises(LvmFailed, match="more than 1 MiB"):
        Lvm(script(tmp_path, "yes\n"), timeout=20, grace=0.3).run("lvs")


def test_a_large_batch_does_not_hang(tmp_path: Path):
    """More commands than a pipe holds, read slowly and answered at length, go through."""
    body = 'while read line; do echo "$line" >&2; done\n'
    said = Lvm(script(tmp_path, body)).batch([("lvs", "x" * 200)] * 2000).errors
    assert len(said) == 2000
    assert {line.rpartition("'")[2] for line in said} == {" " + "x" * 200}


def test_a_shell_that_ends_early_is_no_hang(tmp_path: Path):
    """It may die with commands unread."""
    assert (
        Lvm(script(tmp_path, "echo '  broken' >&2\n")).batch([("lvs", "x" * 200)] * 2000).errors[0]
        == "  broken"
    )


@pytest.mark.parametrize("argument", ["", "a\nb", "a\0b", "\x1b[0m", "x" * 5000, None, 5, b"x"])
def test_arguments_that_no_command_takes(tmp_path: Path, argument: object):
    """Nothing but printable text becomes an argument."""
    lvm = Lvm(script(tmp_path, "echo reached\n"))
    with pytest.raises(BadInput):
        lvm.run("lvs", argument)  # type: ignore[arg-type]
    with pytest.raises(BadInput):
        lvm.batch([("lvs", argument)])  # type: ignore[list-item]


@pytest.mark.parametrize("argument", ["a'b", "a\\b", "# a"])
def test_arguments_that_would_fall_apart_in_the_shell(tmp_path: Path, argument: str):
    """The shell of lvm knows no escapes: what would need one is refused."""
    with pytest.raises(BadInput):
        Lvm(script(tmp_path, "cat\n")).batch([("lvs", argument)])


@pytest.mark.parametrize("subcommand", ["--config", "lvs -a", "", "LVS", "../x", "vgs;id"])
def test_a_subcommand_is_one_word(tmp_path: Path, subcommand: str):
    """A subcommand cannot be an option, a path or two words."""
    with pytest.raises(BadInput):
        Lvm(script(tmp_path, "echo reached\n")).run(subcommand)


def test_each_command_of_a_batch_gets_its_own_words(tmp_path: Path):
    """Errors stand between the marks; a lost mark does not shift those after it."""
    body = (
        'while read word rest; do case "$word" in end-of-command-1) ;; end*) echo "No such '
        'command $word." >&2;;'
        ' lvcreate) echo "  bad ${rest##* }" >&2;; esac; done\n'
    )
    ran = Lvm(script(tmp_path, body)).batch(
        [("lvs",), ("lvcreate", "one"), ("lvs",), ("lvcreate", "two"), ("lvs",)]
    )
    assert ran.errors == ("", "  bad one", "", "  bad two", "")


def test_observer_sees_every_call(tmp_path: Path):
    """Subcommand, seconds and outcome of each process reach the metrics."""
    seen: list[tuple[str, float, str]] = []
    lvm = Lvm(script(tmp_path, 'test "$1" != lvremove\n'), observe=lambda *call: seen.append(call))
    lvm.run("lvs")
    lvm.batch([("lvs",)])
    with pytest.raises(LvmFailed):
        lvm.run("lvremove")
    assert [(name, outcome) for name, _, outcome in seen] == [
        ("lvs", "ok"),
        ("shell", "ok"),
        ("lvremove", "LvmFailed"),
    ]
    assert all(0 < seconds < 10 for _, seconds, _ in seen)


# What lvm2 2.03.16 writes, word for word
SAID = {
    "  Logical volume carina-vg-hdd/volume-c in use.": LvmBusy,
    "  Interrupted...\n  Giving up waiting for lock.\n  Can't get lock for vg.\n  Cannot process "
    "volume group vg": LvmBusy,
    "  V_vg: flock failed: Resource temporarily unavailable\n  Can't get lock for vg.": LvmBusy,
    '  Volume group "vg" has insufficient free space (11774 extents): 25600 required.': LvmNoSpace,
    "  Insufficient free space: 25344 extents needed, but only 11774 available": LvmNoSpace,
    "  Insufficient suitable allocatable extents for logical volume x: 9 more required": LvmNoSpace,
    '  Failed to find logical volume "vg/volume-zz"': LvmNotFound,
    '  Volume group "novg" not found\n  Cannot process volume group novg': LvmNotFound,
    "  Logical volume x not found in volume group vg.": LvmNotFound,
    '  Logical Volume "volume-a" already exists in volume group "vg"': LvmFailed,
    "  Cannot change VG vg while PVs are missing.": LvmFailed,
    "  WARNING: PV /dev/b is marked in use but no VG was found.\n  Something else.": LvmFailed,
    "": LvmFailed,
}


@pytest.mark.parametrize("said", SAID)
def test_lvms_words_become_our_errors(said: str):
    """Each kind of failure has its own error, and a warning never decides which."""
    error = translate(said)
    assert type(error) is SAID[said]
    assert error.message


def test_a_warning_is_no_failure():
    """A command that only warned has not failed by its words."""
    assert not failed("  WARNING: This metadata update is NOT backed up.\n")
    assert failed("  Logical volume vg/x in use.\n")


def test_lvms_configuration_folder_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """LVM_SYSTEM_DIR is lvm's own setting and reaches it; our explicit environment wins."""
    monkeypatch.setitem(os.environ, "LVM_SYSTEM_DIR", "/a")
    binary = script(tmp_path, 'echo "$LVM_SYSTEM_DIR"')
    assert Lvm(binary).run("lvs") == "/a\n"
    assert Lvm(binary, environment={"LVM_SYSTEM_DIR": "/b"}).run("lvs") == "/b\n"
