"""What the lvm adapter does on any node: the same tests for the simulated executable and for real
lvm2.

A module that runs them imports all of this and has two fixtures: ``node``, each node it has, and
``knowing_node``, those that know which volumes are open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import pytest

from carina_tasks.decisions.removal import MoveToTrash, RemoveLv, decide_remove, discard
from carina_tasks.errors import LvmBusy, LvmFailed, LvmNoSpace, LvmNotFound
from carina_tasks.lvm import commands
from carina_tasks.lvm.command import Batch, Lvm
from carina_tasks.lvm.report import inventory
from carina_tasks.lvm.volumes import (
    create_volumes,
    mark_volumes,
    purge_volumes,
    remove_volumes,
    restore_volume,
)
from carina_tasks.lvm.zero import Look, NotZeroed, Zeroed, Zeroing
from carina_tasks.model import well_known
from carina_tasks.model.local import LocalVolume
from carina_tasks.model.messages import (
    CreateLvs,
    LvInTrash,
    LvResult,
    LvTarget,
    LvToCreate,
    LvToRemove,
    MarkLvs,
    PurgeLvs,
    RemoveLvs,
    RestoreLv,
)
from carina_tasks.model.quantity import GIB

VG = "carina-vg-hdd"
INTENT = "9b2cbb3d-88f0-4b0c-a3ca-0c2b0d3f1f6b"
OTHER = "11111111-88f0-4b0c-a3ca-0c2b0d3f1f6b"


@dataclass
class Node:
    """A node with one VG of 40 GiB, and a way to hold a volume open."""

    lvm: Lvm
    hold: Callable[[str], AbstractContextManager[None]]
    lock: Callable[[str], AbstractContextManager[None]]
    """Locks a volume as a pvmove does, for the time of the block."""
    knows_open: bool = True

    def volumes(self) -> dict[str, LocalVolume]:
        """Return what is there, by name."""
        return {v.name: v for v in inventory(self.lvm, "n1").volumes if v.group == VG}

    def make(self, name: str, size: int = GIB, *tags: str) -> LvTarget:
        """Make a volume as another client would, and return it as a target."""
        words = [word for tag in tags for word in ("--addtag", tag)]
        self.lvm.run("lvcreate", "-y", "-n", name, "-L", f"{size}b", *words, VG)
        return LvTarget(group=VG, name=name, uuid=self.volumes()[name].uuid)


def want(
    name: str, size: int = GIB, intent: str = INTENT, stale: str | None = None, group: str = VG
) -> LvToCreate:
    """Return a wish for one volume."""
    return LvToCreate(group=group, name=name, size=size, intent=intent, stale=stale)


def create(node: Node, *wanted: LvToCreate, reserve: int = 0) -> list[LvResult]:
    """Ask for volumes and return what became of them."""
    return list(create_volumes(node.lvm, "n1", CreateLvs(reserve=reserve, volumes=wanted)).volumes)


def remove(node: Node, *targets: LvTarget, before: int = 1000, trash_at: int = 0) -> list[LvResult]:
    """Ask for removals and return what became of them."""
    doomed = tuple(
        LvToRemove(target.group, target.name, target.uuid, "a_test") for target in targets
    )
    request = RemoveLvs(marked_before=before, volumes=doomed, trash_at=trash_at)
    return list(remove_volumes(node.lvm, "n1", request).volumes)


def lying(target: LvTarget) -> LvInTrash:
    """Return what a volume is called in the trash."""
    return LvInTrash(target.group, f"trash-{target.uuid}", target.uuid)


def purge(node: Node, *targets: LvTarget, before: int = 5000) -> list[LvResult]:
    """Purge what were `targets`, and return what became of them."""
    request = PurgeLvs(trashed_before=before, volumes=tuple(lying(target) for target in targets))
    return list(purge_volumes(node.lvm, "n1", request).volumes)


def restore(node: Node, target: LvTarget) -> LvResult:
    """Restore what was `target`, and return what became of it."""
    (done,) = restore_volume(node.lvm, "n1", RestoreLv(at=6000, volume=lying(target))).volumes
    return done


def outcomes(done: list[LvResult]) -> list[str]:
    """Return the outcomes alone."""
    return [each.outcome for each in done]


MARK = f"{well_known.TAG_ORPHAN}1000"
# What a pvmove copies for real, byte by byte: small, so that a slow disk does not hold up the whole
# node.
MOVED = GIB >> 4


def test_create_and_again(node: Node):
    """Volumes are made with whole GiB, the intent as a tag, UUID and device numbers told; asked
    again they are kept.
    """
    wanted = [want("volume-a"), want("volume-b", 2 * GIB - 5), want("volume-c.d-e")]
    first = create(node, *wanted)
    assert outcomes(first) == ["created"] * 3
    there = node.volumes()
    for done in first:
        found = there[done.name]
        assert (done.uuid, done.size, done.major, done.minor) == (
            found.uuid,
            found.size,
            found.major,
            found.minor,
        )
        assert found.intent == INTENT
        assert (found.layout, found.role) == ("linear", "public")
        assert found.major >= 0 or not node.knows_open
    assert there["volume-b"].size == 2 * GIB
    assert [(d.outcome, d.uuid) for d in create(node, *wanted)] == [("kept", d.uuid) for d in first]


def test_a_full_group_fails_what_does_not_fit(node: Node):
    """The reserve stays free over the whole batch; a smaller volume after one that does not fit is
    still made.
    """
    free = next(g.free for g in inventory(node.lvm, "n1").groups if g.name == VG) // GIB
    done = create(
        node,
        want("volume-a", (free - 12) * GIB),
        want("volume-b", 3 * GIB),
        want("volume-c"),
        reserve=10 * GIB,
    )
    assert outcomes(done) == ["created", "failed", "created"]
    assert "not enough free space" in done[1].reason
    assert not done[1].transient
    assert set(node.volumes()) == {"volume-a", "volume-c"}


def test_one_bad_group_does_not_stop_the_others(node: Node):
    """A VG that the node has not is that volume's failure."""
    done = create(node, want("volume-a", group="nowhere"), want("volume-b"))
    assert outcomes(done) == ["failed", "created"]
    assert "nowhere" in done[0].reason


