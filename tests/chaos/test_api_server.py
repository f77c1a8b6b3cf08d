"""The API server and kube-controller-manager on a bad day."""

from __future__ import annotations

import random
import time

import pytest

from tests.chaos.promise import GIB, ONE, TWO, Promise
from tests.chaos.proxy import Json, Proxy, Request
from tests.chaos.stand_ins import Loop
from tests.chaos.story import Case
from tests.lab.lab import Lab
from tests.system.product import Product


def test_the_api_server_is_down_in_mid_rebuild(lab: Lab, case: Case) -> None:
    """kube-apiserver stops when the first journal is written, for 30 s: every volume comes back, by itself."""
    case("API server stopped for 30 s in mid-rebuild", "the rebuild ends by itself after it is back")
    product = Product(lab)
    product.start("control", "beat", "node_watch")
    promise = Promise(product)
    lab.kubectl("delete", "node", ONE)
    lab.world.wait("a journal is written", lambda: product.journals(), 30)
    lab.control_plane.stop_apiserver()
    time.sleep(30)
    lab.control_plane.start_apiserver()
    case.seconds = promise.wait(120)
    promise.check()
    case.seen = f"rebuilt on {promise.nodes()}"


def test_the_api_server_answers_500_at_random(lab: Lab, case: Case) -> None:
    """A third of all answers are 500 for 20 s from the deletion on: every volume comes back, and sweeps remove nothing."""
    case("a third of the API's answers are 500 for 20 s, rebuild and sweeps", "rebuilt; nothing else removed")
    with Proxy(lab.control_plane, lab.folder) as proxy:
        product = through(proxy, lab)
        product.start("control", "beat", "node_watch")
        promise = Promise(product)
        dice, end = random.Random(1), time.monotonic() + 20
        proxy.refuse = lambda _: 500 if time.monotonic() < end and dice.random() < 0.33 else 0
        begun = time.monotonic()
        lab.kubectl("delete", "node", ONE)
        with Loop(1, lambda: promise.sender.send("carina.sweep.local_volumes")):
            time.sleep(20)
        case.seconds = promise.wait(120, since=begun)
        assert proxy.refused > 10
        promise.check()
        case.seen = f"{proxy.refused} answers were 500; rebuilt on {promise.nodes()}"


def test_answers_to_writes_are_lost(lab: Lab, case: Case) -> None:
    """Half of the writes are done and their answers lost, for 20 s from the deletion on: done once, and it ends."""
    case("half of the writes to the API server are done but answered 504, for 20 s of a rebuild", "done once; rebuilt")
    with Proxy(lab.control_plane, lab.folder) as proxy:
        product = through(proxy, lab)
        product.start("control", "beat", "node_watch")
        promise = Promise(product, count=5)
        dice, end = random.Random(6), time.monotonic() + 20
        proxy.lose = lambda request: request.verb != "GET" and time.monotonic() < end and dice.random() < 0.5
        begun = time.monotonic()
        lab.kubectl("delete", "node", ONE)
        with Loop(2, lambda: promise.sender.send("carina.failover.resume")):
            time.sleep(20)
        case.seconds = promise.wait(120, since=begun)
        assert proxy.lost > 5
        promise.check()
        case.seen = f"{proxy.lost} answers lost; rebuilt on {promise.nodes()}"


@pytest.mark.short
def test_lists_are_cut_short(lab: Lab, case: Case) -> None:
    """Lists of LogicVolumes and PVs lack items at random during sweeps and a rebuild: nothing that is owned goes."""
    case("lists of LogicVolumes and PVs lack half their items, in 15 s of sweeps and in a rebuild",
         "no owned LV or LogicVolume removed; rebuilt")  # fmt: skip
    with Proxy(lab.control_plane, lab.folder) as proxy:
        product = through(proxy, lab)
        product.start("control", "beat", "node_watch")
        promise = Promise(product, count=4)
        before = {name: product.lv_uuid(ONE, f"volume-{name}") for name in promise.moving}
        proxy.edit = cut(random.Random(2), "logicvolumes", "persistentvolumes")
        with Loop(1, lambda: [promise.sender.send(f"carina.sweep.{what}_volumes") for what in ("local", "logic")]):
            time.sleep(15)
            assert {name: product.lv_uuid(ONE, f"volume-{name}") for name in promise.moving} == before
            begun = time.monotonic()
            lab.kubectl("delete", "node", ONE)
            case.seconds = promise.wait(120, since=begun)
        proxy.edit = lambda _path, _list: None
        promise.check()
        assert proxy.edited > 10
        case.seen = f"{proxy.edited} lists cut; rebuilt on {promise.nodes()}"


