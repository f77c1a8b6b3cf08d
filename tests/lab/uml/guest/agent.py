"""Runs inside a node: sets it up, keeps the node worker running, and runs the lab's commands.

Standard library only, for the system's Python. The lab talks to it over a serial line (ttyS0), a JSON object a line,
which works while the node's network is cut. Requests are `{"id", "op", ...}`, answers `{"id", "ok": value}` or
`{"id", "error": text}`; the first line is `{"hello": uptime in seconds}`. The worker's output goes to ttyS1.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]

RB_POWER_OFF = 0x4321FEDC
LVM_CONF = """
devices {
  use_devicesfile=0
  obtain_device_list_from_udev=0
  external_device_info_source="none"
  filter=["a|^/dev/ubd[a-z]+$|", "r|.*|"]
}
# There is no udev in here: lvm2 makes the device nodes itself, and must not wait for anyone.
activation { udev_sync=0 udev_rules=0 monitoring=0 thin_pool_autoextend_threshold=100 }
backup { backup=0 archive=0 }
"""


def say(text: str) -> None:
    """Write to the console, which the lab keeps as a file."""
    print(f"[{uptime():.2f}] {text}", flush=True)


def uptime() -> float:
    """Return the seconds since the kernel started."""
    with open("/proc/uptime") as file:
        return float(file.read().split()[0])


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the set-up; say what went wrong and go on: the lab sees it on the console."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        say(f"{' '.join(argv)}: {done.returncode} {done.stderr.strip()}")
    return done


def set_up(config: Json) -> None:
    """Give the node its name, address and volume groups."""
    socket.sethostname(config["name"])
    with open("/etc/hosts", "w") as file:
        file.write(f"127.0.0.1 localhost {config['name']}\n")
    with open("/etc/resolv.conf", "w") as file:
        file.write("")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "set", "vec0", "up")
    run("ip", "addr", "add", config["address"], "dev", "vec0")
    os.makedirs("/run/lock/lvm", exist_ok=True)
    os.makedirs("/etc/lvm", exist_ok=True)
    with open("/etc/lvm/lvm.conf", "w") as file:
        file.write(LVM_CONF)
    with open("/etc/lvm/lvmlocal.conf", "w") as file:
        file.write("")
    found = run("vgs", "--noheadings", "-o", "vg_name").stdout.split()
    for name, disks in config["volume_groups"].items():
        if name in found:
            run("vgchange", "-q", "-ay", name)
        else:
            run("vgcreate", "-q", "-y", name, *disks)


class Worker:
    """A service manager for one process: starts it again a second after it ends, until told to stop."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted: Json | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.wake = threading.Event()
        threading.Thread(target=self.supervise, daemon=True).start()

    def supervise(self) -> None:
        """Keep the wanted process running."""
        with open("/dev/ttyS1", "wb", buffering=0) as output:
            tty.setraw(output.fileno())
            while True:
                with self.lock:
                    wanted = self.wanted
                    if wanted:
                        self.process = subprocess.Popen(
                            wanted["argv"],
                            env=wanted["env"],
                            cwd=wanted["cwd"],
                            stdin=subprocess.DEVNULL,
                            stdout=output,
                            stderr=output,
                            start_new_session=True,
                        )
                        self.starts += 1
                if not wanted:
                    self.wake.wait()
                    self.wake.clear()
                    continue
                code = self.process.wait() if self.process else 0
                say(f"worker ended with {code}")
                if self.wanted:
                    time.sleep(1)

    def start(self, argv: list[str], env: dict[str, str], cwd: str) -> Json:
        """Start it, or leave it as it is when the same one runs."""
        wanted = {"argv": argv, "env": env, "cwd": cwd}
        if self.wanted == wanted:
            return self.status()
        self.stop()
        with self.lock:
            self.wanted = wanted
        self.wake.set()
        return self.status()

    def stop(self, number: int = signal.SIGTERM, timeout: float = 10) -> Json:
        """End it and do not start it again."""
        with self.lock:
            self.wanted = None
        process = self.process
        if process and process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.status()

    def kill(self, number: int = signal.SIGKILL) -> Json:
        """Send a signal to its group; it is started again unless it was stopped before."""
        process = self.process
        if process and process.poll() is None:
            os.killpg(process.pid, number)
        return self.status()

    def status(self) -> Json:
        """Return pid (None when it does not run) and how often it was started."""
        process = self.process
        return {
            "pid": process.pid if process and process.poll() is None else None,
            "starts": self.starts,
            "wanted": self.wanted is not None,
        }


class Line:
    """The serial line: reads requests, answers each from a thread of its own."""

    def __init__(self) -> None:
        self.file = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.file)
        self.lock = threading.Lock()

    def send(self, message: Json) -> None:
        """Write one line."""
        data = json.dumps(message).encode() + b"\n"
        with self.lock:
            while data:
                data = data[os.write(self.file, data[:1024]) :]

    def requests(self) -> Iterator[Json]:
        """Yield each request."""
        pending = b""
        while True:
            pending += os.read(self.file, 4096)
            *lines, pending = pending.split(b"\n")
            for line in lines:
                yield json.loads(line)


def run_command(argv: list[str], stdin: str | None, timeout: float, env: dict[str, str]) -> Json:
    """Run one of the lab's commands."""
    done = subprocess.run(
        argv,
        input=(stdin or "").encode(),
        capture_output=True,
        timeout=timeout,
        env={**os.environ, **env},
    )
    return {
        "returncode": done.returncode,
        "stdout": done.stdout.decode(errors="backslashreplace"),
        "stderr": done.stderr.decode(errors="backslashreplace"),
    }


def power_off(worker: Worker) -> None:
    """End the node in good order: the worker first, then what is in memory goes to the disks."""
    worker.stop()
    subprocess.run(["umount", "-a", "-t", "ext4"], capture_output=True)
    os.sync()
    ctypes.CDLL(None).reboot(RB_POWER_OFF)


def main() -> None:
    """Set the node up and serve."""
    with open(sys.argv[1]) as file:
        config = json.load(file)
    line = Line()
    set_up(config)
    worker = Worker()
    if config.get("worker"):
        worker.start(**config["worker"])
    operations: dict[str, Callable[..., Any]] = {
        "run": run_command,
        "worker.start": worker.start,
        "worker.stop": worker.stop,
        "worker.kill": worker.kill,
        "worker.status": worker.status,
        "power_off": lambda: power_off(worker),
    }

    def answer(request: Json) -> None:
        try:
            value = operations[request["op"]](**request.get("with", {}))
            line.send({"id": request["id"], "ok": value})
        except Exception as error:
            line.send({"id": request["id"], "error": f"{type(error).__name__}: {error}"})

    say(f"{config['name']} is up, kernel {os.uname().release}")
    line.send({"hello": uptime()})
    for request in line.requests():
        threading.Thread(target=answer, args=(request,), daemon=True).start()


main()