def test_a_claim_that_grew_in_mid_rebuild(node: Node):
    """The same intent with a larger size extends the volume, once."""
    create(node, want("volume-a"))
    uuid = node.volumes()["volume-a"].uuid
    for _ in range(2):
        assert [(d.outcome, d.uuid, d.size) for d in create(node, want("volume-a", 3 * GIB))] == [
            ("kept", uuid, 3 * GIB)
        ]


@pytest.mark.parametrize("tags", [(), (well_known.TAG_INTENT + OTHER, MARK, "site.rack=7")])
def test_an_lv_of_the_name_is_never_adopted(knowing_node: Node, tags: tuple[str, ...]):
    """An LV that this rebuild did not create is named in the answer, and neither handed to the pod
    nor changed.
    """
    node = knowing_node
    made = node.make("volume-a", GIB, *tags)
    assert [(d.outcome, d.uuid) for d in create(node, want("volume-a"))] == [("taken", made.uuid)]
    assert set(node.volumes()["volume-a"].tags) == set(tags)


@pytest.mark.parametrize("intent", [INTENT, OTHER])
def test_an_lv_that_was_never_wiped_is_created_again(knowing_node: Node, intent: str):
    """An LV that has the creating tag alone may hold the bytes of another pod: it goes, and another
    one is created.
    """
    node = knowing_node
    begun = node.make("volume-a", GIB, well_known.TAG_CREATING + intent)
    (done,) = create(node, want("volume-a"))
    assert done.outcome == "replaced"
    assert done.uuid != begun.uuid
    assert set(node.volumes()["volume-a"].tags) == {well_known.TAG_INTENT + INTENT}
    assert outcomes(create(node, want("volume-a"))) == ["kept"]


def test_an_unfinished_lv_that_is_open_stays(knowing_node: Node):
    """What something holds is not removed; the request may be repeated."""
    node = knowing_node
    begun = node.make("volume-a", GIB, well_known.TAG_CREATING + INTENT)
    with node.hold("volume-a"):
        (done,) = create(node, want("volume-a"))
    assert (done.outcome, done.transient) == ("failed", True)
    assert node.volumes()["volume-a"].uuid == begun.uuid


def test_an_lvcreate_without_its_last_line_is_not_confirmed(node: Node):
    """The intent tag is put on only what lvm reports as created; the rest keeps the creating tag,
    and is not kept.
    """
    mute = replace(node.lvm)
    batch = node.lvm.batch
    object.__setattr__(mute, "batch", lambda commands: replace(batch(commands), output=""))
    request = CreateLvs(reserve=0, volumes=(want("volume-a"),))
    (done,) = create_volumes(mute, "n1", request).volumes
    assert (done.outcome, done.transient) == ("failed", True)
    assert node.volumes()["volume-a"].unfinished


def test_what_lost_its_device_gets_it_back(knowing_node: Node):
    """After a reboot an LV can be inactive: asked again, kept or extended, it is activated."""
    node = knowing_node
    for size in (GIB, 2 * GIB):
        create(node, want("volume-a"))
        node.lvm.run("lvchange", "-an", f"{VG}/volume-a")
        (done,) = create(node, want("volume-a", size))
        assert (done.outcome, done.size) == ("kept", size)
        assert done.major >= 0
        assert node.volumes()["volume-a"].active


