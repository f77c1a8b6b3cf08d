"""Broken input at every entrance: a clear error of ours or a refusal, never a crash, never an lvm
command with an unchecked string.

Short here; `make fuzz EXAMPLES=20000` runs the same for long and prints how many examples of what
ran.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from celery import current_app
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from carina_tasks.environment import PREFIX
from carina_tasks.errors import BadObject, BadSetting, CarinaTasksError, LvmReportUnreadable
from carina_tasks.flows.failover.lost_node import migrate_node, rebuild_node
from carina_tasks.flows.failover.resume import resume
from carina_tasks.flows.failover.single_volume import rebuild_volume
from carina_tasks.flows.report.loss_plan import plan_node
from carina_tasks.flows.report.status import status
from carina_tasks.flows.sweeps.local_volumes import sweep_local_volumes
from carina_tasks.flows.sweeps.logic_volumes import sweep_logic_volumes
from carina_tasks.kube import paths
from carina_tasks.lvm import volumes
from carina_tasks.lvm.command import Lvm, Reported
from carina_tasks.lvm.report import parse as parse_report
from carina_tasks.model import objects, well_known
from carina_tasks.model.journal import Journal
from carina_tasks.model.messages import (
    CreateLvs,
    MarkLvs,
    PurgeLvs,
    RemoveLvs,
    RestoreLv,
    read_request,
)
from carina_tasks.settings import FIELDS, load
from carina_tasks.tasks import failover as failover_tasks
from carina_tasks.tasks import sweep as sweep_tasks
from carina_tasks.tasks import trash as trash_tasks
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import (
    INTENT,
    NOW,
    UUID_LV,
    VG,
    at,
    claim,
    inventory,
    journal,
    local_volume,
    logic_volume,
    node,
    pod,
    pv,
)
from tests.fuzz import grammar
from tests.fuzz.mutate import HOSTILE, JUNK, broken
from tools.reference import tasks_page

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
RAN: Counter[str] = Counter()

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    database=None,
)


@pytest.fixture(scope="module", autouse=True)
def _figures():
    yield
    print("\nfuzz: " + ", ".join(f"{count} {what}" for what, count in sorted(RAN.items())))


LEASE = {
    "kind": "Lease",
    "metadata": {"name": "n1", "namespace": "kube-node-lease"},
    "spec": {"renewTime": at(NOW)},
}
CLASS = {
    "kind": "StorageClass",
    "metadata": {"name": "csi-carina-sc"},
    "provisioner": "carina.storage.io",
    "allowedTopologies": [
        {"matchLabelExpressions": [{"key": well_known.TOPOLOGY_NODE, "values": ["n2", "n3"]}]}
    ],
}
RICH = pod("web", "pvc-1", annotated=True)
RICH["spec"] |= {
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}},
        }
    ],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["fast"]}]}
                ]
            }
        },
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
                }
            ]
        },
    },
    "containers": [
        {
            "name": "a",
            "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
            "ports": [{"hostPort": 80, "containerPort": 80}],
        }
    ],
}
MANIFESTS = [
    (node("n1"), objects.parse_node),
    (RICH, objects.parse_pod),
    (claim(), objects.parse_claim),
    (pv(), objects.parse_persistent_volume),
    (logic_volume(journal=journal()), objects.parse_logic_volume),
    (LEASE, objects.parse_lease),
    (CLASS, objects.parse_storage_class),
]


@pytest.mark.parametrize(
    ("valid", "parser"),
    MANIFESTS,
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_manifest_is_read_or_is_a_bad_object(valid, parser):
    """Any field broken: a value, or BadObject."""

    @fuzz
    @given(broken(valid))
    def run(raw):
        RAN[f"manifests ({valid['kind']})"] += 1
        if isinstance(raw, dict):
            with contextlib.suppress(BadObject):
                parser(raw)

    run()


FLOWS = {
    "rebuild": lambda ctx: rebuild_node(ctx, "n1"),
    "migrate": lambda ctx: migrate_node(ctx, "n1"),
    "resume": resume,
    "plan": lambda ctx: plan_node(ctx, "n1"),
    "local sweep": sweep_local_volumes,
    "logic sweep": sweep_logic_volumes,
    "status": status,
    "manually": lambda ctx: rebuild_volume(ctx, "n2", "pvc-2", "pvc-2"),
}


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize(
    "victim", ["Node", "Pod", "PersistentVolumeClaim", "PersistentVolume", "LogicVolume"]
)
def test_a_cluster_with_one_broken_object_gives_a_result_or_an_error_of_ours(flow, victim):
    """Whatever is wrong with an object: no flow crashes, and no PV is deleted whose journal is not
    written.
    """

    @settings(fuzz, max_examples=max(10, EXAMPLES // 8))
    @given(st.data())
    def run(data):
        RAN[f"clusters ({flow})"] += 1
        raws = [
            node("n2"),
            node("n3"),
            RICH,
            logic_volume(),
            pv(),
            claim(),
            logic_volume("pvc-2", "n2"),
            pv("pvc-2", "n2"),
            claim("pvc-2"),
            logic_volume("pvc-3", "n3", journal=journal("pvc-3", target="n3"), status=""),
            pv("pvc-3"),
            claim("pvc-3"),
        ]
        if flow == "migrate":
            raws.append(node("n1", ready="Unknown", since=NOW - 400))
        api = FakeApi(*raws)
        mine = sorted(key for key, raw in api.objects.items() if raw["kind"] == victim)
        key = data.draw(st.sampled_from(mine))
        whole = api.objects[key]
        bad = data.draw(broken({k: v for k, v in whole.items() if k != "kind"}))
        # The API server itself sees to name, UID and version.
        if isinstance(bad, dict):
            meta = bad.get("metadata") if isinstance(bad.get("metadata"), dict) else {}
            kept = {
                k: whole["metadata"][k]
                for k in ("name", "uid", "resourceVersion", "namespace")
                if k in whole["metadata"]
            }
            api.objects[key] = {**bad, "kind": whole["kind"], "metadata": {**meta, **kept}}
            api._control = lambda key: None  # the fake's own controller believes what it reads
        nodes = FakeNodes(
            inventory("n2", local_volume("volume-pvc-2"), local_volume("volume-old", marked=400)),
            inventory("n3"),
        )
        with contextlib.suppress(CarinaTasksError):
            FLOWS[flow](context(api, nodes, bind_timeout="0.2"))
        journalled = {
            path.rsplit("/", 1)[-1]
            for verb, path, body in api.log
            if well_known.JOURNAL in str(body)
        } | {"pvc-3"}
        deleted = {
            path.rsplit("/", 1)[-1]
            for verb, path, _ in api.log
            if verb == "delete" and "/persistentvolumes/" in path
        }
        assert deleted <= journalled

    run()


@fuzz
@given(broken(json.loads(journal().to_json()), most=4))
def test_a_journal_is_one_or_is_a_bad_object(raw):
    """People can edit annotations: a journal, or BadObject; on its LogicVolume an error that is
    told.
    """
    RAN["journals"] += 1
    text = json.dumps(raw)
    try:
        Journal.from_json(text)
    except BadObject:
        volume = objects.parse_logic_volume(logic_volume(journal=text))
        assert volume.journalled
        assert volume.journal_error


REPORTS = [
    json.loads(p.read_text())
    for p in sorted((Path(__file__).parent / "lvm_reports").glob("*/*.json"))
    if p.stem != "damaged"
]


@fuzz
@given(st.sampled_from(REPORTS).flatmap(broken))
def test_a_report_is_an_inventory_or_unreadable(raw):
    """Any place of lvm's report broken: an inventory that can be read on arrival, or
    LvmReportUnreadable.
    """
    RAN["lvm reports"] += 1
    try:
        found = parse_report(json.dumps(raw), "n1")
    except LvmReportUnreadable:
        return
    assert msgspec.convert(msgspec.to_builtins(found), type(found)) == found


class Recorded(Lvm):
    """The gate, with a report of our own, and every line that would reach lvm's shell checked
    against the grammar.
    """

    def _call(self, argv, stdin, timeout):
        if stdin is None:
            assert argv[0] == "fullreport"
            return Reported(json.dumps(self.environment["report"]), "", 0)
        for line in stdin.decode().splitlines():
            grammar.check(line)
            RAN["lvm commands"] += not line.startswith("end-of-command-")
        return Reported("", "", 0)


UUID_NEW = "nnnnnn-bbbb-cccc-dddd-eeee-ffff-gggggg"
UUID_TRASH = "tttttt-bbbb-cccc-dddd-eeee-ffff-gggggg"
LVS = [
    {
        "lv_name": name,
        "lv_uuid": uuid,
        "lv_size": str(5 << 30),
        "lv_attr": "-wi-a-----",
        "lv_device_open": "0",
        "lv_active": "active",
        "lv_layout": "linear",
        "lv_role": "public",
        "pool_lv": "",
        "lv_tags": tags,
        "lv_time": "1700000000",
        "lv_kernel_major": "254",
        "lv_kernel_minor": "1",
    }
    for name, uuid, tags in (
        ("volume-pvc-1", UUID_LV, "carina-tasks.orphan=1700000000"),
        ("volume-pvc-3", UUID_NEW, ""),
        (
            f"trash-{UUID_TRASH}",
            UUID_TRASH,
            "carina-tasks.trash.name=volume-pvc-9,carina-tasks.trash.at=1700000000,carina-tasks.trash.why=orphan",
        ),
    )
]
REPORT = {
    "report": [
        {
            "vg": [
                {
                    "vg_name": VG,
                    "vg_uuid": "v" * 6 + "-bbbb-cccc-dddd-eeee-ffff-gggggg",
                    "vg_size": str(500 << 30),
                    "vg_extent_size": str(4 << 20),
                    "vg_exported": "0",
                    "vg_partial": "0",
                }
            ],
            "pv": [{"pv_free": str(300 << 30), "pv_allocatable": "1", "pv_missing": "0"}],
            "lv": LVS,
            "seg": [],
        }
    ]
}
TARGET = {"group": VG, "name": "volume-pvc-1", "uuid": UUID_LV}
TRASHED = {"group": VG, "name": f"trash-{UUID_TRASH}", "uuid": UUID_TRASH}
REQUESTS = [
    (
        volumes.create_volumes,
        CreateLvs,
        {
            "reserve": 0,
            "trash_at": 1800000000,
            "volumes": [
                {
                    "group": VG,
                    "name": "volume-pvc-1",
                    "size": 5 << 30,
                    "intent": INTENT,
                    "stale": UUID_LV,
                },
                {"group": VG, "name": "volume-pvc-2", "size": 5 << 30, "intent": INTENT},
            ],
        },
    ),
    (
        volumes.mark_volumes,
        MarkLvs,
        {
            "at": 1800000000,
            "mark": [{"group": VG, "name": "volume-pvc-3", "uuid": UUID_NEW}],
            "unmark": [],
        },
    ),
    (volumes.mark_volumes, MarkLvs, {"at": 1800000000, "mark": [], "unmark": [TARGET]}),
    (
        volumes.remove_volumes,
        RemoveLvs,
        {"marked_before": 1800000000, "trash_at": 0, "volumes": [{**TARGET, "why": "orphan"}]},
    ),
    (
        volumes.remove_volumes,
        RemoveLvs,
        {
            "marked_before": 1800000000,
            "trash_at": 1800000000,
            "volumes": [{**TARGET, "why": "orphan"}],
        },
    ),
    (volumes.purge_volumes, PurgeLvs, {"trashed_before": 1800000000, "volumes": [TRASHED]}),
    (volumes.restore_volume, RestoreLv, {"at": 1800000000, "volume": TRASHED}),
]


@pytest.mark.parametrize(("work", "kind", "valid"), REQUESTS)
def test_a_request_reaches_lvm_checked_or_not_at_all(work, kind, valid):
    """A broken request, or a broken report under a good one: an error of ours, and no command but
    those of the grammar.
    """

    @fuzz
    @given(broken(valid, most=2), broken(REPORT, most=2))
    def run(body, report):
        RAN[f"node requests ({work.__name__})"] += 1
        try:
            request = read_request(body, kind)
            work(Recorded(environment={"report": report}), "n1", request)
        except CarinaTasksError:
            pass

    before = RAN["lvm commands"]
    work(Recorded(environment={"report": REPORT}), "n1", read_request(valid, kind))
    assert RAN["lvm commands"] > before, "the whole request reaches lvm, or this shows nothing"
    run()


TAGS = st.lists(
    st.sampled_from(
        ["carina-tasks.orphan=", "carina-tasks.intent=", "carina-tasks.trash.at=", "mine"]
    ).flatmap(lambda head: st.text("abz019_+.-/=!:&#", max_size=12).map(lambda tail: head + tail)),
    max_size=4,
)


@pytest.mark.parametrize(("work", "kind", "valid"), REQUESTS)
def test_tags_that_lvm_allows_break_no_batch(work, kind, valid):
    """Any tags that the operator may have put on an LV: the other volumes of the batch are served
    all
    the same.
    """

    @fuzz
    @given(TAGS, st.sampled_from([0, 1, 2]))
    @example(["carina-tasks.orphan=#", "carina-tasks.trash.at=#"], 0)
    def run(tags, which):
        RAN["tags"] += 1
        report = json.loads(json.dumps(REPORT))
        lv = report["report"][0]["lv"][which]
        lv["lv_tags"] = ",".join([*lv["lv_tags"].split(","), *tags])
        done = work(Recorded(environment={"report": report}), "n1", read_request(valid, kind))
        assert done.volumes

    run()


@pytest.mark.parametrize(
    "line",
    [
        "lvremove -y carina-vg-hdd/volume-x",
        "lvremove -y -S 'lv_name=\"x\"' vg/volume-x",
        "lvchange -y --addtag x vg/volume-x",
        "lvcreate -y -W y -Z y -n backup -L 5b --addtag carina-tasks.intent=x vg",
        "vgremove vg",
        "lvextend -y -L 5b vg/home",
        "lvs",
    ],
)
def test_the_grammar_takes_nothing_else(line):
    """Without a selection, of another name, of another command: refused."""
    with pytest.raises(AssertionError):
        grammar.check(line)


ENVIRON = st.dictionaries(
    st.sampled_from([PREFIX + name.upper() for name in FIELDS] + ["NODE_NAME", PREFIX + "NO_SUCH"]),
    st.sampled_from(HOSTILE) | st.text(max_size=20) | st.integers().map(str) | st.floats().map(str),
    max_size=4,
)


@fuzz
@given(ENVIRON)
def test_settings_are_taken_or_named(environ):
    """Any environment: settings, or BadSetting that names one of the variables."""
    RAN["settings"] += 1
    try:
        load(environ)
    except BadSetting as exc:
        said = exc.message
        assert any(name in said for name in environ)


@fuzz
@given(broken({"paused": "why", "latched": "", "approved": "n1,n2"}) | JUNK)
def test_a_state_that_somebody_edited_pauses_or_does_not(data):
    """Whatever the ConfigMap holds: an answer or an error of ours, and a reason that stands there
    always pauses.
    """
    RAN["states"] += 1
    api = FakeApi(node("n2"))
    meta = {"name": well_known.STATE_CONFIG_MAP, "namespace": "kube-system"}
    api.objects[paths.config_map("kube-system", well_known.STATE_CONFIG_MAP)] = {
        "kind": "ConfigMap",
        "metadata": meta,
        "data": data,
    }
    ctx = context(api, FakeNodes())
    try:
        state = ctx.state.read()
    except CarinaTasksError:
        return
    if isinstance(data, dict) and data.get("paused"):
        assert state.paused


CONTROL = [
    t for t in tasks_page.tasks().values() if t.__module__.endswith(("failover", "sweep", "trash"))
]
ARGUMENTS = st.lists(
    JUNK
    | st.just("n1")
    | st.just("pvc-1")
    | st.dictionaries(st.sampled_from(["n1", "x y"]), JUNK, max_size=2),
    max_size=3,
)


@pytest.mark.parametrize("task", CONTROL, ids=lambda task: task.name)
def test_task_arguments_are_taken_or_refused(task):
    """Any arguments in a message: a result, an error of ours, or the TypeError of a wrong number;
    nothing is removed.
    """

    @settings(fuzz, max_examples=max(20, EXAMPLES // 4))
    @given(
        ARGUMENTS,
        st.dictionaries(
            st.sampled_from(["node", "volume", "force", "confirm", "not_ready"]), JUNK, max_size=2
        ),
    )
    def run(args, kwargs):
        RAN[f"task arguments ({task.name})"] += 1
        api = FakeApi(node("n1"), node("n2"), logic_volume(), pv(), claim(), RICH)
        made = context(
            api, FakeNodes(inventory("n1", local_volume()), inventory("n2")), bind_timeout="0.2"
        )
        with pytest.MonkeyPatch.context() as patch:
            for module in (failover_tasks, sweep_tasks, trash_tasks):
                patch.setattr(module, "context", lambda: made)
            patch.setattr(
                type(current_app._get_current_object()), "send_task", lambda *_, **__: None
            )
            try:
                task.run(*args, **kwargs)
            except CarinaTasksError:
                pass
            except TypeError as exc:
                if "argument" not in str(exc):
                    raise
        assert not any(verb == "delete" for verb, _, _ in api.log)

    run()
