"""One node: a user-mode-linux process with disks of its own, real lvm2, and the product's node
worker.

It runs as an unprivileged user in a mount namespace in which everything but its own folder is
read-only, so nothing that happens in it reaches the machine. Disks are sparse files: large for
lvm2, small in truth.
"""

import contextlib
import json
import os
import shutil
import signal
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import paths
from tests.lab.errors import LabError
from tests.lab.network import LabNetwork
from tests.lab.processes import Process, start, wait_until
from tests.lab.uml.channel import Channel

KERNEL = "/usr/bin/linux.uml"
GIB = 1 << 30
TUN = (10, 200)  # /dev/net/tun: major and minor
# `/` becomes read-only in a namespace of its own; the node's folder and its own device node for
# taps stay writable.
ENTER = (
    'set -e; mount --make-rprivate /; mount --bind "$1/tun" /dev/net/tun; mount --bind "$1" "$1"; '
    'mount -o remount,bind,ro /; shift; exec "$@"'
)


@dataclass(frozen=True)
class Completed:
    """What a command in a node came to."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class NodeConfig:
    """What a node is made of. `volume_groups` gives each VG its disks' sizes, in bytes."""

    name: str
    index: int
    volume_groups: Mapping[str, Sequence[int]] = field(
        default_factory=lambda: {"carina-vg-hdd": (20 * GIB, 20 * GIB), "system-vg": (4 * GIB,)}
    )
    memory_mib: int = 256


def _preload() -> dict[str, str]:
    """Return what `uml/xstate.c` needs in the environment; without it UML runs on processors
    without AMX only.
    """
    library = paths.xstate_preload()
    return {"LD_PRELOAD": str(library)} if library.exists() else {}


