"""A disk that answers with I/O errors: a device-mapper table under the volume group's physical
volume is swapped for `error`.
"""

from __future__ import annotations

import re
import time

from tests.chaos.logs import product_log
from tests.chaos.promise import GIB, ONE, THREE, TWO
from tests.chaos.proxy import Proxy
from tests.chaos.requests import journal
from tests.chaos.story import Story
from tests.lab.uml.node import UmlNode
from tests.lab.volumes import VG

DISK = "disk"
# the first of the node, which has no LV then; without udev /dev/mapper/disk is not made
DEVICE = "/dev/dm-0"
TABLE = f"0 {20 * GIB // 512} linear /dev/ubda 0"


def test_the_targets_disk_fails_before_create(story: Story, proxy: Proxy) -> None:
    """The target's disk answers every read and write with an error from the first journal on:
    planned again.
    """
    story.tell(
        "target's disk fails (I/O errors) between inventory and create",
        "clear error; planned again for the third node",
    )
    node = story.lab.nodes[TWO]
    try:
        mapped_disk(node)
        story.begin(only=TWO)

        def fail() -> None:
            break_disk(node)
            story.allow(THREE)

        failing = proxy.at(journal, fail)
        story.delete_node()
        failing.wait()
        story.converge()
        assert story.promise.nodes() == {THREE: 3}
        told = re.findall(r"reason=(.{0,120})", product_log(story.lab))
        story.end(f"told: {told[:1]}", gone=(TWO,))
    finally:
        node.reset()


def test_a_failing_disk_is_no_empty_disk(story: Story) -> None:
    """A node's disk fails while its volumes are in use and an orphan is marked, and comes back:
    nothing is removed or moved.
    """
    story.tell(
        "disk of a living node fails (I/O errors) for 4 rounds of both sweeps, then works again",
        "no owned LV removed, moved or created again; the orphan goes afterwards",
    )
    node = story.lab.nodes[ONE]
    try:
        mapped_disk(node)
        promise = story.begin()
        node.create_lv("volume-orphan", GIB)
        before = {name: story.product.lv_uuid(ONE, f"volume-{name}") for name in promise.moving}
        story.product.result(promise.sender.send("carina.sweep.local_volumes"))
        time.sleep(3)
        break_disk(node)
        results = []
        for _ in range(4):
            ids = [
                promise.sender.send(f"carina.sweep.{what}")
                for what in ("logic_volumes", "local_volumes")
            ]
            logic, local = (story.product.result(one) for one in ids)
            assert "deleted" not in logic
            results.append(story.product.of(local, ONE))
            time.sleep(2)
        assert not any(
            one.get(what) for one in results for what in ("marked", "trashed", "removed", "purged")
        ), results
        mend_disk(node)
        story.mark()
        removed = promise.sweep()
        assert removed == [f"{ONE} {VG}/volume-orphan"]
        story.converge(away=False)
        assert promise.nodes() == {ONE: 3}
        assert {
            name: story.product.lv_uuid(ONE, f"volume-{name}") for name in promise.moving
        } == before
        last = results[-1]
        story.end(
            f"in the failure: {len(last.get('missing', ()))} missing, told why: "
            f"{last['reason'][:60]}",
            away=False,
        )
    finally:
        node.reset()


def mapped_disk(node: UmlNode) -> None:
    """Make the node's volume group again, on a device-mapper disk that can be broken."""
    node.run("vgremove", "-qy", VG)
    node.run("pvremove", "-qqy", "/dev/ubda", "/dev/ubdb")
    node.run("dmsetup", "create", "--noudevrules", "--noudevsync", DISK, "--table", TABLE)
    config = node.run("cat", "/etc/lvm/lvm.conf").stdout
    config = config.replace("ubd[a-z]+$|", f'ubdc$|", "a|^{DEVICE}$|')
    node.run("sh", "-c", "cat > /etc/lvm/lvm.conf", stdin=config)
    node.run("vgcreate", "-qy", VG, DEVICE)


def break_disk(node: UmlNode) -> None:
    """Let every read and write of the disk fail from now on."""
    swap(node, f"0 {20 * GIB // 512} error")


def mend_disk(node: UmlNode) -> None:
    """Let the disk work again, with what is on it."""
    swap(node, TABLE)


def swap(node: UmlNode, table: str) -> None:
    """Give the disk another table."""
    node.run("dmsetup", "suspend", "--noflush", "--nolockfs", DISK)
    node.run("dmsetup", "load", DISK, "--table", table)
    node.run("dmsetup", "resume", "--noudevrules", "--noudevsync", DISK)
