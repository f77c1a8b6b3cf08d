"""The emulator as a process and as a thread: how it starts, how it ends, how much it remembers."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

from carina_tasks.emulator.api_server import ApiServer
from tests.contract.objects import config_map
from tests.contract.server import Server

pytestmark = pytest.mark.contract

COMMAND = [sys.executable, "-m", "carina_tasks.emulator.api_server"]


def test_command(tmp_path: Path) -> None:
    """The command serves an empty cluster on a free port, writes a kubeconfig, reports it, and ends
    by
    SIGTERM with 0.
    """
    config = tmp_path / "kubeconfig"
    with subprocess.Popen(
        [*COMMAND, "--kubeconfig", str(config)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        url = line.split()[4].rstrip(",")
        assert line == f"Kubernetes API emulator at {url}, kubeconfig {config}"
        assert f"server: {url}\n" in config.read_text()
        found = urllib3.request("GET", f"{url}/apis/carina.storage.io/v1/logicvolumes").json()
        assert found["items"] == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_port_in_use() -> None:
    """A port that is taken is one clear line and exit code 1."""
    with ApiServer() as server:
        done = subprocess.run(
            [*COMMAND, "--port", str(server.port)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        with pytest.raises(OSError, match="Address already in use"):
            ApiServer(port=server.port).start()
    assert done.returncode == 1
    assert done.stderr == f"cannot serve on 127.0.0.1:{server.port}: Address already in use\n"


def test_bounded_history(tmp_path: Path) -> None:
    """A server that remembers three writes tells a watch from before them that it is too old, and
    serves a later one.
    """
    with ApiServer(history=3) as emulator:
        server = Server(
            "small",
            emulator.url,
            emulator.kubeconfig(tmp_path / "kubeconfig"),
            emulator.forget_history,
        )
        path = "/api/v1/namespaces/default/configmaps"
        versions = [
            server.create(path, config_map(f"c{n}"))["metadata"]["resourceVersion"]
            for n in range(5)
        ]
        with server.watch(path, resourceVersion=versions[0], timeoutSeconds="1") as events:
            assert [event["type"] for event in events] == ["ERROR"]
        with server.watch(path, resourceVersion=versions[1], timeoutSeconds="1") as events:
            assert [event["object"]["metadata"]["name"] for event in events] == ["c2", "c3", "c4"]


def test_stop_with_open_watch(tmp_path: Path) -> None:
    """Stopping the server ends a watch that is open, and closes the port."""
    emulator = ApiServer()
    emulator.start()
    server = Server(
        "stopped",
        emulator.url,
        emulator.kubeconfig(tmp_path / "kubeconfig"),
        emulator.forget_history,
    )
    server.create("/api/v1/namespaces/default/configmaps", config_map("one"))
    with server.watch("/api/v1/namespaces/default/configmaps") as events:
        assert next(events)["type"] == "ADDED"
        emulator.stop()
        with pytest.raises(urllib3.exceptions.HTTPError):
            list(events)
    with pytest.raises(urllib3.exceptions.HTTPError):
        server.get("/version")
