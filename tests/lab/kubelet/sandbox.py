"""Where a container runs: a root folder of its own, its mounts, its user, its network.

The root folder is read-only. It has the machine's /usr, this virtual environment at its own path,
and the lab's copy of the sources: that is the image.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Final

from tests.lab.errors import LabError
from tests.lab.kube import Json
from tests.lab.processes import Process, start

LINKS: Final = ("bin", "sbin", "lib", "lib64")
TOOLS: Final = {"valkey-server": "redis-server", "valkey-cli": "redis-cli"}
"""Commands of the broker's image, and what stands for them."""
IMAGE: Final = {
    "PATH": f"{sys.prefix}/bin:/opt/tools:/usr/bin:/usr/sbin",
    "PYTHONPATH": "/src",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HOME": "/nonexistent",
}
"""What the image itself puts into the environment."""


@dataclass
class Sandbox:
    """One container."""

    folder: Path
    sources: Path
    hosts: Path
    netns: str
    security: Json
    """securityContext of pod and container, merged."""
    mounts: Sequence[tuple[Path, str, bool]]
    """What is mounted where, and whether it may be written."""
    environment: Mapping[str, str]
    _process: Process | None = field(default=None, repr=False)

    def start(self, command: Sequence[str]) -> None:
        """Start the container's command."""
        root = self._lay_out()
        script = "\n".join(self._script(root)) + '\nexec "$@"\n'
        argv = ["nsenter", f"--net=/run/netns/{self.netns}", "unshare", "--mount", "--uts"]
        argv += ["sh", "-c"]
        argv += [script, "sh", "chroot", str(root), *self._as_user(), "env", "-C", "/tmp", *command]
        env = {**IMAGE, **self.environment}
        self._process = start("container", argv, folder=self.folder, env=env)
        (self.folder / "pid").write_text(str(self._process.pid))

    def exit_code(self) -> int | None:
        """Return the code with which it ended, None while it runs."""
        return self._process.popen.poll() if self._process else None

    def stop(self, grace: float) -> None:
        """End it as a kubelet does: SIGTERM, and SIGKILL after `grace` seconds."""
        if self._process:
            self._process.stop(grace)

    def kill(self) -> None:
        """End it with SIGKILL: what it was doing stays undone."""
        if self._process:
            self._process.signal(signal.SIGKILL)
            self._process.kill()

    def run(self, command: Sequence[str], timeout: float) -> int:
        """Run a command beside it, as the same user, and return its exit code."""
        if self._process is None:
            return 1
        argv = enter_command(self._process.pid, [*self._as_user(), *command])
        env = {**IMAGE, **self.environment}
        try:
            return subprocess.run(argv, env=env, capture_output=True, timeout=timeout).returncode
        except subprocess.TimeoutExpired:
            return 1

    def log(self) -> str:
        """Return what it has written."""
        return self._process.log.read_text(errors="replace") if self._process else ""

    def _as_user(self) -> list[str]:
        user, group = self.security.get("runAsUser", 0), self.security.get("runAsGroup", 0)
        if not user:
            raise LabError("a container that runs as root belongs onto a machine of its own")
        extra = self.security.get("fsGroup")
        groups = f"--groups={extra}" if extra else "--clear-groups"
        caps = ("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")
        ids = (f"--reuid={user}", f"--regid={group}")
        return ["setpriv", *ids, groups, *caps, "--pdeathsig", "KILL", "--"]

    def _lay_out(self) -> Path:
        """Make the root folder and every mount point in it."""
        root = self.folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        for name in ("usr", "proc", "dev", "etc", "tmp", "src", "opt/tools"):
            (root / name).mkdir(parents=True)
        for name in LINKS:
            (root / name).symlink_to(f"usr/{name}")
        for name, real in TOOLS.items():
            (root / "opt/tools" / name).symlink_to(f"/usr/bin/{real}")
        (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\ncarina:x:10001:10001::/:/bin/sh\n")
        (root / "etc/nsswitch.conf").write_text("hosts: files\n")
        for path in (sys.prefix, sys.base_prefix):
            (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        for source, path, _ in [*self.mounts, (self.hosts, "/etc/hosts", False)]:
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.mkdir(exist_ok=True) if source.is_dir() else target.touch()
        return root

    def _script(self, root: Path) -> list[str]:
        """Return the shell commands that mount everything."""
        image = [(Path(one), one, False) for one in ("/usr", sys.base_prefix, sys.prefix)]
        fixed = [*image, (self.sources, "/src", False), (self.hosts, "/etc/hosts", False)]
        lines = ["set -e", f"hostname {self.folder.name}", "mount --make-rprivate /"]
        lines.append(f"mount --bind {quote(str(root))} {root}")
        # The outer first: a pod's /tmp would hide an image that lies below the host's.
        for source, path, writable in sorted(
            [*fixed, *self.mounts], key=lambda one: one[1].count("/")
        ):
            target = quote(f"{root}{path}")
            lines.append(f"[ -e {target} ] || mkdir -p {target}")
            lines.append(f"mount --bind {quote(str(source))} {target}")
            if not writable:
                lines.append(f"mount -o remount,bind,ro {target}")
        lines += [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        if self.security.get("readOnlyRootFilesystem"):
            lines.append(f"mount -o remount,bind,ro {quote(str(root))}")
        return lines


def enter_command(pid: int, command: Sequence[str]) -> list[str]:
    """Return the command line that runs a command where a process runs."""
    return ["nsenter", f"--target={pid}", "--mount", "--uts", "--net", "--root", "--wd", *command]


def write_volume(
    folder: Path, files: Mapping[str, tuple[bytes, int]], owner: int, gid: int
) -> None:
    """Write the files of a volume; what is there already is exchanged in one step.

    Args:
        folder: The volume.
        files: Content and mode by name.
        owner: User id of the files.
        gid: Group id of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name, (content, mode) in files.items():
        made = folder / f".{name}"
        made.write_bytes(content)
        made.chmod(mode)
        os.chown(made, owner, gid)
        made.replace(folder / name)
