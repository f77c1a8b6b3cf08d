"""Nodes, their networks and their disks on a bad day."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable

import pytest

from tests.chaos.logs import product_log
from tests.chaos.promise import GIB, ONE, THREE, TWO, Promise
from tests.chaos.proxy import Proxy, Request
from tests.chaos.requests import journal, through
from tests.chaos.story import Case
from tests.lab import kube as k
from tests.lab.lab import Lab
from tests.lab.uml.node import UmlNode
from tests.system.product import Product

ALL = ("control", "beat", "node_watch")


@pytest.mark.parametrize("moment", ["right after the journal is written", "while it makes the LVs"])
def test_the_target_is_cut_off_in_create(lab: Lab, case: Case, moment: str) -> None:
    """The target's network is cut, before it gets its task or before its answer is out, and healed
    20 s later.
    """
    case(f"target's network cut {moment}, healed 20 s later", "made once, rebuilt there")
    with Proxy(lab.control_plane, lab.folder) as proxy:
        product, promise = scene(lab, proxy, count=8)
        if moment.startswith("right"):
            proxy.at(journal, lab.nodes[TWO].cut)
        else:
            proxy.at(
                last_status(8),
                lambda: later(0.01, lambda: at_first_lv(lab.nodes[TWO], lab.nodes[TWO].cut)),
            )
        lab.kubectl("delete", "node", ONE)
        lab.world.wait("it is cut", lambda: lab.nodes[TWO].is_cut, 30)
        time.sleep(20)
        left, made = len(product.journals()), len(lab.nodes[TWO].lv_sizes())
        lab.nodes[TWO].heal()
        case.seconds = promise.wait(120)
        assert promise.nodes() == {TWO: 8}
        promise.check()
        case.seen = (
            f"in the cut {made} LVs were made and {left} volumes waited; then one LV each, on the "
            "target"
        )


def test_a_node_is_cut_off_in_remove(lab: Lab, case: Case) -> None:
    """A node is cut when its orphan is about to be removed, at once and 0.1 s later: the owned
    stay, the orphan goes.
    """
    case(
        "node's network cut when the sweep is about to remove its orphan (at once; 0.1 s later)",
        "clear failure, owned LVs stay, the orphan goes after the healing",
    )
    with Proxy(lab.control_plane, lab.folder) as proxy:
        product = through(proxy, lab, node_deadline="6")
        product.start("control")
        promise = Promise(product, count=2, source=TWO)
        node, said = lab.nodes[TWO], []
        for round_, delay in enumerate((0.0, 0.1)):
            orphan = f"orphan-{round_}"
            node.create_lv(f"volume-{orphan}", GIB)
            product.result(promise.sender.send("carina.sweep.local_volumes"))
            time.sleep(3)
            proxy.at(asks_for(orphan), lambda d=delay: later(d, node.cut))
            result = product.of(
                product.result(promise.sender.send("carina.sweep.local_volumes")), TWO
            )
            said.append(result.get("reason") or str(result.get("trashed")))
            assert node.is_cut
            node.heal()
            begun = time.monotonic()
            lab.world.wait(
                "the orphan goes",
                lambda o=orphan: gone_after_sweep(promise, node, f"volume-{o}"),
                60,
            )
            case.seconds = time.monotonic() - begun
        promise.check()
        case.seen = "; ".join(said)


def test_a_node_is_cut_off_in_mid_report(lab: Lab, case: Case) -> None:
    """A node is cut at various instants of its report: nothing of it is removed or called missing,
    and it reports again.
    """
    case(
        "node's network cut 0 to 0.2 s after its report was asked for, 4 times",
        "no answer is never absence",
    )
    product = Product(lab, node_deadline="4")
    product.start("control")
    promise = Promise(product, source=TWO, count=2)
    node, said = lab.nodes[TWO], []
    for delay in (0.0, 0.05, 0.1, 0.2):
        task = promise.sender.send("carina.sweep.local_volumes")
        time.sleep(delay)
        node.cut()
        result = product.of(product.result(task), TWO)
        node.heal()
        said.append(result.get("reason") or result["outcome"])
        assert not result.get("trashed")
        assert not result.get("missing")
        assert not result.get("marked")
        time.sleep(1)
    begun = time.monotonic()
    lab.world.wait("it reports again", lambda: reports(promise, TWO), 60)
    case.seconds = time.monotonic() - begun
    promise.check()
    case.seen = (
        f"{sum('not answer' in one for one in said)} of {len(said)} silent, then it reported"
    )


@pytest.mark.parametrize("moment", ["before the LV", "after the LV"])
def test_the_target_crashes_and_reboots(lab: Lab, case: Case, moment: str) -> None:
    """The target's machine loses power after the journal, or after the LV was made, and boots 5 s
    later.
    """
    case(f"target crashes {moment} is made, boots 5 s later", "rebuilt there, one LV each")
    with Proxy(lab.control_plane, lab.folder) as proxy:
        _, promise = scene(lab, proxy)
        crash = proxy.at(
            journal if moment == "before the LV" else creates_pv, lab.nodes[TWO].crash, after=False
        )
        lab.kubectl("delete", "node", ONE)
        crash.wait()
        time.sleep(5)
        lab.nodes[TWO].boot()
        case.seconds = promise.wait(120)
        assert promise.nodes() == {TWO: 3}
        promise.check()
        case.seen = "all three on the target, one LV each"


@pytest.mark.parametrize("moment", ["before the LV is made", "when the first PV is there"])
def test_the_target_is_deleted_in_mid_rebuild(lab: Lab, case: Case, moment: str) -> None:
    """The target node is deleted in mid-rebuild: what it was to take is planned again, for the
    third node.
    """
    case(f"target node deleted {moment}", "planned again: all on the third node")
    with Proxy(lab.control_plane, lab.folder) as proxy:
        # Two of three nodes lost would latch at the default of 0.5, which is another case's.
        _, promise = scene(lab, proxy, mass_failure_share="0.7")

        def delete() -> None:
            lab.kube.delete(f"{k.NODES}/{TWO}")
            uncordon(lab, THREE)

        first = moment.startswith("before")
        deletion = proxy.at(journal if first else creates_pv, delete)
        lab.kubectl("delete", "node", ONE)
        deletion.wait()
        begun = time.monotonic()
        case.seconds = promise.wait(150, since=begun)
        lab.world.wait("all are on the third node", lambda: promise.nodes() == {THREE: 3}, 60)
        case.seconds = promise.wait(60, since=begun)
        promise.check()
        case.seen = "all three on the third node"


@pytest.mark.short
def test_the_target_is_full(lab: Lab, case: Case) -> None:
    """The target's VG is filled after its inventory: its refusal is seen at create, and the volumes
    go to the third node.
    """
    case("target's VG filled between inventory and create", "planned again for the third node")
    with Proxy(lab.control_plane, lab.folder) as proxy:
        _, promise = scene(lab, proxy)

        def fill() -> None:
            lab.nodes[TWO].run("lvcreate", "-qy", "-l", "100%FREE", "-n", "filler", "carina-vg-hdd")
            uncordon(lab, THREE)

        full = proxy.at(journal, fill)
        begun = time.monotonic()
        lab.kubectl("delete", "node", ONE)
        full.wait()
        case.seconds = promise.wait(120, since=begun)
        assert promise.nodes() == {THREE: 3}
        lab.nodes[TWO].run("lvremove", "-qy", "carina-vg-hdd/filler")
        promise.check()
        case.seen = "all three on the third node"


def test_every_target_is_full(lab: Lab, case: Case) -> None:
    """The only target fills up and no other is there: an Event gives the reason, and the rebuild
    continues when there is space.
    """
    case(
        "the only target's VG filled before create, emptied 20 s later",
        "an Event gives the reason; rebuilt when there is space",
    )
    with Proxy(lab.control_plane, lab.folder) as proxy:
        product, promise = scene(lab, proxy)
        node = lab.nodes[TWO]
        full = proxy.at(
            journal,
            lambda: node.run("lvcreate", "-qy", "-l", "100%FREE", "-n", "filler", "carina-vg-hdd"),
        )
        lab.kubectl("delete", "node", ONE)
        full.wait()
        lab.world.wait(
            "an Event gives the reason",
            lambda: "NoNodeFits" in lab.kubectl("get", "events", "-A"),
            30,
        )
        time.sleep(10)
        assert len(product.journals()) == 3
        node.run("lvremove", "-qy", "carina-vg-hdd/filler")
        case.seconds = promise.wait(120)
        promise.check()
        case.seen = f"NoNodeFits told; then rebuilt on {promise.nodes()}"


def test_a_disk_of_the_target_is_gone(lab: Lab, case: Case) -> None:
    """Both disks of the target's VG vanish after its inventory: a clear error, and the volumes go
    to the third node.
    """
    case(
        "target's disks vanish between inventory and create",
        "clear error; planned again for the third node",
    )
    with Proxy(lab.control_plane, lab.folder) as proxy:
        _, promise = scene(lab, proxy)

        def unplug() -> None:
            for disk in ("ubd0", "ubd1"):
                mconsole(lab.nodes[TWO], f"remove {disk}")
            uncordon(lab, THREE)

        gone = proxy.at(journal, unplug)
        begun = time.monotonic()
        lab.kubectl("delete", "node", ONE)
        try:
            gone.wait()
            case.seconds = promise.wait(120, since=begun)
            assert promise.nodes() == {THREE: 3}
            events = lab.kubectl("get", "events", "-A")
            promise.check(gone=(TWO,))
        finally:
            lab.nodes[TWO].reset()
        said = re.findall(r"10\.20\.9\.152: [^|\n]{0,120}", events + product_log(lab))
        case.seen = f"all three on the third node; told: {said[:1]}"


def test_a_frozen_node_thaws_after_its_volumes_moved(lab: Lab, case: Case) -> None:
    """A node freezes with a removal on its way to it, its volumes move, it thaws: nothing stale
    runs, old copies go as orphans.
    """
    case(
        "node frozen with a removal on its way, volumes moved, node thawed",
        "the task has expired; old copies are swept",
    )
    with Proxy(lab.control_plane, lab.folder) as proxy:
        product = through(proxy, lab, node_deadline="6")
        product.start(*ALL)
        promise = Promise(product, migrate="true", pods=3)
        node = lab.nodes[ONE]
        node.create_lv("volume-orphan", GIB)
        product.result(promise.sender.send("carina.sweep.local_volumes"))
        time.sleep(3)
        frozen = proxy.at(asks_for("orphan"), node.freeze)
        promise.sender.send("carina.sweep.local_volumes")
        frozen.wait()
        lab.kubelets[ONE].silence()
        begun = time.monotonic()
        case.seconds = promise.wait(120, since=begun)
        back(lab, ONE)
        time.sleep(4)
        expected = {"volume-orphan", *(f"volume-{name}" for name in promise.moving)}
        assert lab.lvs()[ONE].keys() == expected, "the removal had expired"
        removed = promise.sweep(3)
        assert len(removed) == 4, removed
        assert lab.lvs()[ONE] == {}
        promise.check()
        case.seen = (
            f"the removal did not run; then sweeps removed {len(removed)} orphans of it, nothing "
            "else"
        )


@pytest.mark.parametrize(
    "moment", ["within the confirm delay", "when the first journal is written"]
)
def test_a_node_is_registered_again(lab: Lab, case: Case, moment: str) -> None:
    """A node is deleted and registered again: in the confirm delay nothing moves; after the journal
    the rebuild ends.
    """
    within = moment.startswith("within")
    case(
        f"node deleted and registered again {moment}",
        "nothing moves" if within else "rebuilt; old copies are swept",
    )
    with Proxy(lab.control_plane, lab.folder) as proxy:
        product = through(proxy, lab, confirm_absence="6" if within else "1")
        product.start(*ALL)
        promise = Promise(product)
        again = proxy.at(journal, lambda: lab.world.add_node(ONE))
        begun = time.monotonic()
        lab.kubectl("delete", "node", ONE)
        if within:
            time.sleep(2)
            lab.world.add_node(ONE)
            time.sleep(10)
            assert promise.nodes() == {ONE: 3}
        else:
            again.wait()
        case.seconds = promise.wait(120, since=begun, away=False)
        promise.check()
        assert within == (promise.nodes() == {ONE: 3})
        case.seen = f"volumes on {promise.nodes()}"


@pytest.mark.parametrize("moment", ["with one of them back", "with both away"])
def test_two_of_three_nodes_fall_silent(lab: Lab, case: Case, moment: str) -> None:
    """Two of three nodes are NotReady: latched, nothing moves, with one back or both away, until a
    person resumes it.
    """
    case(
        f"two of three nodes NotReady, then `carina resume` {moment}",
        "latched; continues only when asked",
    )
    product = Product(lab)
    promise = Promise(product, migrate="true", pods=3)
    product.start(*ALL)
    for name in (ONE, THREE):
        lab.kubelets[name].silence()
        lab.nodes[name].freeze()
    lab.world.wait(
        "both are NotReady", lambda: {lab.world.ready(n) for n in (ONE, THREE)} == {"Unknown"}, 40
    )
    lab.world.wait(
        "it is latched", lambda: "mass-failure guard" in product.typed("carina", "status")[1], 60
    )
    one_back = moment.startswith("with one")
    if one_back:
        back(lab, THREE)
    time.sleep(32)  # longer than the resume schedule
    assert promise.nodes() == {ONE: 3}, "nothing moves while it is latched"
    assert product.journals() == []
    product.celery("carina", "resume")
    case.seconds = promise.wait(120)
    for name in (ONE,) if one_back else (ONE, THREE):
        back(lab, name)
    promise.check()
    case.seen = f"latched and still for 32 s; after `carina resume` on {promise.nodes()}"


@pytest.mark.short
def test_one_of_two_nodes_is_deleted(lab: Lab, case: Case) -> None:
    """One of two nodes is deleted, the manual's own example: no latch, all volumes are on the
    other.
    """
    case("one of two nodes deleted", "no latch: all on the other node")
    product = Product(lab)
    lab.kubectl("delete", "node", THREE)
    promise = Promise(product, bystanders=(TWO,))
    product.start(*ALL)
    begun = time.monotonic()
    lab.kubectl("delete", "node", ONE)
    case.seconds = promise.wait(60, since=begun)
    promise.check()
    case.seen = f"volumes on {promise.nodes()}"


def test_the_node_worker_is_killed_in_create(lab: Lab, case: Case) -> None:
    """The target's worker gets SIGKILL three times while it makes eight LVs: each is made once, all
    come back.
    """
    case("target's worker killed (SIGKILL) 3 times while it makes 8 LVs", "each made once")
    with Proxy(lab.control_plane, lab.folder) as proxy:
        product, promise = scene(lab, proxy, count=8, node_deadline="6")
        kills: list[int] = []

        def kill() -> None:
            lab.nodes[TWO].kill_worker()
            kills.append(len(lab.nodes[TWO].lv_sizes()))

        proxy.at(last_status(8), lambda: later(0.01, lambda: at_first_lv(lab.nodes[TWO], kill)))
        begun = time.monotonic()
        lab.kubectl("delete", "node", ONE)
        for number in (1, 2, 3):
            lab.world.wait(f"kill {number}", lambda n=number: len(kills) == n, 60)
            time.sleep(3)  # the service manager starts it again after one
            if number < 3:
                promise.sender.send("carina.failover.resume")
                later(0.3, kill)
        case.seconds = promise.wait(150, since=begun)
        promise.check()
        case.seen = f"killed with {kills} LVs there; rebuilt on {promise.nodes()}"
        assert product.journals() == []


def scene(lab: Lab, proxy: Proxy, *, count: int = 3, **settings: str) -> tuple[Product, Promise]:
    """Return the product behind the proxy and volumes on the first node; the second, empty, is the
    only target.
    """
    product = through(proxy, lab, **settings)
    product.start(*ALL)
    promise = Promise(product, count=count, bystanders=(THREE,))
    lab.kubectl("cordon", THREE)
    return product, promise


def creates_pv(request: Request) -> bool:
    """Match the request that makes a PV again."""
    return request.creates_pv


def asks_for(name: str) -> Callable[[Request], bool]:
    """Return what matches the request for the PV of this name: the last one before its LV is
    removed.
    """
    return lambda request: request.verb == "GET" and request.path == f"{k.PVS}/{name}"


def last_status(count: int) -> Callable[[Request], bool]:
    """Return what matches the `count`-th clearing of a LogicVolume's status: the create is asked
    for after it.
    """
    seen = []

    def match(request: Request) -> bool:
        if request.verb == "PATCH" and request.path.endswith("/status"):
            seen.append(request.path)
        return len(seen) == count and seen[-1] == request.path

    return match


def later(seconds: float, act: Callable[[], object]) -> None:
    """Do something after so many seconds, at once for 0, without waiting for it."""
    if seconds:
        threading.Timer(seconds, act).start()
    else:
        act()


def back(lab: Lab, node: str) -> None:
    """Let a node that was frozen and silenced continue; return when it is Ready and its worker has
    given a sign.
    """
    lab.nodes[node].thaw()
    lab.kubelets[node].resume()
    lab.world.wait("the node is Ready", lambda: lab.world.ready(node) == "True", 30)
    lab.world.wait("its worker lives", lambda: lab.redis.client.exists(f"alive.{node}"), 30)


def at_first_lv(node: UmlNode, act: Callable[[], object]) -> None:
    """Do something as soon as the node has an LV, or after 5 s: while it makes the others."""
    end = time.monotonic() + 5
    while not node.lv_sizes() and time.monotonic() < end:
        time.sleep(0.01)
    act()


def uncordon(lab: Lab, node: str) -> None:
    """Let pods and volumes come to a node."""
    lab.kube.patch(f"{k.NODES}/{node}", {"spec": {"unschedulable": None}})


def reports(promise: Promise, node: str) -> bool:
    """Run a sweep and tell whether the node answered."""
    result = promise.product.result(promise.sender.send("carina.sweep.local_volumes"))
    return bool(promise.product.of(result, node)["outcome"] == "swept")


def gone_after_sweep(promise: Promise, node: UmlNode, lv: str) -> bool:
    """Run a sweep and tell whether the LV is gone."""
    promise.product.result(promise.sender.send("carina.sweep.local_volumes"))
    return lv not in node.lv_sizes()


def mconsole(node: UmlNode, command: str) -> str:
    """Give a command to the management console of a node's kernel; return what it answers.

    Its own client is of no use here: it waits for the answer where the node, which is unprivileged,
    may not write.
    """
    reply = node.folder / "mconsole-reply"
    reply.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(reply))
        reply.chmod(0o666)
        line.settimeout(10)
        data = command.encode()
        line.sendto(
            struct.pack("=III512s", 0xCAFEBABE, 2, len(data), data),
            str(node.folder / "uml" / "mconsole"),
        )
        error, _more, length, text = struct.unpack(
            "=III512s", line.recv(4096).ljust(524, b"\0")[:524]
        )
    said = text[:length].decode(errors="replace").strip("\0\n ")
    assert not error, f"{command}: {said}"
    return str(said)
