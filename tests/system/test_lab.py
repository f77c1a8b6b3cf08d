"""The laboratory itself: each of its means does what the tests of the product rely on."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from tests.lab import kube as k
from tests.lab import parts, paths
from tests.lab.errors import LabError
from tests.lab.lab import Lab, wait_for
from tests.lab.network import BRIDGE
from tests.lab.uml.node import UmlNode

ONE, TWO, THREE = "10.20.9.151", "10.20.9.152", "10.20.9.153"
GIB = 1 << 30


def test_it_is_up(lab: Lab) -> None:
    """Three nodes are Ready, each with its two volume groups of real lvm2 and a storage report that
    agrees with them.
    """
    print({what: round(seconds, 1) for what, seconds in lab.times.items()})
    assert sorted(lab.kube.names(k.NODES)) == [ONE, TWO, THREE]
    for name in lab.names:
        assert {vg["vg_name"] for vg in lab.nodes[name].vgs()} == {"carina-vg-hdd", "system-vg"}
        report = lab.kube.get(f"{k.NODE_STORAGE_RESOURCES}/{name}")
        assert report["status"]["capacity"]["carina.storage.io/carina-vg-hdd"] == "40"
        assert report["status"]["allocatable"]["carina.storage.io/carina-vg-hdd"] == "29"


def test_every_test_has_new_kubelets_that_cost_little(lab: Lab) -> None:
    """A kwok that has lost its node some times may renew the Lease hundreds of times a second,
    which takes the API server a processor: each test begins with others, which renew it every two
    seconds.
    """
    before = {name: kubelet.pid for name, kubelet in lab.kubelets.items()}
    lab.clean()
    assert all(kubelet.pid != before[name] for name, kubelet in lab.kubelets.items())
    begun, renewed = time.monotonic(), lease_writes(lab)
    time.sleep(4)
    rate = (lease_writes(lab) - renewed) / (time.monotonic() - begun)
    print(f"{rate:.1f} Leases a second, of three nodes and an API server")
    assert rate < 10


def lease_writes(lab: Lab) -> float:
    """Return how many Leases were updated since the API server started."""
    rows = lab.kubectl("get", "--raw", "/metrics").splitlines()
    mine = [row for row in rows if row.startswith("apiserver_request_total")]
    writes = [row for row in mine if 'resource="leases"' in row and 'verb="PUT"' in row]
    return sum(float(row.rpartition(" ")[2]) for row in writes)


def test_a_crash_keeps_what_is_on_the_disks(lab: Lab) -> None:
    """An LV with a synced file is there after the machine lost its power; what lay in memory only
    is not.
    """
    node = lab.nodes[ONE]
    node.create_lv("volume-kept", 2 * GIB)
    node.mount("volume-kept")
    node.run("sh", "-c", "echo kept > /mnt/volume-kept/file && sync && echo lost > /tmp/file")
    node.crash()
    with pytest.raises(LabError):
        node.run("true")
    print(f"boot after a crash: {node.boot():.1f} s")
    assert node.lv_sizes() == {"volume-kept": 2 * GIB}
    node.mount("volume-kept")
    assert node.run("cat", "/mnt/volume-kept/file").stdout == "kept\n"
    assert node.run("cat", "/tmp/file", check=False).returncode == 1


def test_an_open_volume_is_not_removed(lab: Lab) -> None:
    """lvm2 itself refuses to remove an LV that is mounted, and removes it once it is let go."""
    node = lab.nodes[TWO]
    node.create_lv("volume-held", GIB)
    node.mount("volume-held")
    assert node.run("lvremove", "-y", "carina-vg-hdd/volume-held", check=False).returncode == 5
    node.unmount("volume-held")
    node.run("lvremove", "-y", "carina-vg-hdd/volume-held")
    assert node.lv_sizes() == {}


def test_a_cut_is_only_of_the_network(lab: Lab) -> None:
    """A node that is cut off cannot reach the broker, can be looked into all the same, and reaches
    it when healed.
    """
    node = lab.nodes[THREE]
    probe = (
        "import socket, sys; s = socket.create_connection((sys.argv[1], 6379), 2); "
        "s.send(b'PING\\r\\n'); print(s.recv(9))"
    )

    def reaches() -> bool:
        done = node.run("/usr/bin/python3", "-c", probe, lab.network.bridge_address, check=False)
        return "NOAUTH" in done.stdout

    assert reaches()
    node.cut()
    assert not reaches()
    node.heal()
    wait_for("the node reaches the broker again", reaches, 10)


def test_the_broker_keeps_its_hardware_address(lab: Lab) -> None:
    """A port with a lower address that joins the bridge and leaves it, as that of a pod does,
    leaves the bridge's own address alone: what a node knows of the broker stays true.
    """

    def ip(*words: str) -> str:
        argv = ["ip", "-n", lab.network.namespace, *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    address = ip("-brief", "link", "show", BRIDGE).split()[2]
    ip(
        "link",
        "add",
        "low0",
        "address",
        "02:00:00:00:00:01",
        "type",
        "veth",
        "peer",
        "name",
        "low1",
    )
    try:
        ip("link", "set", "low0", "master", BRIDGE, "up")
        assert ip("-brief", "link", "show", BRIDGE).split()[2] == address
    finally:
        ip("link", "del", "low0")


def test_a_frozen_node_goes_on_where_it_stood(lab: Lab) -> None:
    """A frozen machine answers nothing, and everything once it is thawed."""
    node = lab.nodes[ONE]
    node.freeze()
    with pytest.raises(LabError, match="did not answer"):
        node.run("true", timeout=-4)
    node.thaw()
    assert node.run("echo", "here").stdout == "here\n"


def test_a_silent_kubelet_makes_its_node_unknown(lab: Lab) -> None:
    """A kubelet that stops makes its node, and no other, Unknown within the grace period; it
    returns when resumed.
    """
    lab.kubelets[TWO].silence()
    seconds = wait_for(f"{TWO} is Unknown", lambda: lab.world.ready(TWO) == "Unknown", 30)
    print(f"silent to Unknown: {seconds:.1f} s")
    assert 4 < seconds < 25
    assert [lab.world.ready(name) for name in (ONE, THREE)] == ["True", "True"]
    lab.kubelets[TWO].resume()
    wait_for(f"{TWO} is Ready again", lambda: lab.world.ready(TWO) == "True", 15)


def test_a_deleted_node_stays_deleted(lab: Lab) -> None:
    """A kubelet of the lab does not register its node again."""
    lab.kubectl("delete", "node", THREE)
    time.sleep(3)
    assert sorted(lab.kube.names(k.NODES)) == [ONE, TWO]


def test_mysql_runs_with_a_local_volume_each(lab: Lab) -> None:
    """Three replicas become Running, and each has an LV of 5 GiB on the node where its pod runs,
    and nowhere else.
    """
    begun = time.monotonic()
    pods = lab.world.add_mysql()
    print(f"mysql Running: {time.monotonic() - begun:.1f} s")
    claims = {one["metadata"]["name"]: one for one in lab.kube.list(k.claims())}
    expected: dict[str, dict[str, int]] = {name: {} for name in lab.names}
    for pod in pods:
        claim = claims[f"data-{pod['metadata']['name']}"]
        volume = claim["spec"]["volumeName"]
        assert (
            lab.kube.get(f"{k.LOGIC_VOLUMES}/{volume}")["spec"]["nodeName"]
            == pod["spec"]["nodeName"]
        )
        expected[pod["spec"]["nodeName"]][f"volume-{volume}"] = 5 * GIB
    assert lab.lvs() == expected
    assert all(len(volumes) == 1 for volumes in expected.values())
    assert lab.provisioner.errors == []


def test_a_volume_by_hand(lab: Lab) -> None:
    """A single volume has the name, node and size asked for, in LVM and in `kubectl get lv`, and
    its pod runs.
    """
    name = "pvc-177854eb-f811-4612-92c5-b8bb98126b94"
    lab.world.add_volume("data", TWO, "3Gi", name=name, migrate="true", labels={"app": "x"})
    assert lab.lvs()[TWO] == {f"volume-{name}": 3 * GIB}
    assert lab.kubectl("get", "lv", "--no-headers").split() == [
        name,
        "3Gi",
        "carina-vg-hdd",
        TWO,
        "Success",
    ]
    assert lab.world.phase("pod-data") == "Running"


def test_a_node_may_only_use_its_own_keys(lab: Lab) -> None:
    """A node's Redis user takes from its own queue and is refused another's queue, every write to
    one, and the default user.
    """
    own = redis.Redis.from_url(lab.redis.node_url_from_host(ONE))
    assert own.llen(f"node.{ONE}") == 0
    own.set(f"alive.{ONE}", "1")
    for command in (
        ("LLEN", f"node.{TWO}"),
        ("LPUSH", f"node.{ONE}", "x"),
        ("LPUSH", "control", "x"),
        ("KEYS", "*"),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            own.execute_command(*command)
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis.from_url(lab.redis.url.replace(lab.redis.password, "wrong")).ping()


def test_a_worker_is_started_again(lab: Lab) -> None:
    """What runs as worker gets the node's name and broker, is started again after SIGKILL and after
    a crash of the machine.
    """
    script = (
        "import os, time; print(os.environ['NODE_NAME'], os.environ['EXTRA'], flush=True); "
        "time.sleep(600)"
    )
    node = lab.nodes[ONE]
    line = f"{ONE} it's $x"

    def started() -> int:
        return node.worker_log.read_text().splitlines().count(line)

    before = started()
    lab.start_workers({"EXTRA": "it's $x"}, argv=("-c", script), only=[ONE])
    wait_for("the worker runs", lambda: started() == before + 1, 10)
    node.kill_worker()
    wait_for("the worker runs again", lambda: started() == before + 2, 10)
    node.crash()
    node.boot()
    wait_for("the worker runs after a crash", lambda: started() == before + 3, 10)
    node.stop_worker()
    assert node.worker_status()["pid"] is None


def test_a_service_account_may_do_nothing_at_first(lab: Lab) -> None:
    """RBAC is on: a new ServiceAccount is known by name and refused everything."""
    kubeconfig = lab.control_plane.service_account("carina-tasks", "control")
    assert kubeconfig.exists()
    answer = lab.kubectl(
        "auth",
        "can-i",
        "list",
        "nodes",
        "--as=system:serviceaccount:carina-tasks:control",
        check=False,
    )
    assert answer.strip() == "no"


def test_the_api_server_can_be_away(lab: Lab) -> None:
    """The API server can be stopped alone and comes back with the same address, token and
    objects.
    """
    lab.control_plane.stop_apiserver()
    with pytest.raises(Exception, match="refused"):
        lab.kube.list(k.NODES)
    lab.control_plane.start_apiserver()
    assert sorted(lab.kube.names(k.NODES)) == [ONE, TWO, THREE]


def test_the_nodes_have_the_products_software(lab: Lab) -> None:
    """A node's Python has what the lock file pins, and the product's sources of now."""
    code = "import celery, carina_tasks; print(celery.__version__, carina_tasks.__file__)"
    lab.start_workers(argv=("-c", f"{code}; import time; time.sleep(600)"), only=[TWO])
    want = f"5.7.0 {lab.folder}/src/carina_tasks/__init__.py"
    wait_for("it has printed", lambda: want in lab.nodes[TWO].worker_log.read_text(), 20)
    lab.nodes[TWO].stop_worker()


def members(group: int) -> list[int]:
    """Return the processes of a group that have not ended (a zombie has)."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pid, rest = file.parent.name, file.read_text().rsplit(")", 1)[1].split()
            if int(rest[2]) == group and rest[0] != "Z":
                found.append(int(pid))
    return found


