"""Every command in README and docs/ does what its page says, on the embedded default; the few that
cannot are named.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from carina_tasks.decisions.pv_manifest import manifest_of
from carina_tasks.kube import paths
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.model.journal import Journal
from tests.integration import docs_commands as commands
from tests.integration import tutorial
from tests.integration.docs_commands import ROOT, Command
from tests.integration.embedded import GIB, ONE, THREE, TWO, Embedded
from tests.lab import parts

VOLUME = "pvc-177854eb-f811-4612-92c5-b8bb98126b94"
TRASHED = "pvc-527b5989-3ac3-4d7a-a64d-24e0f665788b"
WORDS = {"NODE": THREE, "OLD": THREE, "TARGET": TWO, "VOLUME": VOLUME, "NAME": VOLUME}
EMULATOR = "docs/api-emulator.md"
WHOLE = {EMULATOR, tutorial.PAGE}
"""Pages that are run from their first line to their last: below, and by test_demo.py."""
INTERRUPTED = 130
"""What a shell says of a command that ^C ended."""

HERE = [
    c for c in commands.commands() if c.page not in WHOLE and commands.elsewhere(c.text) is None
]
PAGES = sorted({command.page for command in HERE})


def test_what_is_not_run_here_is_tried_elsewhere() -> None:
    """Every exception is needed, and names a test or script that is there."""
    for pattern, (place, why) in commands.ELSEWHERE.items():
        assert any(re.match(pattern, command.text) for command in commands.commands()), pattern
        assert (ROOT / place).exists(), place
        assert why
    assert len(HERE) > 60


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work(embedded: Embedded, page: str, tmp_path: Path) -> None:
    """Each ends as it should: with 0, with 1 where that is an answer, or when the operator
    ends it.
    """
    parts.require("kubectl")
    _furnish(embedded, [command.text for command in HERE if command.page == page])
    failed = []
    # Whatever takes a node away comes last.
    for command in sorted(
        (c for c in HERE if c.page == page), key=lambda c: "delete node" in c.text
    ):
        begun = time.monotonic()
        wrong = _run(embedded, command, tmp_path)
        print(f"{page}: {command.text} ({time.monotonic() - begun:.1f} s)")
        failed += [wrong] if wrong else []
    assert not failed, "\n".join(failed)


def test_the_emulators_page_is_a_script(tmp_path: Path) -> None:
    """docs/api-emulator.md from its first line to its last, as one shell runs it."""
    parts.require("kubectl")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = "\n".join(c.text for c in commands.commands() if c.page == EMULATOR)
    assert "api_server --port 8080" in script
    # The server is there a moment after the shell continues, for the operator too.
    script = script.replace("8080", port).replace("/tmp/kubeconfig", str(tmp_path / "kubeconfig"))
    script = re.sub(r"&$", "& sleep 4", script, count=1, flags=re.M)
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run = subprocess.run(
        ["bash", "-ec", f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def _furnish(embedded: Embedded, texts: list[str]) -> None:
    """Make what the pages speak of: the manual's volume on its node, a claim of MySQL, and
    something in the trash.
    """
    embedded.volume("reports", THREE, "1Gi", VOLUME)
    if any("data-mysql-0" in text for text in texts):
        embedded.app("mysql", ONE, migrate="true")
    if any(" restore " in text for text in texts):
        embedded.nodes[TWO].create(f"volume-{TRASHED}", GIB)
        embedded.wait("it is in the trash", lambda: embedded.sweep()[TWO].get("trashed"), 20)


def _run(embedded: Embedded, command: Command, folder: Path) -> str:
    """Run one command; return what is wrong with it, empty when nothing is."""
    text = command.text
    if " carina resume" not in text:
        embedded._remove(paths.config_maps("kube-system"))
    if "patch configmap" in text:
        embedded.stage.api.create(
            paths.config_maps("kube-system"),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "carina-tasks-state"}},
        )
    if "kubectl create -f -" in text:
        _lose_the_pv(embedded)
    if " result ID" in text:
        text = text.replace("ID", embedded.send("carina.failover.resume"))
    if " restore NODE VOLUME" in text:
        text = text.replace("NODE VOLUME", f"{TWO} {TRASHED}")
    for word, value in WORDS.items():
        text = re.sub(rf"\b{word}\b", value, text)
    stays = commands.STAYS.search(text)
    env = os.environ | embedded.stage.children.env | embedded.stage.env
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    code, said = _in_a_terminal(text, env, folder, 8 if stays else 90)
    answers = {1, 2} if " doctor" in text else {1} if commands.ANSWERS.search(text) else set()
    allowed = {0} | answers | ({INTERRUPTED} if stays else set())
    if code in allowed and "Traceback" not in said:
        return ""
    return f"{command.page}: {command.text}: ended with {code}: {said[-600:]}"


def _in_a_terminal(text: str, env: dict[str, str], folder: Path, seconds: float) -> tuple[int, str]:
    """Run a command and press ^C after so many seconds; return its exit code, INTERRUPTED after ^C,
    and what it said.

    One signal to the whole group, as a terminal sends it: timeout(1) sends its child two, and the
    second one ends Python's own ending with a traceback. A shell that runs the tests in the
    background has SIGINT ignored in all their processes: `env` sets the default again.
    """
    with subprocess.Popen(
        ["env", "--default-signal=INT", "bash", "-o", "pipefail", "-c", text],
        env=env,
        cwd=folder,
        start_new_session=True,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        interrupted = False
        try:
            said = process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            interrupted = True
            os.killpg(process.pid, signal.SIGINT)
            said = _ending(process)
    return (
        INTERRUPTED
        if interrupted and process.returncode != -signal.SIGKILL
        else process.returncode,
        said,
    )


def _ending(process: subprocess.Popen[str]) -> str:
    """Return what a process reports that has been told to end, or is killed after ten seconds."""
    try:
        return process.communicate(timeout=10)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0]


def _lose_the_pv(embedded: Embedded) -> None:
    """Stop a rebuild where the PV is deleted and not created again: paused, with everything in the
    journal.
    """
    embedded.stage.api.create(
        paths.config_maps("kube-system"),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "carina-tasks-state"},
            "data": {"paused": "manually"},
        },
    )
    cluster, writes = Cluster(embedded.stage.api), ClusterWrites(embedded.stage.api)
    logic_volume, pv = cluster.logic_volume(VOLUME), cluster.persistent_volume(VOLUME)
    assert logic_volume is not None
    assert pv is not None
    writes.write_journal(
        logic_volume,
        Journal(
            intent=str(uuid.uuid4()),
            kind="rebuild",
            source=THREE,
            target=TWO,
            reason="manually",
            started=int(time.time()),
            manifest=manifest_of(pv, pv.policy),
        ),
    )
    writes.delete_persistent_volume(pv)
    writes.strip_finalizers(pv)
