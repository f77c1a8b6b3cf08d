"""The trash on real lvm2: a wrong removal brought back with its data, and space that a rebuild
needs.
"""

from __future__ import annotations

import time

from tests.chaos.promise import GIB, ONE, TWO, Promise
from tests.chaos.story import Story
from tests.lab.uml.node import UmlNode
from tests.lab.volumes import VG


def test_a_wrong_removal_is_brought_back_while_paused(story: Story) -> None:
    """Two orphans, one thin with a pool of its own, were still needed: with everything paused the
    operator restores both, with their data.
    """
    story.tell(
        "two LVs with data removed as orphans (one thin, with its pool), then `carina pause` and "
        "`carina restore`",
        "both back under their names, with their data; nothing else happens",
    )
    promise = story.begin("control", source=ONE)
    node, lvs = story.lab.nodes[ONE], ("volume-linear", "volume-thin")
    node.create_lv(lvs[0], GIB)
    node.run("lvcreate", "-qy", "-T", "-L", "1G", "-V", "1G", "-n", lvs[1], f"{VG}/thin-thin")
    for lv in lvs:
        point = node.mount(lv)
        node.run("sh", "-c", f"echo of {lv} > {point}/data")
        node.unmount(lv)
    assert len(to_trash(promise)) == 2
    story.product.celery("carina", "pause", "wrong removal")
    story.mark()
    for lv in lvs:
        assert f"restored: {VG}/{lv}" in story.product.celery("carina", "restore", ONE, lv)
    for lv in lvs:
        assert node.run("cat", f"{node.mount(lv)}/data").stdout == f"of {lv}\n"
        node.unmount(lv)
    story.product.celery("carina", "resume")
    assert promise.sweep(2) == [], "the sweeps leave what was restored alone"
    for lv in lvs:
        node.run("lvremove", "-qy", f"{VG}/{lv}")
    node.run("lvremove", "-qy", f"{VG}/thin-thin", check=False)
    story.end("both back with their data; sweeps left them alone", away=False)


def test_a_rebuild_takes_the_space_of_the_trash(story: Story) -> None:
    """The only target is full but for its trash: a rebuild purges the oldest of it, as much as it
    needs, and no more.
    """
    story.tell(
        "node deleted, the only target's VG full but for three old volumes in its trash",
        "the oldest goes, the others stay; rebuilt",
    )
    promise = story.begin(only=TWO)
    node = story.lab.nodes[TWO]
    for number in range(3):
        node.create_lv(f"volume-old-{number}", 9 * GIB)
        assert to_trash(promise) == [f"{TWO} {VG}/volume-old-{number}"]
    assert in_trash(node) == ["volume-old-0", "volume-old-1", "volume-old-2"]
    story.delete_node()
    story.converge()
    assert promise.nodes() == {TWO: 3}
    left = in_trash(node)
    assert left == ["volume-old-1", "volume-old-2"]
    story.end(f"{len(left)} of 3 still in the trash")


def to_trash(promise: Promise) -> list[str]:
    """Run sweeps until every orphan is in the trash; return what went."""
    went = promise.sweep(2)
    time.sleep(1)  # the trash is ordered by whole seconds
    return went


def in_trash(node: UmlNode) -> list[str]:
    """Return the old names of what lies in a node's trash."""
    tags = [
        tag
        for lv in node.run("lvs", "--noheadings", "-o", "lv_tags", VG).stdout.split()
        for tag in lv.split(",")
    ]
    return sorted(
        tag.partition("=")[2] for tag in tags if tag.startswith("carina-tasks.trash.name=")
    )
