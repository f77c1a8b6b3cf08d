"""The lvm adapter on real lvm2: the tests that the simulated executable passes, on two kinds of node.

* ``loop``: lvm2 on a loop device without a device mapper. It cannot know what is open, so nothing may be removed there;
* ``device-mapper``: lvm2 with a device mapper, in a node of the laboratory.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from carina_tasks.errors import LvmTimeout
from carina_tasks.lvm import commands
from carina_tasks.lvm.command import Lvm, translate
from carina_tasks.lvm.volumes import create_volumes
from carina_tasks.model.messages import CreateVolumes
from carina_tasks.model.quantity import GIB
from tests.lab.lab import Lab
from tests.lab.uml.node import UmlNode
from tests.unit.lvm_behaviour import *  # noqa: F403 - every test there
from tests.unit.lvm_behaviour import MARK, VG, Node, decision, outcomes, remove, want

CONFIG = """
devices {{
  use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none"
  filter=["a|^{device}$|","r|.*|"]
}}
global {{ activation=0 locking_dir="{folder}/lock" }}
activation {{ udev_sync=0 udev_rules=0 monitoring=0 }}
backup {{ backup=0 archive=0 }}
"""


@dataclass(frozen=True)
class GuestLvm(Lvm):
    """The adapter with its lvm process in a node of the laboratory: same command lines, another machine."""

    guest: UmlNode | None = None

    def _call(self, argv: list[str], stdin: bytes | None, timeout: float) -> tuple[str, str]:
        assert self.guest is not None
        text = None if stdin is None else stdin.decode()
        done = self.guest.run("lvm", *argv, stdin=text, timeout=timeout, check=False)
        if done.returncode:
            raise translate(done.stderr, done.returncode)
        return done.stdout, done.stderr


@pytest.fixture(params=["loop", "device-mapper"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """Give a test each kind of node, with an empty VG."""
    if request.param == "device-mapper":
        yield request.getfixturevalue("knowing_node")
        return
    with loop_node(tmp_path) as made:
        yield made


@pytest.fixture
def knowing_node(whole_lab: Lab) -> Iterator[Node]:
    """Give a test a node with a device mapper, and with an empty VG."""
    guest = next(iter(whole_lab.nodes.values()))
    guest.restore()
    guest.wipe()

    @contextmanager
    def hold(name: str) -> Iterator[None]:
        guest.mount(name, VG)
        yield
        guest.unmount(name)

    yield Node(GuestLvm(guest=guest), hold)
    guest.wipe()


@contextmanager
def loop_node(folder: Path) -> Iterator[Node]:
    """Lend a node whose lvm2 has a loop device and no device mapper."""
    disk = folder / "disk"
    disk.touch()
    os.truncate(disk, 40 * GIB + (64 << 20))
    device = _losetup("--find", "--show", str(disk))
    try:
        (folder / "lock").mkdir()
        (folder / "lvm.conf").write_text(CONFIG.format(device=device, folder=folder))
        lvm = Lvm(environment={"LVM_SYSTEM_DIR": str(folder)})
        lvm.run("vgcreate", "-y", VG, device)
        yield Node(lvm, hold=lambda name: pytest.fail("nothing can be held open there"), knows_open=False)
    finally:
        _losetup("--detach", device)


def _losetup(*words: str) -> str:
    return subprocess.run(["losetup", *words], check=True, capture_output=True, text=True).stdout.strip()


def test_a_lock_that_is_never_released(tmp_path: Path):
    """Real lvm2 waits for the VG's lock; the deadline ends the wait, nothing is made, and its words are kept."""
    with loop_node(tmp_path) as node:
        with (tmp_path / "lock" / f"V_{VG}").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            impatient = replace(node.lvm, timeout=1.0)
            with pytest.raises(LvmTimeout, match="waiting for lock"):
                create_volumes(impatient, "n1", CreateVolumes(reserve=0, volumes=(want("volume-a"),)))
        assert node.volumes() == {}


def test_an_origin_stays_with_its_snapshot(knowing_node: Node):
    """An origin is refused by the decision, and, had it become one after the report, by lvm's own selection."""
    node = knowing_node
    target = node.make("volume-a", GIB, MARK)
    decided = decision(node, target)
    node.lvm.run("lvcreate", "-y", "-s", "-n", "snap", "-L", "64m", f"{VG}/volume-a")
    node.lvm.batch(commands.remove(decided))
    assert outcomes(remove(node, target)) == ["failed"]
    assert set(node.volumes()) == {"volume-a", "snap"}
