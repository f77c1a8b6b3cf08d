"""The lvm adapter on real lvm2: the tests that the simulated executable passes, on two kinds of
node.

* ``loop``: lvm2 on a loop device without a device mapper. It cannot know what is open, so nothing
  may be removed there;
* ``device-mapper``: lvm2 with a device mapper, in a node of the laboratory.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from carina_tasks.errors import LvmTimeout
from carina_tasks.lvm import commands
from carina_tasks.lvm.command import Lvm, Reported
from carina_tasks.lvm.report import inventory
from carina_tasks.lvm.volumes import create_volumes, mark_volumes
from carina_tasks.model.messages import CreateLvs, LvTarget, MarkLvs
from carina_tasks.model.quantity import GIB
from tests.lab import paths
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.loop_node import loop_node
from tests.lab.uml.node import UmlNode
from tests.unit.lvm_behaviour import *  # noqa: F403 - every test there
from tests.unit.lvm_behaviour import MARK, VG, Node, create, decision, outcomes, remove, want


@dataclass(frozen=True)
class GuestLvm(Lvm):
    """The adapter with its lvm process in a node of the laboratory: same command lines, another
    machine.
    """

    guest: UmlNode | None = None

    def _call(self, argv: list[str], stdin: bytes | None, timeout: float) -> Reported:
        assert self.guest is not None
        text = None if stdin is None else stdin.decode()
        done = self.guest.run(*self.binary, *argv, stdin=text, timeout=timeout, check=False)
        return Reported(done.stdout, done.stderr, done.returncode)


DEBIAN_12 = ("lvm",)


def debian_13(lab: Lab) -> tuple[str, ...]:
    """Return the command that runs Debian 13's lvm2 on a node's disks, by chroot."""
    return (str(lab.folder / "guest" / "lvm-of.sh"), str(paths.other_lvm()))


@pytest.fixture(params=["loop", "debian-12", "debian-13"])
def node(request: pytest.FixtureRequest, tmp_path: Path, whole_lab: Lab) -> Iterator[Node]:
    """Give a test each kind of node, with an empty VG."""
    with (
        loop_node(tmp_path)
        if request.param == "loop"
        else lab_node(whole_lab, request.param) as made
    ):
        yield made


@pytest.fixture(params=["debian-12", "debian-13"])
def knowing_node(request: pytest.FixtureRequest, whole_lab: Lab) -> Iterator[Node]:
    """Give a test a node with a device mapper, and with an empty VG: each of the two lvm2 in
    turn.
    """
    with lab_node(whole_lab, request.param) as made:
        yield made


@contextmanager
def lab_node(whole_lab: Lab, debian: str) -> Iterator[Node]:
    """Lend an empty node of the laboratory, with the lvm2 of that Debian."""
    guest = next(iter(whole_lab.nodes.values()))
    guest.restore()
    guest.wipe()

    @contextmanager
    def hold(name: str) -> Iterator[None]:
        guest.mount(name, VG)
        try:
            yield
        finally:
            guest.unmount(name)

    @contextmanager
    def lock(name: str) -> Iterator[None]:
        (found,) = guest.lvs(f"{VG}/{name}", "devices")
        # +600: pvmove waits ten minutes before it looks at its progress for the first time. With
        # 600 it looks at once; on a busy machine the copy was complete by then, and pvmove ended.
        moving = (
            f"pvmove -i +600 -n {name} {found['devices'].partition('(')[0]} > /tmp/pvmove 2>&1 &"
        )
        # The lock is in the metadata before the devices are switched over, which takes lvm a moment
        # more.
        locked = (
            "until lvs -a --noheadings -S lv_name=~pvmove0 | grep -q .; do sleep 0.2; done; sleep 1"
        )
        try:
            guest.run("sh", "-c", f"{moving} {locked}")
            yield
        finally:
            guest.run("sh", "-c", "pkill pvmove; pkill lvm; sleep 0.2; pvmove --abort; true")

    yield Node(
        GuestLvm(guest=guest, binary=DEBIAN_12 if debian == "debian-12" else debian_13(whole_lab)),
        hold,
        lock,
    )


def test_a_lock_that_is_never_released(tmp_path: Path):
    """Real lvm2 waits for the VG's lock; the deadline ends the wait, nothing is made, and its words
    are kept.
    """
    with loop_node(tmp_path) as node:
        with (tmp_path / "lock" / f"V_{VG}").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            impatient = replace(node.lvm, timeout=1.0)
            with pytest.raises(LvmTimeout, match="waiting for lock"):
                create_volumes(impatient, "n1", CreateLvs(reserve=0, volumes=(want("volume-a"),)))
        assert node.volumes() == {}


CUTS = (0.1, 0.2, 0.25, 0.3, 0.4, 0.6)
"""Seconds after the beginning of an lvcreate, which takes 0.2 to 0.4 s there."""


def test_a_power_cut_during_lvcreate_hands_out_no_old_files(knowing_node: Node):
    """The machine dies at any moment of it: asked again after the boot, the LV is complete and
    shows no old file system.
    """
    node, seen = knowing_node, []
    guest = node.lvm.guest  # type: ignore[attr-defined]
    for seconds in CUTS:
        node.make("volume-old", GIB)
        guest.mount("volume-old", VG)
        guest.run("sh", "-c", "echo secret > /mnt/volume-old/file; sync")
        guest.unmount("volume-old")
        node.lvm.run("lvremove", "-y", f"{VG}/volume-old")
        asked = threading.Thread(
            target=lambda: suppressed(LabError, lambda: create(node, want("volume-a")))
        )
        asked.start()
        time.sleep(seconds)
        guest.crash()
        asked.join()
        guest.boot()
        there = node.volumes().get("volume-a")
        seen.append("absent" if there is None else "unfinished" if there.unfinished else "complete")
        (done,) = create(node, want("volume-a"))
        assert done.outcome in ("created", "replaced", "kept")
        assert guest.run("blkid", "-p", f"/dev/{VG}/volume-a", check=False).returncode == 2, seen
        node.lvm.run("lvremove", "-y", f"{VG}/volume-a")
    print(f"after the power was cut: {seen}")


def suppressed(error: type[Exception], work: Callable[[], object]) -> None:
    """Do `work`, whose machine may die."""
    with suppress(error):
        work()


def test_an_origin_stays_with_its_snapshot(knowing_node: Node):
    """An origin is refused by the decision, and, had it become one after the report, by lvm's own
    selection.
    """
    node = knowing_node
    target = node.make("volume-a", GIB, MARK)
    decided = decision(node, target)
    node.lvm.run("lvcreate", "-y", "-s", "-n", "snap", "-L", "64m", f"{VG}/volume-a")
    node.lvm.batch(commands.remove(decided))
    assert outcomes(remove(node, target)) == ["failed"]
    assert set(node.volumes()) == {"volume-a", "snap"}


def test_a_full_metadata_area_keeps_lvms_words_and_has_a_way_out(knowing_node: Node):
    """The trash needs tags, which do not fit: the reason is lvm's, and what it advises helps."""
    lvm, group = knowing_node.lvm, "system-vg"
    guest = knowing_node.lvm.guest  # type: ignore[attr-defined]
    guest.run("vgremove", "-q", "-f", "-y", group)
    guest.run(
        "pvcreate", "-ff", "-y", "--dataalignment", "64k", "--metadatasize", "32k", "/dev/ubdc"
    )
    guest.run("vgcreate", "-s", "64k", group, "/dev/ubdc")
    try:
        for name in ("volume-a", "filler"):
            lvm.run("lvcreate", "-y", "-n", name, "-L", "8m", "--addtag", MARK, group)
        (found,) = (
            v for v in inventory(lvm, "n1").volumes if v.name == "volume-a" and v.group == group
        )
        fill = [
            ("lvchange", "-y", "--addtag", f"{'x' * size}{number}", f"{group}/filler")
            for size in (900, 40)
            for number in range(40)
        ]
        assert any("exceeds maximum metadata size" in words for words in lvm.batch(fill).errors)
        target = LvTarget(group, "volume-a", found.uuid)
        (done,) = remove(knowing_node, target, trash_at=2000)
        assert done.outcome == "failed"
        assert "exceeds maximum metadata size" in done.reason
        assert "pvcreate --metadatasize" in done.reason
        lvm.run("lvremove", "-y", f"{group}/filler")
        assert outcomes(remove(knowing_node, target, trash_at=2000)) == ["trashed"]
    finally:
        guest.run("vgremove", "-q", "-f", "-y", group)
        guest.run("pvcreate", "-ff", "-y", "/dev/ubdc")
        guest.run("vgcreate", group, "/dev/ubdc")


