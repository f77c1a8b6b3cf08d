"""docs/tutorial.md, run from its first step to its last, as a newcomer types it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.integration import docs_commands
from tests.patience import LOAD

PAGE = "docs/tutorial.md"
CARINA = "celery -A carina_tasks carina"
NODE, OTHER, CLAIM = "10.20.9.152", "10.20.9.153", "default/data-mysql-0"
MYSQL = "pvc-177854eb-f811-4612-92c5-b8bb98126b94"
STEPS: tuple[tuple[str, str], ...] = (
    ("make demo KEEP=1", ""),
    ("kubectl get lv,nodes", rf"(?s)logicvolume.*{MYSQL} .*{NODE} +Success.*node/{OTHER} +Ready"),
    (f"{CARINA} status", rf"\ADEGRADED: 1 volume is missing on node {NODE} \(default/data-lost-0"),
    (f"{CARINA} plan {NODE}", rf"\AHEALTHY: if node {NODE} was deleted: 3 of 3 volumes would"),
    ("kubectl get lv -w", ""),
    (f"kubectl get node {NODE} -o yaml > lost-node.yaml", ""),
    (f"kubectl delete node {NODE}", "deleted"),
    (f"{CARINA} status", rf"\AAT RISK: 1 node, 5 volumes; the loss of node {OTHER} would leave 5"),
    (f"{CARINA} history {CLAIM}", rf"(?s)VolumeRebuiltEmpty .*on node {OTHER}: it was on {NODE}"),
    ("kubectl describe pvc data-mysql-0", r"Warning +VolumeRebuiltEmpty .*carina-tasks"),
    ("kubectl create -f lost-node.yaml", "created"),
    (f"kubectl wait --for=condition=Ready node/{NODE} --timeout=30s", "condition met"),
    (f"{CARINA} plan {NODE} --failback", rf"{CLAIM} .*{OTHER} .* possible "),
    (f"{CARINA} failback {NODE} {CLAIM} --confirm {CLAIM}", rf"{CLAIM} +failed-back "),
    ("kubectl get lv", rf"{MYSQL} .*{NODE} +Success"),
    (f"{CARINA} plan {OTHER}", rf"\AHEALTHY: if node {OTHER} was deleted: 4 of 4 volumes would"),
    (f"kubectl cordon {NODE}", "cordoned"),
    (f"{CARINA} plan {OTHER}", rf"(?s)\AAT RISK.*node {NODE} is cordoned"),
    (f"kubectl uncordon {NODE}", "uncordoned"),
    (f'{CARINA} maintenance start {OTHER} --for 1h --reason "new disks"', "new disks"),
    (f"{CARINA} maintenance end {OTHER}", OTHER),
    (f'{CARINA} pause "looking around" --by me', r"paused: looking around \(by me"),
    (f"{CARINA} resume", r"was paused: looking around \(by me"),
)
"""Each command of the page with what it must say; empty: what it does is seen in a later step."""
CHANGES = ("delete", "create", "failback", "cordon", "uncordon", "start", "end", "pause", "resume")
SECONDS = 25 * LOAD
"""How long a question may be asked again before it must have its answer."""


def commands() -> list[str]:
    """Return the page's commands in order, also those that stand on an earlier page."""
    text = (docs_commands.ROOT / PAGE).read_text()
    return [
        command
        for _, block in docs_commands.FENCE.findall(text)
        for command in docs_commands._of_block(block)
    ]


def run(env: Mapping[str, str], folder: Path) -> None:
    """Run every step on the demo that these variables lead to."""
    assert commands() == [command for command, _ in STEPS]
    env = {**os.environ, **env}
    with subprocess.Popen(
        ["kubectl", "get", "lv", "-w"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as watching:
        try:
            for command, wanted in STEPS:
                if command not in ("make demo KEEP=1", "kubectl get lv -w"):
                    _step(command, wanted, env, folder)
        finally:
            os.killpg(watching.pid, signal.SIGINT)
        seen = watching.stdout.read() if watching.stdout else ""
    rows = re.findall(rf"^{MYSQL} .*$", seen, re.M)
    assert any(re.search(rf"{OTHER} *$", row) for row in rows), f"no empty STATUS: {seen}"
    assert any(re.search(rf"{OTHER} +Success", row) for row in rows), seen


def _step(command: str, wanted: str, env: Mapping[str, str], folder: Path) -> None:
    """Run one command until it says what it should; one that changes something runs once."""
    once = bool(set(command.split()) & set(CHANGES))
    begun = time.monotonic()
    while True:
        done = subprocess.run(
            ["bash", "-c", command],
            env=env,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60 * LOAD,
            check=False,
        )
        if re.search(wanted, done.stdout):
            assert "Traceback" not in done.stderr
            print(f"{command} ({time.monotonic() - begun:.1f} s)")
            return
        again = not once and time.monotonic() - begun < SECONDS
        assert again, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        time.sleep(0.5)
