"""Zeroes over an LV in the background of a node worker: progress, errors, a deadline, and one
process after the other.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from carina_tasks.lvm import zero as module
from carina_tasks.lvm.zero import NotZeroed, Zero, Zeroed, Zeroing
from tests.builders.kubernetes import VG, local_volume

LV = local_volume("volume-a", size=4 << 30)


def script(folder: Path, text: str) -> tuple[str, ...]:
    """Make an executable in the place of blkdiscard; it logs what it was called with."""
    path = folder / "blkdiscard"
    path.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\n{text}\n')
    path.chmod(0o755)
    return (str(path),)


def ended(zero: Zero, volume=LV) -> Zeroed | NotZeroed:
    """Ask until it has ended."""
    for _ in range(1000):
        found = zero.look(volume)
        if not isinstance(found, Zeroing):
            return found
        time.sleep(0.01)
    raise AssertionError("it does not end")


def test_every_byte_is_zeroed_piece_by_piece(tmp_path: Path):
    """Four pieces of 1 GiB, each exclusively and with its offset; the last one is shorter."""
    zero = Zero(script(tmp_path, "true"), 10.0)
    assert isinstance(zero.look(local_volume("volume-a", size=(4 << 30) - 512)), Zeroing)
    assert ended(zero, local_volume("volume-a", size=(4 << 30) - 512)) == Zeroed()
    calls = (tmp_path / "calls").read_text().splitlines()
    lengths = [1 << 30] * 3 + [(1 << 30) - 512]
    assert calls == [
        f"--zeroout --offset {n << 30} --length {length} /dev/{VG}/volume-a"
        for n, length in enumerate(lengths)
    ]


def test_progress_is_told_in_percent(tmp_path: Path):
    """The caller meanwhile gets how far it is, and does not wait."""
    gate = tmp_path / "go"
    zero = Zero(
        script(tmp_path, f'[ "$3" = 0 ] || while [ ! -e {gate} ]; do sleep 0.01; done'), 20.0
    )
    for _ in range(500):
        found = zero.look(LV)
        assert isinstance(found, Zeroing)
        if "25 % of 4Gi" in found.reason:
            break
        time.sleep(0.01)
    else:
        raise AssertionError(found)
    gate.touch()
    assert ended(zero) == Zeroed()


def test_an_error_is_told_once_and_the_next_question_begins_again(tmp_path: Path):
    """What blkdiscard writes is the reason: something holds the device."""
    zero = Zero(script(tmp_path, "echo open: Device or resource busy >&2; exit 1"), 10.0)
    found = ended(zero)
    assert isinstance(found, NotZeroed)
    assert ("Device or resource busy" in found.reason, found.late) == (True, False)
    assert len((tmp_path / "calls").read_text().splitlines()) == 1
    assert isinstance(ended(zero), NotZeroed)
    assert len((tmp_path / "calls").read_text().splitlines()) == 2


def test_a_command_that_is_missing_is_an_error(tmp_path: Path):
    """No thread ends without an answer."""
    found = ended(Zero((str(tmp_path / "missing"),), 10.0))
    assert isinstance(found, NotZeroed)
    assert "missing" in found.reason


def test_a_deadline_ends_it_and_the_process(tmp_path: Path):
    """Late is not passing: another node is planned, and no process of it writes on."""
    zero = Zero(script(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60"), 0.3)
    found = ended(zero)
    assert isinstance(found, NotZeroed)
    assert ("within 0.3 s" in found.reason, found.late) == (True, True)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(200):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return
        time.sleep(0.01)
    raise AssertionError("its process still runs")


def test_a_process_that_a_dead_disk_holds_is_late_all_the_same(monkeypatch: pytest.MonkeyPatch):
    """Its thread never comes back: the clock answers."""
    now = [0.0]
    zero = Zero(("true",), 100.0, clock=lambda: now[0])
    hangs = module.threading.Event()
    monkeypatch.setattr(Zero, "_piece", lambda *_: str(hangs.wait(5)))
    assert isinstance(zero.look(LV), Zeroing)
    time.sleep(0.1)
    now[0] = 101.0
    found = zero.look(LV)
    hangs.set()
    assert isinstance(found, NotZeroed)
    assert found.late


def test_an_lv_that_has_another_size_is_begun_again(tmp_path: Path):
    """The same UUID and more bytes: what was added has not been zeroed."""
    zero = Zero(script(tmp_path, "true"), 10.0)
    zero.look(LV)
    time.sleep(0.2)
    larger = local_volume("volume-a", size=6 << 30)
    assert isinstance(zero.look(larger), Zeroing)
    assert ended(zero, larger) == Zeroed()