def test_a_killed_lab_leaves_nothing_behind(lab: Lab) -> None:
    """A second lab has a place of its own; when it is killed, its processes and its namespace go,
    and no others.
    """
    program = (
        "from tests.lab import slot, processes\n"
        "place = slot.take(); place.network.up()\n"
        "child = processes.start('child', ['sh', '-c', 'sleep 600 & wait'], folder=place.folder / "
        "'x')\n"
        "print(place.network.namespace, child.pid, flush=True); input()\n"
    )
    second = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=paths.REPOSITORY,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert second.stdout
    namespace, child = second.stdout.readline().split()
    assert namespace != lab.network.namespace
    wait_for("both processes of the group run", lambda: len(members(int(child))) == 2, 5)
    second.kill()
    second.wait()
    wait_for("its processes have ended", lambda: members(int(child)) == [], 10)
    wait_for("its namespace is gone", lambda: not Path("/run/netns", namespace).exists(), 10)
    assert lab.nodes[ONE].run("true").returncode == 0


def test_a_node_is_emptied_whatever_a_test_did_to_it(lab: Lab) -> None:
    """`clean` brings back a node whose VG is gone, one that is crashed and cut, and one with an
    open LV and a thin pool.
    """
    one, two, three = (lab.nodes[name] for name in lab.names)
    one.run("vgremove", "-q", "-y", "carina-vg-hdd")
    two.cut()
    two.crash()
    three.create_lv("volume-open", GIB)
    three.mount("volume-open")
    three.run(
        "lvcreate", "-q", "-y", "--type", "thin-pool", "-L", "1G", "-n", "thin-x", "carina-vg-hdd"
    )
    three.run(
        "lvcreate",
        "-q",
        "-y",
        "-V",
        "1G",
        "--thinpool",
        "thin-x",
        "-n",
        "volume-x",
        "carina-vg-hdd",
    )
    assert sorted(three.lv_sizes()) == ["thin-x", "volume-open", "volume-x"]
    print(f"clean: {lab.clean():.1f} s")
    assert lab.lvs() == {name: {} for name in lab.names}
    assert all(
        {vg["vg_name"] for vg in node.vgs()} == {"carina-vg-hdd", "system-vg"}
        for node in lab.nodes.values()
    )


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_a_lacking_part_fails_in_ci_only(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[Exception]
) -> None:
    """A test that lacks its real part fails with CI=true and skips elsewhere, with what is lacking
    and how to get it.
    """
    lacking = parts.Part(lambda: False, "no flux capacitor", "ask a doctor")
    monkeypatch.setitem(parts.PARTS, "flux", lacking)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"no flux capacitor \(ask a doctor\)"):
        parts.require("root", "flux")


