"""What the nodes run: a virtual environment of the system's Python, and a copy of the sources.

The environment has what the node worker's image has: neither `kubernetes` nor Flower is there.

Both lie where an unprivileged user may read them: a home folder is often closed, and so is a Python
that was installed there. The environment is made once for each lock file; the sources are copied at
each start of a lab, so nothing is installed again when a line changes.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.lab import paths
from tests.lab.errors import LabError

PYTHON = "/usr/bin/python3"
LOCK_FILE = paths.REPOSITORY / "deploy" / "requirements" / "node.txt"
SOURCES = ("carina_tasks", "workers", "beat_schedule.py", "pyproject.toml")


def environment() -> Path:
    """Return the nodes' virtual environment, made now if the lock file is a new one (about 20 s).

    Raises LabError with pip's own words when it cannot be made.
    """
    key = hashlib.sha256(LOCK_FILE.read_bytes()).hexdigest()[:12]
    folder = paths.shared() / f"venv-{key}"
    complete = folder / ".complete"
    open_folder(paths.shared())
    with (paths.shared() / f"venv-{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run(PYTHON, "-m", "venv", folder)
            _run(
                folder / "bin" / "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--require-hashes",
                "-r",
                LOCK_FILE,
            )
            _run("chmod", "-R", "a+rX", folder)
            complete.touch()
    return folder


def copy_sources(folder: Path) -> Path:
    """Copy the product to `folder`, readable by everyone and compiled; return the folder."""
    ignore = shutil.ignore_patterns("__pycache__")
    folder.mkdir(parents=True)
    for name in SOURCES:
        source = paths.REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy(source, folder / name)
    # The nodes see these files read-only, and would compile them at each start. -q -q: a file that
    # does not compile is for the worker to report.
    subprocess.run([PYTHON, "-m", "compileall", "-q", "-q", folder], check=False)
    _run("chmod", "-R", "a+rX", folder)
    return folder


def copy_guest(folder: Path) -> Path:
    """Copy what runs inside a node to `folder`, readable by everyone; return the folder."""
    shutil.copytree(
        Path(__file__).parent / "guest", folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    _run("chmod", "-R", "a+rX", folder)
    (folder / "init.sh").chmod(0o755)
    return folder


def open_folder(folder: Path) -> Path:
    """Make a folder that everyone may enter; raises LabError when one above it is closed to
    others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for one in folder.resolve().parents:
        if not one.stat().st_mode & 0o001:
            raise LabError(
                f"{one} is closed to unprivileged users; set CARINA_LAB_DIR to a folder that is not"
            )
    return folder


def _run(*argv: str | os.PathLike[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(map(str, argv))}: {done.stderr.strip()[-2000:]}")
