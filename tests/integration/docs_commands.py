"""Every command that README, CONTRIBUTING and docs/ tell people to type, and where the few are
tried that cannot be run here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(?:console|bash|sh)\n(.*?)^ *```", re.M | re.S)


@dataclass(frozen=True)
class Command:
    """One command, as it stands on its page (comment removed)."""

    page: str
    text: str


ELSEWHERE = {
    r"kubectl -n kube-system create configmap": (
        "tests/contract/test_story.py",
        "kubectl sends protobuf, which the emulator does not read",
    ),
    r"helm ": (
        "tests/contract/test_chart_release.py",
        "a real API server, and no emulator, is what helm needs",
    ),
    r"kubectl -n carina-tasks ": (
        "tests/contract/test_chart.py",
        "the chart's objects, by their names; here are processes and no pods",
    ),
    r"make demo": ("tests/integration/test_demo.py", "it is a stack of its own"),
    r"make test( PYTEST_ARGS=.*)?$": (".ci/run", "it is what runs this"),
    r"make (lint|lab)$": (".ci/run", "takes minutes, and root"),
    r"(\w+=\S+ )*make images": (
        "tests/containers/test_compose.py",
        "takes minutes and podman; the test runs deploy/images.sh",
    ),
    r"make (arm64|matrix)": (
        "tests/unit/test_support.py",
        "asks for packages, or takes an hour; what they do is tested in parts",
    ),
    r"(docker|podman) build|podman push|cd deploy && kustomize": (
        "tests/containers/test_compose.py",
        "builds the image with the same file; there is no registry",
    ),
    r"kubectl (apply|delete) -k deploy|kubectl -n kube-system (create secret|delete secret|delete "
    r"configmap) ": (
        "tests/system/test_deploy.py",
        "the manifests, on a real API server",
    ),
    r"python3 deploy/redis/acl.py": ("tests/system/test_deploy.py", "needs the manifests' Redis"),
    r"for node in .*ssh": ("tests/system/test_deploy.py", "files on nodes"),
    r"kubectl -n kube-system (rollout|exec|scale|logs|get pods|delete pod|port-forward)": (
        "tests/system/test_deploy.py",
        "the workloads of deploy/, by their names; here are processes and no pods",
    ),
    r"kubectl (edit|auth can-i|get clusterrolebindings)": (
        "tests/system/test_rbac.py",
        "the emulator has no RBAC",
    ),
    r"kubectl carina ": (
        "tests/contract/test_published.py",
        "a plugin that is not on PATH here",
    ),
    r"kubectl get --raw /readyz": ("tests/system/test_rbac.py", "a real API server's own page"),
    r"(lvs|mount) ": ("tests/system/test_sweeps.py", "on a node, with real lvm2"),
    r"(vgs|lvremove|pvcreate|vgextend|pvchange) ": (
        "tests/system/test_lvm_loop.py",
        "on a node whose metadata area is full, with real lvm2",
    ),
    r"celery -A carina_tasks carina (maintenance end|resume) \S": (
        "tests/system/test_bad_days.py",
        "the node must be in maintenance, or lost",
    ),
    r"celery -A carina_tasks carina (failback|plan \S+ --failback)": (
        "tests/system/test_bad_days.py",
        "the node must hold an old copy",
    ),
    r"ssh ": ("tests/system/test_bad_days.py", "a machine that reboots"),
    r"kubectl get validatingadmissionpolicies": (
        "tests/contract/test_carina_policy.py",
        "the emulator has no policies",
    ),
    r"promtool ": ("tests/system", "a program of Prometheus'; its own tests run it"),
}
"""Commands (patterns) that are not run here: what tries them instead, and why not here."""

STAYS = re.compile(r" -w$| --watch$| (shell|flower)$")
"""Commands that the operator ends."""

ANSWERS = re.compile(r" carina (doctor|failed|plan|status|retry|history)\b| call .*resume")
"""Commands that end with 1 when what they saw needs the operator: that is an answer."""


def commands() -> tuple[Command, ...]:
    """Return each command once, with the page on which it stands first."""
    found: dict[str, Command] = {}
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]:
        page = path.relative_to(ROOT).as_posix()
        for _, block in FENCE.findall(path.read_text()):
            for text in _of_block(block):
                found.setdefault(text, Command(page, text))
    return tuple(found.values())


def elsewhere(text: str) -> tuple[str, str] | None:
    """Return what tries the command instead, and why it is not run here; None when it is run
    here.
    """
    return next((value for pattern, value in ELSEWHERE.items() if re.match(pattern, text)), None)


def _of_block(block: str) -> Iterator[str]:
    """Yield the commands of a block: lines after ``$``, or all of them when none has one."""
    lines = block.replace("\\\n", " ").splitlines()
    prompted = any(line.strip().startswith("$ ") for line in lines)
    text = ""
    for line in lines:
        if not text and prompted and not line.strip().startswith("$ "):
            continue
        text = f"{text}\n{line}" if text else line.strip().removeprefix("$ ")
        if _open(text):
            continue
        bare = re.sub(r"(^|\s+)# .*", "", text).strip()
        text = ""
        if bare:
            yield re.sub(r"\s*\n\s*", " ", bare)


def _open(text: str) -> bool:
    """Return whether a quotation or a loop continues in the next line."""
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return text.startswith("for ") and not re.search(r"^\s*done\b", text, re.M)