class UmlNode:
    """A node that can be booted, crashed, cut off and looked into. Paths and ids follow its name;
    dots are fine.
    """

    def __init__(
        self,
        config: NodeConfig,
        folder: Path,
        lab_folder: Path,
        network: LabNetwork,
        uid: int,
        guest: Path,
    ) -> None:
        self.name = config.name
        self.config = config
        self.folder = folder
        self.address = network.node_address(config.index)
        self.console_log = folder / "console.log"
        self.worker_log = folder / "worker.log"
        self.is_cut = False
        self._lab_folder = lab_folder
        self._network = network
        self.uid = uid
        self._guest = guest
        self._tap = f"uml{config.index}"
        self._process: Process | None = None
        self._channel: Channel | None = None
        self._worker: dict[str, Any] | None = None
        self._frozen = False

    @property
    def up(self) -> bool:
        """Return whether the kernel runs."""
        return self._process is not None and self._process.alive

    def boot(self, timeout: float = 60) -> float:
        """Start the kernel and wait until the node is set up; return the seconds it took.

        The worker starts with it if it had been started before. Raises LabError with the console's
        last lines.
        """
        begun = time.monotonic()
        self.power_on()
        self.wait_until_up(timeout)
        return time.monotonic() - begun

    def power_on(self) -> None:
        """Start the kernel and return at once: several nodes boot side by side."""
        if self.up:
            raise LabError(f"{self.name} is up already")
        disks = self._prepare()
        channel = Channel()
        read, write = channel.guest_fds
        with self.worker_log.open("ab") as worker_log:
            self._process = start(
                "console",
                [
                    *self._network.prefix_command(),
                    *("unshare", "--mount", "sh", "-c", ENTER, "sh", str(self.folder)),
                    # One processor for each node: boots and lvm2 are 3 to 10 times slower when it
                    # moves about.
                    *("taskset", "--cpu-list", str(self._processor())),
                    *(
                        "setpriv",
                        f"--reuid={self.uid}",
                        f"--regid={self.uid}",
                        "--clear-groups",
                        "--",
                    ),
                    *self._kernel_command(disks, read, write, worker_log.fileno()),
                ],
                folder=self.folder,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": "/dev/shm", **_preload()},
                pass_fds=(read, write, worker_log.fileno()),
                # Never the kernel process alone: the guest's processes, which it traces, would run
                # on, on the host.
                die_with_parent=False,
            )
        channel.attach()
        self._channel = channel
        self._frozen = False

    def wait_until_up(self, timeout: float = 60) -> float:
        """Wait until the node is set up; return its own uptime then, in seconds."""
        try:
            return self._line().hello(timeout)
        except LabError as error:
            raise LabError(f"{self.name}: {error}\n{self.console_tail()}") from None

    def crash(self) -> None:
        """Take the power away. What the kernel had in memory is lost; the disks stay."""
        # The whole group: the kernel's I/O helpers outlive it and hold tap and disks.
        if self._process:
            self._process.kill()
            self._process = None

    def shut_down(self, timeout: float = 20) -> None:
        """End the node in good order."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(LabError):  # it ends instead of answering
            self._line().call("power_off", timeout)
        deadline = time.monotonic() + timeout
        while process.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        self.crash()

    def reboot(self) -> float:
        """Shut down and boot; return the seconds of the boot."""
        self.shut_down()
        return self.boot()

    def cut(self) -> None:
        """Pull the network cable."""
        self._network.cut(self._tap)
        self.is_cut = True

    def heal(self) -> None:
        """Put the network cable back."""
        self._network.heal(self._tap)
        self.is_cut = False

    def freeze(self) -> None:
        """Stop the whole machine where it stands, as a hypervisor does; its clocks jump when it
        continues.
        """
        # The kernel process alone: it traces its guest processes, and a stop signal to those would
        # confuse it.
        self._running().popen.send_signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """Let a frozen machine continue."""
        self._running().popen.send_signal(signal.SIGCONT)
        self._frozen = False

    def run(
        self, *argv: str, stdin: str | None = None, timeout: float = 60, check: bool = True
    ) -> Completed:
        """Run a command as root inside the node (no shell).

        Raises LabError when the node does not answer, the command does not exist or outlives
        `timeout` seconds, and, unless `check` is false, when it ends with another code than 0.
        """
        answer = self._line().call(
            "run", timeout + 5, argv=argv, stdin=stdin, timeout=timeout, env={}
        )
        done = Completed(**answer)
        if check and done.returncode:
            raise LabError(
                f"{self.name}: {' '.join(argv)}: {done.returncode}: "
                f"{done.stderr.strip() or done.stdout}"
            )
        return done

    def lvs(self, vg: str | None = None, fields: str = "lv_all,vg_name") -> list[dict[str, str]]:
        """Return lvm2's report of the logical volumes, sizes in bytes; hidden ones (thin pools'
        parts) left out.
        """
        return self._report("lvs", "lv", fields, vg)

    def vgs(self, vg: str | None = None, fields: str = "vg_all") -> list[dict[str, str]]:
        """Return lvm2's report of the volume groups, sizes in bytes."""
        return self._report("vgs", "vg", fields, vg)

    def lv_sizes(self, vg: str = "carina-vg-hdd") -> dict[str, int]:
        """Return name and size in bytes of each logical volume of a VG; what lies in the product's
        trash is left out.
        """
        found = self.lvs(vg, "lv_name,lv_size")
        return {
            one["lv_name"]: int(one["lv_size"])
            for one in found
            if not one["lv_name"].startswith("trash-")
        }

    def create_lv(self, name: str, size: int, vg: str = "carina-vg-hdd") -> tuple[int, int]:
        """Make a linear LV of `size` bytes with wiped signatures, as Carina does; return its device
        numbers.
        """
        self.run(
            "lvcreate",
            "--quiet",
            "--yes",
            "--wipesignatures",
            "y",
            "--name",
            name,
            "--size",
            f"{size}b",
            vg,
        )
        one = self._report("lvs", "lv", "lv_kernel_major,lv_kernel_minor", f"{vg}/{name}")[0]
        return int(one["lv_kernel_major"]), int(one["lv_kernel_minor"])

    def mount(self, lv: str, vg: str = "carina-vg-hdd") -> str:
        """Put ext4 on an LV if it has none and hold it open by mounting it; return the mount
        point.
        """
        device, point = f"/dev/{vg}/{lv}", f"/mnt/{lv}"
        if self.run("blkid", device, check=False).returncode:
            self.run("mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1", device)
        self.run("mkdir", "-p", point)
        self.run("mount", device, point)
        return point

    def unmount(self, lv: str) -> None:
        """Let go of an LV that `mount` holds."""
        self.run("umount", f"/mnt/{lv}")

    def wipe(self) -> None:
        """Bring the node back to its empty volume groups: mounts and LVs that a test made are gone.

        Raises LabError when that cannot be (a VG is lost, an LV is held open in some other way);
        then see `reset`.
        """
        # A pvmove that a failed test left would lock its LV against every later test.
        self.run("sh", "-c", "umount -q /mnt/* 2>/dev/null; pkill pvmove && pvmove --abort; true")
        if report := self.lvs(fields="vg_name,lv_name,pool_lv"):
            # Thin volumes before their pools; all at once is 20 times faster than one by one.
            report.sort(key=lambda one: not one["pool_lv"])
            self.run(
                "lvremove",
                "-q",
                "-f",
                "-y",
                *(f"{one['vg_name']}/{one['lv_name']}" for one in report),
            )
        expected = {*self.config.volume_groups}
        found = {one["vg_name"] for one in self.vgs(fields="vg_name")}
        if found != expected:
            raise LabError(
                f"{self.name} has the volume groups {sorted(found)}, want {sorted(expected)}"
            )

    def start_worker(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> dict[str, Any]:
        """Start the node worker under the node's service manager; a running one of the same kind is
        left alone.

        `env` is its whole environment. It starts again after each end and after each boot, until
        `stop_worker`. A node whose kernel holds the worker before it is booted again.
        """
        self._worker = {"argv": list(argv), "env": dict(env), "cwd": cwd}
        try:
            return dict(self._line().call("worker.start", 30, **self._worker))
        except LabError:
            self._boot_again()
            return self.worker_status()

    def stop_worker(self) -> None:
        """End the worker with SIGTERM and do not start it again."""
        self._worker = None
        try:
            self._line().call("worker.stop", 30)
        except LabError:
            self._boot_again()

    def boot_if_worker_is_held(self) -> bool:
        """Kill the worker; boot the node again if the kernel holds it; return whether it did.

        User-mode-linux loses a process now and then: it stands still and outlives SIGKILL. No
        program can do that, so this hides no fault of the product: a worker that can be killed
        is left to the test.
        """
        try:
            starts = self.worker_status()["starts"]
            self.kill_worker()
            wait_until(
                f"{self.name}: the worker's end",
                lambda: self.worker_status()["starts"] > starts,
                5,
                every=0.2,
            )
        except LabError:
            self._boot_again()
            return True
        return False

    def forget_worker(self) -> None:
        """Do not start the worker at the next boot: its pod is gone."""
        self._worker = None

    def kill_worker(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the worker's process group; the service manager starts it again a second
        after its end.
        """
        self._line().call("worker.kill", 10, number=int(number))

    def worker_status(self) -> dict[str, Any]:
        """Return `pid` (None when it does not run), `starts` since the boot, and whether it is
        `wanted`.
        """
        return dict(self._line().call("worker.status", 10))

    def console_tail(self, lines: int = 30) -> str:
        """Return the console's last lines."""
        text = self.console_log.read_text(errors="replace") if self.console_log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def restore(self) -> None:
        """Bring back whatever a test left: frozen, cut, crashed or out of its mind; it is up and
        connected afterwards.
        """
        if self.up and self._frozen:
            self.thaw()
        if self.is_cut:
            self.heal()
        if self.up:
            with contextlib.suppress(LabError):
                self.run("true", timeout=5)
                return
        self._boot_again()

    def reset(self) -> None:
        """Give the node new disks and boot it: for what `wipe` cannot undo."""
        self.crash()
        for disk in self.folder.glob("disk-*.img"):
            disk.unlink()
        self.boot()

    def _boot_again(self) -> None:
        self.crash()
        self.boot()

    def _report(
        self, command: str, kind: str, fields: str, target: str | None
    ) -> list[dict[str, str]]:
        done = self.run(
            command,
            "--reportformat",
            "json",
            "--units",
            "b",
            "--nosuffix",
            "-o",
            fields,
            *([target] if target else []),
        )
        return list(json.loads(done.stdout)["report"][0][kind])

    def _line(self) -> Channel:
        if self._channel is None:
            raise LabError(f"{self.name} was never booted")
        return self._channel

    def _running(self) -> Process:
        if self._process is None or not self._process.alive:
            raise LabError(f"{self.name} is not up")
        return self._process

    def _processor(self) -> int:
        processors = sorted(os.sched_getaffinity(0))
        return processors[self.config.index % len(processors)]

    def _prepare(self) -> list[Path]:
        """Lay out the node's folder and disks (kept from boot to boot); return the disks in
        order.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        os.chown(self.folder, self.uid, self.uid)
        # What a dead kernel left of its control socket.
        shutil.rmtree(self.folder / "uml", ignore_errors=True)
        tun = self.folder / "tun"
        if not tun.exists():
            os.mknod(tun, 0o600 | stat.S_IFCHR, os.makedev(*TUN))
        os.chown(tun, self.uid, self.uid)
        disks: list[Path] = []
        groups: dict[str, list[str]] = {}
        for vg, sizes in self.config.volume_groups.items():
            for size in sizes:
                groups.setdefault(vg, []).append(f"/dev/ubd{chr(ord('a') + len(disks))}")
                disk = self.folder / f"disk-{len(disks)}.img"
                if not disk.exists():
                    with disk.open("wb") as file:
                        file.truncate(size)
                os.chown(disk, self.uid, self.uid)
                disks.append(disk)
        (self.folder / "node.json").write_text(
            json.dumps(
                {
                    "name": self.name,
                    "address": f"{self.address}/24",
                    "volume_groups": groups,
                    "worker": self._worker,
                }
            )
        )
        os.chown(self.folder / "node.json", self.uid, self.uid)
        (self.folder / "node.json").chmod(
            0o600
        )  # the worker's environment has the broker's password
        self._network.add_tap(self._tap, self.uid)
        return disks

    def _kernel_command(
        self, disks: Sequence[Path], read: int, write: int, worker_log: int
    ) -> list[str]:
        return [
            KERNEL,
            f"mem={self.config.memory_mib}M",
            *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet"),
            *(f"uml_dir={self.folder}/", "umid=uml", f"init={self._guest / 'init.sh'}"),
            *("con=null", "con0=null,fd:1", "ssl=null"),
            *(f"ssl0=fd:{read},fd:{write}", f"ssl1=null,fd:{worker_log}"),
            *(f"ubd{number}={disk}" for number, disk in enumerate(disks)),
            # Without gro=1 the guest's TCP stalls.
            f"vec0:transport=tap,ifname={self._tap},depth=64,gro=1,mac=02:00:00:00:99:{self.config.index:02x}",
            f"LAB={self._lab_folder}",
            f"CONFIG={self.folder / 'node.json'}",
        ]