def test_an_lv_that_lvm_does_not_activate_is_a_failure(knowing_node: Node):
    """Kept, but without a device: no pod could mount it, so the answer is no success."""
    node = knowing_node
    create(node, want("volume-a"))
    node.lvm.run("lvchange", "-an", f"{VG}/volume-a")
    idle = replace(node.lvm)
    object.__setattr__(idle, "batch", lambda commands: Batch(("",) * len(commands)))
    (done,) = create_volumes(idle, "n1", CreateLvs(reserve=0, volumes=(want("volume-a"),))).volumes
    assert (done.outcome, done.transient) == ("failed", True)
    assert "inactive" in done.reason


def test_a_restore_whose_activation_failed_can_be_repeated(knowing_node: Node):
    """The old name stays on it until it has its device; asked again, it is activated and the tag
    goes.
    """
    node = knowing_node
    made = node.make("volume-a", GIB, MARK)
    assert outcomes(remove(node, made, trash_at=2000)) == ["trashed"]
    lazy, batch = replace(node.lvm), node.lvm.batch

    def without_activation(lines: Sequence[Sequence[str]]) -> Batch:
        return batch(
            [("lvs", VG) if line[:4] == ("lvchange", "-y", "-a", "y") else line for line in lines]
        )

    object.__setattr__(lazy, "batch", without_activation)
    (done,) = restore_volume(lazy, "n1", RestoreLv(at=6000, volume=lying(made))).volumes
    assert done.outcome == "failed"
    assert restore(node, made).outcome == "restored"
    assert node.volumes()["volume-a"].active
    assert not [
        tag for tag in node.volumes()["volume-a"].tags if tag.startswith(well_known.TAG_TRASH)
    ]


def test_an_unfinished_orphan_never_goes_to_the_trash(knowing_node: Node):
    """What was never wiped is removed permanently: from the trash it could come back with the bytes
    of another pod.
    """
    node = knowing_node
    begun = node.make("volume-a", GIB, well_known.TAG_CREATING + INTENT, MARK)
    assert outcomes(remove(node, begun, trash_at=2000)) == ["removed"]


def test_a_stale_copy_is_replaced(knowing_node: Node):
    """A closed copy that the plan knew, of another size, goes; the new one is another LV; asked
    again it is kept.
    """
    node = knowing_node
    old = node.make("volume-a", 3 * GIB)
    wanted = want("volume-a", 2 * GIB, stale=old.uuid)
    (done,) = create(node, wanted, want("volume-b"))[:1]
    assert (done.outcome, done.size) == ("replaced", 2 * GIB)
    assert done.uuid != old.uuid
    assert [(d.outcome, d.uuid) for d in create(node, wanted)] == [("kept", done.uuid)]


def test_a_stale_copy_that_is_open_stays(knowing_node: Node):
    """What something holds is not replaced; the request may be repeated, and then works."""
    node = knowing_node
    old = node.make("volume-a", 3 * GIB)
    with node.hold("volume-a"):
        (done,) = create(node, want("volume-a", stale=old.uuid))
        assert (done.outcome, done.transient) == ("failed", True)
        assert node.volumes()["volume-a"].uuid == old.uuid
    assert outcomes(create(node, want("volume-a", stale=old.uuid))) == ["replaced"]


def test_marks(node: Node):
    """A mark is put on once and not renewed, comes off, and binds to the UUID."""
    a, b = node.make("volume-a"), node.make("volume-b")
    gone = LvTarget(group=VG, name="volume-z", uuid=a.uuid)
    wrong = LvTarget(group=VG, name="volume-a", uuid=b.uuid)

    def mark(
        at: int, mark: tuple[LvTarget, ...] = (), unmark: tuple[LvTarget, ...] = ()
    ) -> list[str]:
        request = MarkLvs(at=at, mark=mark, unmark=unmark)
        return outcomes(list(mark_volumes(node.lvm, "n1", request).volumes))

    assert mark(100, (a, b, gone, wrong)) == ["marked", "marked", "absent", "failed"]
    assert mark(200, (a,), (b, gone, wrong)) == ["marked", "unmarked", "absent", "failed"]
    assert node.volumes()["volume-a"].marked_at == 100
    assert node.volumes()["volume-b"].marked_at is None
    assert mark(300, (), (b,)) == ["unmarked"]