def test_lists_of_nodes_are_cut_short(lab: Lab, case: Case) -> None:
    """Lists of nodes lack nodes during sweeps and resumes: no living node's volume moves."""
    case("lists of nodes lack half their items for 15 s of sweeps and resumes", "nothing moves, nothing is removed")
    with Proxy(lab.control_plane, lab.folder) as proxy:
        product = through(proxy, lab)
        product.start("control", "node_watch")
        promise = Promise(product)
        before = {name: product.lv_uuid(ONE, f"volume-{name}") for name in promise.moving}
        proxy.edit = cut(random.Random(3), "nodes")
        tasks = ("carina.failover.resume", "carina.sweep.local_volumes", "carina.sweep.logic_volumes")
        with Loop(1, lambda: [promise.sender.send(task) for task in tasks]):
            time.sleep(15)
        proxy.edit = lambda _path, _list: None
        time.sleep(3)
        latch = lab.kubectl(
            "-n", "kube-system", "get", "cm", "carina-tasks-state", "-o", "jsonpath={.data}", check=False
        )
        product.celery("carina", "resume")
        case.seconds = promise.wait(30, away=False)
        assert promise.nodes() == {ONE: 3}
        promise.check()
        assert {name: product.lv_uuid(ONE, f"volume-{name}") for name in promise.moving} == before
        assert proxy.edited > 5
        case.seen = f"{proxy.edited} lists cut; nothing moved; state: {latch or 'not latched'}"


def test_an_orphan_still_goes_behind_cut_lists(lab: Lab, case: Case) -> None:
    """With lists cut short an orphan is removed and its owned neighbours, which look like orphans half the time, stay."""
    case("lists cut short while one real orphan stands beside owned LVs", "the orphan goes, and it alone")
    with Proxy(lab.control_plane, lab.folder) as proxy:
        product = through(proxy, lab)
        product.start("control")
        promise = Promise(product)
        lab.nodes[TWO].create_lv("volume-orphan", GIB)
        proxy.edit = cut(random.Random(4), "logicvolumes", "persistentvolumes")
        begun = time.monotonic()
        with Loop(1, lambda: promise.sender.send("carina.sweep.local_volumes")):
            lab.world.wait("the orphan is gone", lambda: "volume-orphan" not in lab.lvs()[TWO], 60)
            case.seconds = time.monotonic() - begun
        proxy.edit = lambda _path, _list: None
        promise.check()
        case.seen = f"{proxy.edited} lists cut; the orphan alone went"


def test_the_controller_manager_is_down(lab: Lab, case: Case) -> None:
    """kube-controller-manager is down for 30 s from the first journal on: claims cannot bind, and bind afterwards."""
    case("kube-controller-manager down for 30 s in mid-rebuild", "claims wait, then all are Bound and Success")
    product = Product(lab)
    product.start("control", "beat", "node_watch")
    promise = Promise(product)
    lab.kubectl("delete", "node", ONE)
    lab.world.wait("a journal is written", lambda: product.journals(), 30)
    lab.control_plane.stop_controller_manager()
    time.sleep(30)
    waiting = len(product.journals())
    lab.control_plane.start_controller_manager()
    case.seconds = promise.wait(120)
    promise.check()
    case.seen = f"{waiting} of 3 waited; rebuilt on {promise.nodes()}"


def through(proxy: Proxy, lab: Lab, **settings: str) -> Product:
    """Return a product that reaches the API server by the proxy only."""
    product = Product(lab, **settings)
    product.env["KUBECONFIG"] = str(proxy.kubeconfig)
    return product


def cut(dice: random.Random, *kinds: str):
    """Return what leaves each item of lists of these kinds out, half the time; the list stays valid."""

    def edit(path: str, found: Json) -> None:
        if path.rsplit("/", 1)[-1] in kinds:
            found["items"] = [one for one in found.get("items") or () if dice.random() < 0.5]

    return edit


def journal(request: Request) -> bool:
    """Match the request that writes a journal."""
    return request.writes_journal
