"""A privileged pod of a node: its process runs on the node's own machine, with the node's lvm2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote

from tests.lab.uml import software
from tests.lab.uml.node import UmlNode


class Machine:
    """One privileged container. The node's agent starts it again when it ends."""

    def __init__(
        self,
        node: UmlNode,
        sources: Path,
        hosts: Path,
        mounts: Sequence[tuple[Path, str, bool]],
        environment: Mapping[str, str],
    ) -> None:
        self._node, self._sources, self._hosts = node, sources, hosts
        self._mounts, self._environment = mounts, environment

    def start(self, command: Sequence[str]) -> None:
        """Start the container's command."""
        links = [(str(source), path) for source, path, writable in self._mounts if not writable]
        for source, path in [*links, (str(self._hosts), "/etc/hosts")]:
            # The machine shows the host's files; where they are to be seen is a link.
            script = f"mkdir -p {quote(str(Path(path).parent))}; ln -sfn {quote(source)} {path}"
            self._node.run("sh", "-c", script)
        image = {
            "PATH": f"{software.environment()}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(self._sources),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/root",
        }
        self._node.start_worker(command, {**image, **self._environment}, "/tmp")

    def exit_code(self) -> int | None:
        """Return None: the agent starts it again."""
        return None

    def starts(self) -> int:
        """Return how often it was started since the node's boot."""
        return int(self._node.worker_status()["starts"])

    def stop(self, grace: float) -> None:
        """End it with SIGTERM."""
        del grace
        self._node.stop_worker()

    def kill(self) -> None:
        """End it with SIGKILL; the agent starts it again."""
        if self._node.up:
            self._node.kill_worker()

    def run(self, command: Sequence[str], timeout: float) -> int:
        """Run a command beside it and return its exit code."""
        return self._node.run(*command, timeout=timeout, check=False).returncode

    def log(self) -> str:
        """Return what it has written."""
        return self._node.worker_log.read_text(errors="replace")