def test_removal(knowing_node: Node):
    """Of marked, unmarked, freshly marked, open and renamed volumes only the marked and closed one
    goes.
    """
    node = knowing_node
    gone, unmarked = node.make("volume-gone", GIB, MARK), node.make("volume-unmarked")
    young, held = (
        node.make("volume-young", GIB, f"{well_known.TAG_ORPHAN}1001"),
        node.make("volume-held", GIB, MARK),
    )
    other = replace_uuid(node.make("volume-other", GIB, MARK), gone.uuid)
    with node.hold("volume-held"):
        done = remove(node, gone, unmarked, young, held, other)
        assert outcomes(done) == ["removed", "failed", "failed", "failed", "failed"]
        assert [d.transient for d in done] == [False, False, True, True, False]
        assert set(node.volumes()) == {
            "volume-unmarked",
            "volume-young",
            "volume-held",
            "volume-other",
        }
    assert outcomes(remove(node, gone, held)) == ["absent", "removed"]


def replace_uuid(target: LvTarget, uuid: str) -> LvTarget:
    """Return the target with another UUID."""
    return LvTarget(group=target.group, name=target.name, uuid=uuid)


def test_an_inactive_orphan_is_removed(knowing_node: Node):
    """A volume without a device cannot be held by anyone."""
    node = knowing_node
    target = node.make("volume-a", GIB, MARK)
    node.lvm.run("lvchange", "-y", "-a", "n", f"{VG}/volume-a")
    assert not node.volumes()["volume-a"].active
    assert outcomes(remove(node, target)) == ["removed"]


def test_unknown_is_never_closed(node: Node):
    """Where lvm cannot tell what is open, a marked orphan stays."""
    target = node.make("volume-a", GIB, MARK)
    done = remove(node, target)
    assert outcomes(done) == (["removed"] if node.knows_open else ["failed"])
    assert ("volume-a" in node.volumes()) != node.knows_open
    assert done[0].transient != node.knows_open


def decision(node: Node, target: LvTarget) -> RemoveLv:
    """Return the decision to remove, as of now."""
    request = RemoveLvs(
        marked_before=1000, volumes=(LvToRemove(target.group, target.name, target.uuid),)
    )
    (decided,) = decide_remove(request, inventory(node.lvm, "n1"))
    assert isinstance(decided, RemoveLv)
    return decided


@pytest.mark.parametrize("change", ["opened", "unmarked", "marked again", "another LV"])
def test_what_changed_after_the_report_stays(knowing_node: Node, change: str):
    """Between report and removal the volume is opened, unmarked, marked again or replaced: lvm
    itself then refuses.
    """
    node = knowing_node
    target = node.make("volume-a", GIB, MARK)
    decided = decision(node, target)
    path = f"{VG}/volume-a"
    if change == "opened":
        with node.hold("volume-a"):
            node.lvm.batch(commands.remove(decided))
    else:
        if change == "another LV":
            node.lvm.run("lvremove", "-y", path)
            node.make("volume-a", GIB, MARK)
        else:
            new = ("--addtag", f"{well_known.TAG_ORPHAN}1001") if change == "marked again" else ()
            node.lvm.run("lvchange", "-y", "--deltag", MARK, *new, path)
        node.lvm.batch(commands.remove(decided))
    assert "volume-a" in node.volumes()


def test_what_a_pvmove_has_locked_is_left_alone(knowing_node: Node):
    """A marked, closed orphan in a pvmove is neither put into the trash nor removed, marked or
    unmarked; afterwards it is.
    """
    node = knowing_node
    target = node.make("volume-a", MOVED, MARK)
    with node.lock("volume-a"):
        before = node.volumes()["volume-a"]
        assert before.at_work
        (kept, removed) = (*remove(node, target, trash_at=2000), *remove(node, target))
        assert {kept.outcome, removed.outcome} == {"failed"}
        assert "left alone" in kept.reason
        assert kept.transient
        unmark = MarkLvs(at=1, unmark=(target,))
        assert outcomes(list(mark_volumes(node.lvm, "n1", unmark).volumes)) == ["failed"]
        (again,) = create(node, want("volume-a", 2 * GIB, stale=target.uuid))
        assert (again.outcome, again.transient) == ("failed", True)
        assert node.volumes()["volume-a"] == before
    assert outcomes(remove(node, target, trash_at=2000)) == ["trashed"]


def test_a_pvmove_that_began_after_the_report_is_respected(knowing_node: Node):
    """Lvm's own selection, under its lock, excludes what was locked after the decision: tags,
    device and LV stay.
    """
    node = knowing_node
    target = node.make("volume-a", MOVED, MARK)
    decided = decision(node, target)
    aside = discard(decided, 2000, "a_test")
    assert isinstance(aside, MoveToTrash)
    with node.lock("volume-a"):
        before = node.volumes()["volume-a"]
        tagged = commands.tag(decided.lv, ["carina-tasks.x=1"], [])
        node.lvm.batch([*commands.prepare_trash(aside), *commands.remove(decided), tagged])
        assert node.volumes()["volume-a"] == before