def test_a_host_that_formats_lvms_output_is_read_all_the_same(knowing_node: Node):
    """Every setting of lvm.conf that changes what lvm prints: volumes are made, marked, trashed and
    read as ever.
    """
    guest = knowing_node.lvm.guest  # type: ignore[attr-defined]
    settings = """
log { prefix="XX " verbose=1 indent=1 command_names=1 report_command_log=1 }
report { compact_output=1 compact_output_cols="lv_tags" prefixes=1 list_item_separator=";"
  columns_as_rows=1 headings=2 buffered=0 aligned=0 quoted=0 separator="#"
  time_format="%Y" output_format="json" }
"""
    guest.run("cp", "/etc/lvm/lvm.conf", "/tmp/lvm.conf")
    guest.run("sh", "-c", "cat >> /etc/lvm/lvm.conf", stdin=settings)
    try:
        wanted = CreateLvs(reserve=0, volumes=(want("volume-a"),))
        assert outcomes(list(create_volumes(knowing_node.lvm, "n1", wanted).volumes)) == ["created"]
        made = knowing_node.volumes()["volume-a"]
        assert made.intent == wanted.volumes[0].intent
        target = LvTarget(made.group, made.name, made.uuid)
        mark_volumes(knowing_node.lvm, "n1", MarkLvs(at=1000, mark=(target,)))
        assert outcomes(remove(knowing_node, target, trash_at=2000)) == ["trashed"]
        (lying,) = knowing_node.volumes().values()
        assert lying.trashed is not None
        assert lying.trashed.name == "volume-a"
        (again,) = create_volumes(
            knowing_node.lvm, "n1", CreateLvs(reserve=0, volumes=(want("volume-b", 99999 * GIB),))
        ).volumes
        assert (again.outcome, "free" in again.reason) == ("failed", True)
    finally:
        guest.run("cp", "/tmp/lvm.conf", "/etc/lvm/lvm.conf")
