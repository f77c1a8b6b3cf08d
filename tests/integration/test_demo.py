"""`make demo` as the operator runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration import tutorial
from tests.integration.waiting import until
from tests.lab import parts

ROWS = (
    ("pvc-177854eb-f811-4612-92c5-b8bb98126b94", "5Gi", "154"),
    ("pvc-1fed3234-ff89-4c58-8c65-e21ca338b099", "5Gi", "153"),
    ("pvc-527b5989-3ac3-4d7a-a64d-24e0f665788b", "10Gi", "154"),
    ("pvc-b987d27b-39f3-4e74-9465-91b3e6b13837", "3Gi", "154"),
)


def test_a_broken_promise_is_told(tmp_path: Path) -> None:
    """A demo whose orphans may not be removed (their group is not managed) says FAILED, exits 1 and
    keeps its logs.
    """
    done = subprocess.run(
        [*_argv(), "--set", "managed_groups=carina-vg-ssd"],
        env=_env(tmp_path),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"FAILED +S1 +an LV without LogicVolume", done.stdout)
    assert re.search(r"ok +S5", done.stdout)
    assert "--- the end of control" in done.stdout
    folder = re.search(r"all logs: (.*)", done.stdout)
    assert folder
    assert (Path(folder[1]) / "control.log").exists()
    assert _left(tmp_path) == []


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    """A setting that does not parse is named before anything starts."""
    done = subprocess.run(
        [*_argv(), "--set", "confirm_absence=soon"],
        env=_env(tmp_path),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "CARINA_TASKS_CONFIRM_ABSENCE" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle of it ends every process and removes the folder."""
    with _running(tmp_path) as demo:
        _wait_for(demo, tmp_path, "Act one")
        assert len(_left(tmp_path)) > 5
        demo.send_signal(signal.SIGINT)
        assert demo.wait(20) == 130
    assert _left(tmp_path) == []
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    """SIGKILL for the demo itself: the kernel ends its children with it."""
    with _running(tmp_path) as demo:
        _wait_for(demo, tmp_path, "Act one")
        assert len(_left(tmp_path)) > 5
        demo.kill()
        demo.wait(10)
    assert until(lambda: not _left(tmp_path), 5)


def test_the_demo_keeps_every_promise_and_stays(tmp_path: Path) -> None:
    """The whole demo: the manual's table before and after, every promise kept; kept running, its
    lines work, and so does each step of docs/tutorial.md; exit 0.
    """
    begun = time.monotonic()
    with _running(tmp_path, "--keep") as demo:
        _wait_for(demo, tmp_path, "keeps running until Ctrl-C", 120)
        seconds = time.monotonic() - begun
        assert until(lambda: "celery -A carina_tasks shell" in _output(tmp_path), 5)
        text = _output(tmp_path)
        _try_what_it_prints(tmp_path, text[text.index("keeps running") :])
        demo.send_signal(signal.SIGINT)
        assert demo.wait(20) == 0, _output(tmp_path)
    print(f"the demo took {seconds:.0f} s")
    before = [
        rf"{name} +{size} +carina-vg-hdd +10\.20\.9\.{node} +Success" for name, size, node in ROWS
    ]
    after = [rf"{name} +{size} +carina-vg-hdd +10\.20\.9\.153 +Success" for name, size, _ in ROWS]
    for rows in (before, after):
        assert re.search(" *\n".join(["NAME +SIZE +GROUP +NODE +STATUS", *rows]), text), text
    assert "FAILED" not in text
    assert set(re.findall(r"ok +(S\d)", text)) == {f"S{n}" for n in range(1, 10)}
    assert _left(tmp_path) == []
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def _try_what_it_prints(folder: Path, text: str) -> None:
    flower = re.search(r"Flower +(http://\S+)", text)
    assert flower
    with urllib.request.urlopen(flower[1] + "/healthcheck", timeout=5) as answer:
        assert answer.status == 200
    exports = dict(re.findall(r"export (CARINA_TASKS_\w+|KUBECONFIG)=(\S+)", text))
    assert Path(exports["KUBECONFIG"]).exists()
    pong = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "carina_tasks", "inspect", "ping"],
        env={**_env(folder), **exports},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    # Control worker, 10.20.9.152 and 10.20.9.153.
    assert pong.stdout.count("pong") == 3, pong.stdout + pong.stderr
    if parts.missing("kubectl"):
        return
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    tutorial.run({**_env(folder), **exports, "PATH": path}, folder)


def _argv() -> list[str]:
    return [sys.executable, "-m", "carina_tasks.demo"]


def _env(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder)}


@contextmanager
def _running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "output").open("wb") as output:
        demo = subprocess.Popen(
            [*_argv(), *arguments], env=_env(folder), stdout=output, stderr=output
        )
    try:
        yield demo
    finally:
        # A test that failed leaves it running.
        demo.kill()
        demo.wait()


def _output(folder: Path) -> str:
    return (folder / "output").read_text(errors="replace")


def _wait_for(demo: subprocess.Popen[bytes], folder: Path, text: str, seconds: float = 60) -> str:
    until(lambda: text in _output(folder) or demo.poll() is not None, seconds)
    assert text in _output(folder), _output(folder)
    return _output(folder)


def _left(folder: Path) -> list[str]:
    """Return the command lines of the processes that work below `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "cwd").readlink()).startswith(str(folder)):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            # It ended while we looked, or is not ours to look at.
            continue
    return found