def test_an_open_volume_without_a_selection_stays_too(knowing_node: Node):
    """Should a volume be opened after lvm's selection, lvremove itself reports that it is in
    use.
    """
    node = knowing_node
    node.make("volume-a")
    with node.hold("volume-a"), pytest.raises(LvmBusy, match="in use"):
        node.lvm.run("lvremove", "-y", f"{VG}/volume-a")


def thin(node: Node, pool: str, *names: str) -> list[LvTarget]:
    """Make marked thin volumes in a pool."""
    node.lvm.run("lvcreate", "-y", "--type", "thin-pool", "-n", pool, "-L", "1g", VG)
    for name in names:
        node.lvm.run(
            "lvcreate", "-y", "-n", name, "-V", "1g", "--thinpool", pool, "--addtag", MARK, VG
        )
    return [LvTarget(group=VG, name=name, uuid=node.volumes()[name].uuid) for name in names]


def test_a_thin_orphan_goes_with_its_own_pool(knowing_node: Node):
    """The pool goes too when it is the volume's own; a shared one, and its volumes, stay."""
    node = knowing_node
    (own,) = thin(node, "thin-a", "volume-a")
    shared = thin(node, "thin-b", "volume-b", "volume-c")
    assert outcomes(remove(node, own, *shared)) == ["removed", "failed", "failed"]
    assert set(node.volumes()) == {"thin-b", "volume-b", "volume-c"}


def test_a_pool_that_got_another_volume_stays(knowing_node: Node):
    """A volume made in the pool after the report keeps the pool, and itself."""
    node = knowing_node
    (own,) = thin(node, "thin-a", "volume-a")
    decided = decision(node, own)
    node.lvm.run("lvcreate", "-y", "-n", "late", "-V", "1g", "--thinpool", "thin-a", VG)
    node.lvm.batch(commands.remove(decided))
    assert set(node.volumes()) == {"thin-a", "late"}


def test_into_the_trash_and_back(knowing_node: Node):
    """A removed orphan is closed and renamed, reports what it was, comes back as the same LV, and
    is
    no orphan then.
    """
    node = knowing_node
    target = node.make("volume-a", GIB, MARK)
    (done,) = remove(node, target, trash_at=5000)
    assert (done.outcome, done.name, done.uuid) == ("trashed", "volume-a", target.uuid)
    (there,) = node.volumes().values()
    assert (there.name, there.uuid, there.active, there.is_open) == (
        f"trash-{target.uuid}",
        target.uuid,
        False,
        False,
    )
    assert there.trashed is not None
    assert (there.trashed.name, there.trashed.at, there.trashed.why) == ("volume-a", 5000, "a test")
    assert outcomes(remove(node, target, trash_at=5001)) == ["absent"]
    done = restore(node, target)
    assert (done.outcome, done.name, done.uuid) == ("restored", "volume-a", target.uuid)
    (there,) = node.volumes().values()
    assert (there.name, there.active, there.tags) == (
        "volume-a",
        True,
        (f"{well_known.TAG_RESTORED}6000",),
    )
    assert there.major >= 0
    assert restore(node, target).outcome == "failed"


def test_the_trash_is_purged_by_its_time(knowing_node: Node):
    """What was put there later than asked stays; the rest is gone permanently, and its space is
    free.
    """
    node = knowing_node
    old, young = node.make("volume-a", GIB, MARK), node.make("volume-b", GIB, MARK)
    remove(node, old, trash_at=5000)
    remove(node, young, trash_at=5001)
    assert outcomes(purge(node, old, young)) == ["purged", "failed"]
    assert set(node.volumes()) == {f"trash-{young.uuid}"}
    assert outcomes(purge(node, old)) == ["absent"]


def test_what_is_open_does_not_go_to_the_trash(knowing_node: Node):
    """A held orphan keeps its name, its device and its tags; so does one that is opened after the
    report.
    """
    node = knowing_node
    target = node.make("volume-a", GIB, MARK)
    with node.hold("volume-a"):
        assert outcomes(remove(node, target, trash_at=5000)) == ["failed"]
    decided = discard(decision(node, target), 5000, "a test")
    assert isinstance(decided, MoveToTrash)
    with node.hold("volume-a"):
        node.lvm.batch(commands.prepare_trash(decided))
    (there,) = node.volumes().values()
    assert (there.name, there.active, there.tags) == ("volume-a", True, (MARK,))