def test_processes_of_the_host(lab: Lab) -> None:
    """A process of the product gets the cluster and the broker, its log is kept, and it ends with
    `clean`.
    """
    process = lab.process(
        [
            "python",
            "-c",
            "import os, time; print(os.environ['KUBECONFIG'], flush=True); time.sleep(600)",
        ],
        {"X": "y"},
    )
    wait_for("it has printed", lambda: str(lab.kubeconfig) in process.tail(), 10)
    print(f"clean: {lab.clean():.1f} s")
    assert not process.alive
    assert lab.lvs() == {name: {} for name in lab.names}


def test_a_worker_that_the_kernel_holds_is_ended_by_a_boot(lab: Lab) -> None:
    """A worker that outlives SIGKILL, here in a write to a frozen file system, costs a boot and no
    later test.
    """
    node = lab.nodes[ONE]
    node.create_lv("frozen", GIB // 8)
    point = node.mount("frozen")
    node.run("fsfreeze", "--freeze", point)
    lab.start_workers(argv=("-c", f"open('{point}/file', 'w').write('x')"), only=[ONE])
    lab.world.wait(
        "the worker hangs",
        lambda: node.run("cat", f"/proc/{pid(node)}/stat").stdout.split()[2] == "D",
    )
    assert node.boot_if_worker_is_held()
    script = "import time; print('second'); time.sleep(100)"
    lab.start_workers(argv=("-c", script), only=[ONE])
    lab.world.wait("the second runs", lambda: "second" in node.worker_log.read_text())
    assert not node.boot_if_worker_is_held()
    node.stop_worker()


def pid(node: UmlNode) -> int:
    """Return the process ID of a node's worker."""
    return int(node.worker_status()["pid"])
