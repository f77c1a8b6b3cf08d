"""Every command while the broker is away: refused at once, or accepted and never answered."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from carina_tasks.cli import COMMANDS
from carina_tasks.demo.children import free_port
from tests.integration.embedded import CELERY, ONE, Embedded
from tests.integration.waiting import until

CALLS = {
    "doctor": (["doctor"], {1, 2}),
    "failback": (["failback", ONE], {2}),
    "failed": (["failed"], {1}),
    "history": (["history", "pvc-none"], {0, 2}),
    "leave": (["leave"], {0}),
    "maintenance": (["maintenance", "list"], {0}),
    "pause": (["pause", "a test"], {0}),
    "plan": (["plan", ONE], {0, 1, 2}),
    "rebuild": (["rebuild", ONE, "pvc-none", "--force", "pvc-none"], {1, 2}),
    "restore": (["restore", ONE, "volume-pvc-none"], {2}),
    "resume": (["resume"], {0}),
    "retry": (["retry", ONE], {2}),
    "status": (["status"], {0, 1}),
    "trash": (["trash"], {1, 2}),
    "volumes": (["volumes", ONE], {2}),
}
"""How each is called, and the exit codes that it may have: what needs no broker works, all else
says in one line that it cannot.
"""
SECONDS = 20
"""What a command may take beside other tests and the proofs; alone each takes 0.6 to 4."""
LINES = 16


@pytest.fixture(params=["refused", "silent"])
def away(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a test the URL of a broker that is away."""
    if request.param == "refused":
        yield f"redis://127.0.0.1:{free_port()}/0"
        return
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_every_command_answers_soon_and_in_few_lines(embedded: Embedded, away: str) -> None:
    """None prints a stack trace, none takes longer than a human waits, and each has the exit code
    that scripts rely on.
    """
    assert CALLS.keys() == COMMANDS.keys()
    wrong = []
    for name, (words, codes) in CALLS.items():
        begun = time.monotonic()
        done = subprocess.run(
            [*CELERY, "carina", *words],
            # `leave` waits for as long as a node's absence is confirmed.
            env=embedded.stage.env
            | {"CARINA_TASKS_BROKER_URL": away, "CARINA_TASKS_CONFIRM_ABSENCE": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        took = time.monotonic() - begun
        text = done.stdout + done.stderr
        lines = [line for line in text.splitlines() if line.strip()]
        print(f"{name}: {done.returncode}, {took:.1f} s, {len(lines)} lines: {lines[:2]}")
        if (
            done.returncode not in codes
            or took > SECONDS
            or len(lines) > LINES
            or "Traceback" in text
        ):
            wrong.append(
                f"{name}: exit {done.returncode}, {took:.1f} s, {len(lines)} lines\n{text[-1500:]}"
            )
        if done.returncode == 2:
            assert len([line for line in done.stderr.splitlines() if re.match("Error", line)]) <= 1
    subprocess.run(
        [*CELERY, "carina", "resume"],
        env=embedded.stage.env,
        check=True,
        timeout=60,
    )
    assert not wrong, "\n".join(wrong)


def test_flower_ends_at_the_first_sigterm(embedded: Embedded, away: str) -> None:
    """Without a broker its threads wait for answers: it ends all the same, within Kubernetes' own
    grace period.
    """
    port = free_port()
    flower = embedded.another_flower(port, CARINA_TASKS_BROKER_URL=away)
    try:
        assert until(lambda: _listens(port), 30)
        flower.terminate()
        assert flower.wait(25) in (0, -15)
    finally:
        flower.kill()


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