def test_a_way_into_the_trash_that_broke_off_is_gone_to_its_end_or_back(knowing_node: Node):
    """Tagged and closed, then the worker died: the next removal ends it; an unmark opens it
    again.
    """
    node = knowing_node
    a, b = node.make("volume-a", GIB, MARK), node.make("volume-b", GIB, MARK)
    for target in (a, b):
        decided = discard(decision(node, target), 4000, "a test")
        assert isinstance(decided, MoveToTrash)
        node.lvm.batch(commands.prepare_trash(decided))
    assert not any(lv.active for lv in node.volumes().values())
    assert outcomes(remove(node, a, trash_at=5000)) == ["trashed"]
    request = MarkLvs(at=1, unmark=(b,))
    assert outcomes(list(mark_volumes(node.lvm, "n1", request).volumes)) == ["unmarked"]
    there = node.volumes()["volume-b"]
    assert (there.active, there.tags) == (True, ())
    trashed = node.volumes()[f"trash-{a.uuid}"].trashed
    assert trashed is not None
    assert trashed.at == 5000


def test_a_thin_orphan_goes_to_the_trash_and_back_within_its_pool(knowing_node: Node):
    """The pool keeps its name; purged, it goes with its volume."""
    node = knowing_node
    (target,) = thin(node, "thin-a", "volume-a")
    assert outcomes(remove(node, target, trash_at=5000)) == ["trashed"]
    assert set(node.volumes()) == {"thin-a", f"trash-{target.uuid}"}
    assert restore(node, target).outcome == "restored"
    assert node.volumes()["volume-a"].active
    node.lvm.run("lvchange", "-y", "--addtag", MARK, f"{VG}/volume-a")
    assert outcomes(remove(node, target, trash_at=5000)) == ["trashed"]
    assert outcomes(purge(node, target)) == ["purged"]
    assert node.volumes() == {}


def test_a_restore_does_not_take_the_name_of_another(knowing_node: Node):
    """A volume of the old name stands there now: told, and both stay."""
    node = knowing_node
    target = node.make("volume-a", GIB, MARK)
    remove(node, target, trash_at=5000)
    other = node.make("volume-a")
    done = restore(node, target)
    assert (done.outcome, "another" in done.reason) == ("failed", True)
    assert {v.uuid for v in node.volumes().values()} == {target.uuid, other.uuid}


def test_a_stale_copy_goes_to_the_trash(knowing_node: Node):
    """It makes way for the new volume under its name, and can still be brought back."""
    node = knowing_node
    old = node.make("volume-a", 3 * GIB)
    request = CreateLvs(
        reserve=0, volumes=(want("volume-a", 2 * GIB, stale=old.uuid),), trash_at=5000
    )
    for outcome in ("replaced", "kept"):
        (done,) = create_volumes(node.lvm, "n1", request).volumes
        assert done.outcome == outcome
    there = node.volumes()
    assert set(there) == {"volume-a", f"trash-{old.uuid}"}
    assert there["volume-a"].uuid != old.uuid


def test_the_trash_makes_room_for_a_rebuild(knowing_node: Node):
    """The oldest goes when the group is full, and the answer reports it; what is not needed
    stays.
    """
    node = knowing_node
    free = next(g.free for g in inventory(node.lvm, "n1").groups if g.name == VG) // GIB
    old, young = node.make("volume-x", 4 * GIB, MARK), node.make("volume-y", 4 * GIB, MARK)
    remove(node, young, trash_at=5001)
    remove(node, old, trash_at=5000)
    done = create(node, want("volume-a", (free - 4) * GIB))
    assert [(d.name, d.outcome) for d in done] == [
        ("volume-a", "created"),
        (f"trash-{old.uuid}", "purged"),
    ]
    assert set(node.volumes()) == {"volume-a", f"trash-{young.uuid}"}
    assert outcomes(create(node, want("volume-b", 5 * GIB))) == ["failed"]
    assert f"trash-{young.uuid}" in node.volumes()


def back(node: Node, copy: LvTarget, size: int = GIB, *, in_use: bool = False) -> LvResult:
    """Ask for an old copy as the volume again, and return what became of it."""
    wanted = LvToCreate(VG, copy.name, size, INTENT, copy=copy.uuid, in_use=in_use)
    (done,) = create(node, wanted)
    return done


@pytest.mark.parametrize("tags", [(), (MARK,)], ids=["in its place", "marked"])
def test_an_old_copy_in_its_place_is_the_volume_again(knowing_node: Node, tags: tuple[str, ...]):
    """The same LV, extended to what is asked for, with the intent alone as a tag; asked again it is
    kept.
    """
    node = knowing_node
    copy = node.make("volume-a", GIB, *tags)
    done = back(node, copy, 2 * GIB)
    assert (done.outcome, done.uuid, done.size) == ("restored", copy.uuid, 2 * GIB)
    (there,) = node.volumes().values()
    assert (there.name, there.tags, there.active) == (
        "volume-a",
        (well_known.TAG_INTENT + INTENT,),
        True,
    )
    with node.hold("volume-a"):
        assert (back(node, copy, 2 * GIB).outcome, back(node, copy, 2 * GIB).uuid) == (
            "kept",
            copy.uuid,
        )


