"""Runs inside a node: sets it up, keeps the node worker running, and runs the lab's commands.

Standard library only, for the system's Python. The lab talks to it over a serial line (ttyS0), a
JSON object a line, which works while the node's network is cut. Requests are `{"id", "op", ...}`,
answers `{"id", "ok": value}` or `{"id", "error": text}`; the first line is `{"hello": uptime in
seconds}`. The worker's output goes to ttyS1.
"""

import asyncio
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tty
from collections.abc import Awaitable, Callable
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
    """Run a command of the set-up; say what went wrong and continue: the lab sees it on the
    console.
    """
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
    """A service manager for one process: starts it again a second after it ends, until told to
    stop.
    """

    def __init__(self) -> None:
        self.wanted: Json | None = None
        self.process: asyncio.subprocess.Process | None = None
        self.starts = 0
        self.task: asyncio.Task[None] | None = None
        self.output = os.open("/dev/ttyS1", os.O_WRONLY | os.O_NOCTTY)
        tty.setraw(self.output)

    async def supervise(self, wanted: Json) -> None:
        """Keep a process running."""
        while self.wanted is wanted:
            self.process = await asyncio.create_subprocess_exec(
                *wanted["argv"],
                env=wanted["env"],
                cwd=wanted["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=self.output,
                stderr=self.output,
                start_new_session=True,
            )
            self.starts += 1
            say(f"worker ended with {await self.process.wait()}")
            if self.wanted is wanted:
                await asyncio.sleep(1)

    async def start(self, argv: list[str], env: dict[str, str], cwd: str) -> Json:
        """Start it, or leave it as it is when the same one runs."""
        wanted = {"argv": argv, "env": env, "cwd": cwd}
        if self.wanted != wanted:
            await self.stop()
            self.wanted = wanted
            self.task = asyncio.create_task(self.supervise(wanted))
        return await self.status()

    async def stop(self, number: int = signal.SIGTERM, timeout: float = 10) -> Json:
        """End it, with SIGKILL after `timeout` seconds, and do not start it again.

        Raises TimeoutError when it outlives SIGKILL: the kernel holds it, whatever program it is.
        """
        self.wanted = None
        if self.task:
            if process := self.running():
                process.send_signal(number)
            done, _ = await asyncio.wait([self.task], timeout=timeout)
            if not done:
                await self.kill()
                done, _ = await asyncio.wait([self.task], timeout=5)
            if not done:
                raise TimeoutError("the worker outlives SIGKILL: this node's kernel holds it")
            self.task = None
        return await self.status()

    async def kill(self, number: int = signal.SIGKILL) -> Json:
        """Send a signal to its group; it is started again unless it was stopped before."""
        if process := self.running():
            os.killpg(process.pid, number)
        return await self.status()

    async def status(self) -> Json:
        """Return pid (None when it does not run), how often it was started since the boot, and
        whether it is wanted.
        """
        process = self.running()
        return {
            "pid": process.pid if process else None,
            "starts": self.starts,
            "wanted": self.wanted is not None,
        }

    def running(self) -> asyncio.subprocess.Process | None:
        """Return the process if it has not ended."""
        return self.process if self.process and self.process.returncode is None else None


async def run_command(
    argv: list[str], stdin: str | None, timeout: float, env: dict[str, str]
) -> Json:
    """Run one of the lab's commands."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        stdout, stderr = await asyncio.wait_for(
            process.communicate((stdin or "").encode()), timeout
        )
    except TimeoutError:
        process.kill()
        raise TimeoutError(f"{argv} took more than {timeout} s") from None
    return {
        "returncode": process.returncode,
        "stdout": stdout.decode(errors="backslashreplace"),
        "stderr": stderr.decode(errors="backslashreplace"),
    }


async def power_off(worker: Worker) -> None:
    """End the node in good order: the worker first, then what is in memory goes to the disks."""
    await worker.stop()
    run("umount", "-a", "-t", "ext4")
    os.sync()
    ctypes.CDLL(None).reboot(RB_POWER_OFF)


async def serve(config: Json, line: int) -> None:
    """Answer the lab's requests, several at a time."""
    # Not the default, which has a thread for each child.
    watcher = asyncio.PidfdChildWatcher()
    watcher.attach_loop(asyncio.get_running_loop())
    asyncio.set_child_watcher(watcher)
    worker = Worker()
    operations: dict[str, Callable[..., Awaitable[Any]]] = {
        "run": run_command,
        "worker.start": worker.start,
        "worker.stop": worker.stop,
        "worker.kill": worker.kill,
        "worker.status": worker.status,
        "power_off": lambda: power_off(worker),
    }

    def send(message: Json) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(line, data[:1024]) :]

    async def answer(request: Json) -> None:
        try:
            value = await operations[request["op"]](**request.get("with", {}))
            send({"id": request["id"], "ok": value})
        except Exception as error:  # whatever it is, the lab shall read it
            send({"id": request["id"], "error": f"{type(error).__name__}: {error}"})

    async with asyncio.TaskGroup() as requests:
        pending = b""

        def read() -> None:
            nonlocal pending
            pending += os.read(line, 4096)
            *lines, pending = pending.split(b"\n")
            for one in lines:
                requests.create_task(answer(json.loads(one)))

        asyncio.get_running_loop().add_reader(line, read)
        if config["worker"]:
            await worker.start(**config["worker"])
        say(f"{config['name']} is up, kernel {os.uname().release}")
        send({"hello": uptime()})
        await asyncio.Event().wait()


def main() -> None:
    """Set the node up and serve."""
    with open(sys.argv[1]) as file:
        config = json.load(file)
    line = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    set_up(config)
    asyncio.run(serve(config, line))


main()