def test_an_old_copy_in_the_trash_is_the_volume_again(knowing_node: Node):
    """Its name, its device and its data are back; nothing is created beside it."""
    node = knowing_node
    copy = node.make("volume-a", GIB, MARK)
    assert outcomes(remove(node, copy, trash_at=2000)) == ["trashed"]
    done = back(node, copy)
    assert (done.outcome, done.uuid) == ("restored", copy.uuid)
    (there,) = node.volumes().values()
    assert (there.name, there.uuid, there.tags, there.active) == (
        "volume-a",
        copy.uuid,
        (well_known.TAG_INTENT + INTENT,),
        True,
    )


def test_an_old_copy_is_brought_back_or_nothing_is(knowing_node: Node):
    """Gone, open, or its name is taken: a failure, and never another LV. One that never left its
    place may be open.
    """
    node = knowing_node
    gone = node.make("volume-a")
    node.lvm.run("lvremove", "-y", f"{VG}/volume-a")
    assert "is gone" in back(node, gone).reason
    copy = node.make("volume-b", GIB, MARK)
    with node.hold("volume-b"):
        assert "open" in back(node, copy).reason
        assert back(node, copy, in_use=True).uuid == copy.uuid
    other = node.make("volume-c", GIB, MARK)
    assert outcomes(remove(node, other, trash_at=2000)) == ["trashed"]
    node.make("volume-c")
    assert "another LV is called volume-c" in back(node, other).reason
    assert set(node.volumes()) == {"volume-b", "volume-c", f"trash-{other.uuid}"}


@pytest.mark.parametrize("done", range(1, 5))
def test_a_way_back_that_broke_off_is_gone_to_its_end(knowing_node: Node, done: int):
    """Lvm dies after any of its commands: asked again, the copy is the volume."""
    node = knowing_node
    copy = node.make("volume-a", GIB, MARK)
    assert outcomes(remove(node, copy, trash_at=2000)) == ["trashed"]
    short, batch = replace(node.lvm), node.lvm.batch

    def cut(lines: Sequence[Sequence[str]]) -> Batch:
        return batch([line if number < done else ("lvs", VG) for number, line in enumerate(lines)])

    object.__setattr__(short, "batch", cut)
    wanted = LvToCreate(VG, "volume-a", 2 * GIB, INTENT, copy=copy.uuid)
    create_volumes(short, "n1", CreateLvs(reserve=0, volumes=(wanted,)))
    again = back(node, copy, 2 * GIB)
    assert (again.uuid, again.size) == (copy.uuid, 2 * GIB)
    (there,) = node.volumes().values()
    assert (there.name, there.tags, there.active) == (
        "volume-a",
        (well_known.TAG_INTENT + INTENT,),
        True,
    )


def test_the_room_for_others_is_never_an_old_copy_that_is_asked_for(knowing_node: Node):
    """One batch needs the trash for its space and an old copy out of it: the copy stays."""
    node = knowing_node
    copy = node.make("volume-a", 20 * GIB, MARK)
    assert outcomes(remove(node, copy, trash_at=2000)) == ["trashed"]
    wanted = LvToCreate(VG, "volume-a", 20 * GIB, INTENT, copy=copy.uuid)
    assert outcomes(create(node, want("volume-b", 30 * GIB), wanted)) == ["failed", "restored"]


BLOCK = LvToCreate(VG, "volume-a", GIB, INTENT, zero=True)


def zeroed(node: Node, look: Look, wanted: LvToCreate = BLOCK) -> LvResult:
    """Ask for an LV that is to be zeroed, and return what became of it."""
    (done,) = create_volumes(node.lvm, "n1", CreateLvs(reserve=0, volumes=(wanted,)), look).volumes
    return done


def test_an_lv_counts_once_it_is_zeroed(knowing_node: Node):
    """Until then it is `zeroing`, the caller, and carries no intent; then it is kept."""
    node, said = knowing_node, [Zeroing("0 %"), Zeroing("50 %"), Zeroed()]
    asked: list[str] = []

    def look(lv: LocalVolume) -> Zeroed | Zeroing | NotZeroed:
        asked.append(lv.uuid)
        return said[len(asked) - 1]

    first = zeroed(node, look)
    assert (first.outcome, first.reason) == ("zeroing", "0 %")
    (there,) = node.volumes().values()
    assert (there.unfinished, there.intent, there.active) == (True, "", True)
    assert zeroed(node, look).reason == "50 %"
    assert (zeroed(node, look).outcome, set(asked)) == ("kept", {first.uuid})
    (there,) = node.volumes().values()
    assert (there.uuid, there.tags) == (first.uuid, (well_known.TAG_INTENT + INTENT,))
    assert (zeroed(node, look).outcome, len(asked)) == ("kept", 3)


@pytest.mark.parametrize(("late", "transient"), [(False, True), (True, False)])
def test_an_lv_that_could_not_be_zeroed_does_not_count(
    knowing_node: Node, late: bool, transient: bool
):
    """An error may pass, a deadline does not; either way no pod gets the LV, and it never comes
    back from the trash.
    """
    node = knowing_node
    done = zeroed(node, lambda lv: NotZeroed("the disk is dead", late))
    assert (done.outcome, done.reason, done.transient) == ("failed", "the disk is dead", transient)
    (there,) = node.volumes().values()
    assert (there.unfinished, there.intent) == (True, "")


def test_an_lv_of_another_rebuild_that_was_not_zeroed_is_created_again(knowing_node: Node):
    """Its zeroing ended with its rebuild: what is there belongs to none."""
    node = knowing_node
    first = zeroed(node, lambda lv: Zeroing("0 %"))
    other = LvToCreate(VG, "volume-a", GIB, OTHER, zero=True)
    again = zeroed(node, lambda lv: Zeroing("0 %"), other)
    assert again.outcome == "zeroing"
    assert again.uuid != first.uuid


def test_what_must_be_zero_is_never_extended(knowing_node: Node):
    """Neither the LV of a rebuild that has grown meanwhile nor an old copy: what is added holds the
    bytes of others.
    """
    node = knowing_node
    assert zeroed(node, lambda lv: Zeroing("0 %")).outcome == "zeroing"
    assert zeroed(node, lambda lv: Zeroed()).outcome == "kept"
    grown = LvToCreate(VG, "volume-a", 2 * GIB, INTENT, zero=True)
    assert "the bytes of other volumes" in zeroed(node, lambda lv: Zeroed(), grown).reason
    copy = node.make("volume-b", GIB)
    wanted = LvToCreate(VG, "volume-b", 2 * GIB, INTENT, copy=copy.uuid, zero=True)
    assert "the bytes of other volumes" in zeroed(node, lambda lv: Zeroed(), wanted).reason
    assert {v.size for v in node.volumes().values()} == {GIB}


def test_a_batch_tells_whose_error_is_whose(node: Node):
    """Every command of one lvm shell gets its own words, and the shell continues after errors."""
    said = node.lvm.batch(
        [
            ("lvcreate", "-y", "-n", "volume-a", "-L", "64m", VG),
            ("lvcreate", "-y", "-n", "volume-a", "-L", "64m", VG),
            ("lvcreate", "-y", "-n", "volume-b", "-L", "9t", VG),
            ("lvcreate", "-y", "-n", "volume-b", "-L", "64m", "nowhere"),
            ("lvcreate", "--bogus"),
            ("lvcreate", "-y", "-n", "volume-c", "-L", "64m", VG),
        ]
    )
    patterns = [
        "",
        "already exists",
        "insufficient free space",
        'Volume group "nowhere" not found',
        "unrecognized",
        "",
    ]
    for pattern, words in zip(patterns, said.errors, strict=True):
        lines = [line for line in words.splitlines() if "WARNING" not in line]
        assert pattern in words
        assert bool(lines) == bool(pattern), words
    assert set(node.volumes()) == {"volume-a", "volume-c"}


def test_errors_are_ours(node: Node):
    """Single commands raise our errors with lvm's words."""
    with pytest.raises(LvmNoSpace, match="insufficient free space"):
        node.lvm.run("lvcreate", "-y", "-n", "volume-a", "-L", "9t", VG)
    with pytest.raises(LvmNotFound):
        node.lvm.run("lvremove", "-y", f"{VG}/volume-z")
    with pytest.raises(LvmNotFound):
        node.lvm.run("lvs", "nowhere")
    with pytest.raises(LvmFailed):
        node.lvm.run("nosuch")


def test_many_volumes_are_one_batch(node: Node):
    """Twenty volumes cost three reports and two lvm shells: the second one confirms what the first
    one created.
    """
    calls: list[str] = []
    counted = replace(
        node.lvm,
        observe=lambda subcommand, seconds, outcome: calls.append(f"{subcommand} {outcome}"),
    )
    names = [f"volume-{i:03}" for i in range(20)]
    done = create_volumes(
        counted, "n1", CreateLvs(reserve=0, volumes=tuple(want(name) for name in names))
    )
    assert [d.outcome for d in done.volumes] == ["created"] * 20
    assert calls == ["fullreport ok", "shell ok", "fullreport ok", "shell ok", "fullreport ok"]
