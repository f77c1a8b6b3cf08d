"""The rights in deploy/rbac.yaml: enough for the whole work, and not one verb more. The API
server's audit log is the witness.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import kube as k
from tests.lab import paths
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.volumes import Volume
from tests.system.apiserver import with_flags
from tests.system.manifests import manifests
from tests.system.product import Product

ONE, TWO, THREE = "10.20.9.151", "10.20.9.152", "10.20.9.153"
NAMESPACE = "kube-system"
CONTROL, NODE_WATCH = "carina-tasks-control", "carina-tasks-node-watch"
RIGHTS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Metadata",
            "users": [
                f"system:serviceaccount:{NAMESPACE}:{name}" for name in (CONTROL, NODE_WATCH)
            ],
        },
        {"level": "None"},
    ],
}


@dataclass(frozen=True, order=True)
class Right:
    """A verb on a resource (`group/resource`), in one namespace or, empty, in all."""

    namespace: str
    resource: str
    verb: str


@dataclass(frozen=True)
class Request:
    """One line of the audit log."""

    account: str
    allowed: bool
    namespace: str
    resource: str
    verb: str

    def by(self, right: Right) -> bool:
        """Return whether this request made use of `right`."""
        return (
            self.allowed
            and (self.resource, self.verb) == (right.resource, right.verb)
            and right.namespace in ("", self.namespace)
        )


@dataclass(frozen=True)
class Run:
    """What happened: the requests, the lab they were made in, and each account's kubeconfig."""

    lab: Lab
    requests: tuple[Request, ...]
    kubeconfigs: dict[str, Path]


def granted(account: str) -> set[Right]:
    """Return what the roles in deploy/ grant an account."""
    objects = manifests()
    roles = {
        (one["kind"], one["metadata"]["name"]): one
        for one in objects
        if one["kind"].endswith("Role")
    }
    rights = set()
    for binding in objects:
        if not binding["kind"].endswith("RoleBinding") or account not in {
            s["name"] for s in binding["subjects"]
        }:
            continue
        role = roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
        namespace = binding["metadata"].get("namespace", "")
        for rule in role["rules"]:
            rights |= {
                Right(namespace, f"{group}/{resource}", verb)
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            }
    return rights


@pytest.fixture(scope="module")
def run(whole_lab: Lab) -> Iterator[Run]:
    """Do everything that control workers and the node watch do, each with its own ServiceAccount,
    under audit.
    """
    lab, log = whole_lab, whole_lab.folder / "audit.log"
    lab.clean()
    # A worker of an earlier test left one, and nobody would create it again.
    lab.kubectl("-n", NAMESPACE, "delete", "failoverstatuses", "--all")
    log.unlink(missing_ok=True)
    policy = lab.folder / "audit-policy.json"
    policy.write_text(json.dumps(POLICY))
    rights = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "List",
            "items": [m for m in manifests() if m["kind"] in RIGHTS],
        }
    )
    with with_flags(lab, f"--audit-policy-file={policy}", f"--audit-log-path={log}"):
        try:
            lab.kubectl("apply", "-f", "-", stdin=rights)
            kubeconfigs = {
                name: lab.control_plane.service_account(NAMESPACE, name)
                for name in (CONTROL, NODE_WATCH)
            }
            work(lab, kubeconfigs)
            lab.end_processes()
            yield Run(lab, tuple(requests(log)), kubeconfigs)
        finally:
            lab.end_processes()
            lab.kubectl("delete", "-f", "-", "--ignore-not-found", stdin=rights)
            lab.kubectl(
                "-n", NAMESPACE, "delete", "configmap", "carina-tasks-state", "--ignore-not-found"
            )
            lab.kubectl("-n", NAMESPACE, "delete", "failoverstatuses", "--all")


def work(lab: Lab, kubeconfigs: dict[str, Path]) -> None:
    """Rebuild, both sweeps, a question about a NotReady node, and a mass failure; each must end
    well.
    """
    control, watch = Product(lab), Product(lab)
    control.env["KUBECONFIG"] = str(kubeconfigs[CONTROL])
    watch.env["KUBECONFIG"] = str(kubeconfigs[NODE_WATCH])
    control.start("control")
    watch.start("node_watch", nodes=False)

    # Rebuild: a pod to evict, and a claim with a stale resize condition to clear.
    name = lab.world.add_volume("grown", ONE, "1Gi").name
    condition = {
        "type": "FileSystemResizePending",
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    lab.kube.patch(f"{k.claims()}/grown/status", {"status": {"conditions": [condition]}})
    lab.kubectl("delete", "node", ONE)
    control.wait_rebuilt(name, away_from=ONE)
    lab.world.wait("the pod is evicted", lambda: lab.kube.find(f"{k.pods()}/pod-grown") is None, 10)

    # An operator asks from within a control worker's pod: our Events are read back.
    assert "VolumeRebuiltEmpty" in control.celery("carina", "history", name)

    ask_doctor(lab, control)

    # Sweeps: a LogicVolume without PV; one whose LV is missing: it is said once, however many
    # sweeps see it.
    orphan = Volume(name="pvc-orphan", node=TWO, claim="none", claim_uid="none", size="1Gi")
    lab.kube.create(k.LOGIC_VOLUMES, orphan.logic_volume())
    lost = lab.world.add_volume("lost", TWO, "1Gi", with_pod=False).name
    lab.nodes[TWO].wipe()
    lab.world.wait(
        "the orphan goes",
        lambda: orphan.name in control.call("carina.sweep.logic_volumes")["deleted"],
        20,
    )
    for _ in range(2):
        swept = {node["node"]: node for node in control.call("carina.sweep.local_volumes")["nodes"]}
        assert any(lost in line for line in swept[TWO]["missing"])

    # Said again an hour later by another process: the Event is read and counted up.
    events = "/api/v1/namespaces/default/events"
    said = [
        e
        for e in lab.kube.list(events)
        if (e["reason"], e["involvedObject"]["name"]) == ("LocalVolumeMissing", lost)
    ]
    assert [e["eventTime"][-8] for e in said] == ["."], "six digits after the second"
    before = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}}
    lab.kube.patch(f"{events}/{said[0]['metadata']['name']}", before)
    again = (
        "import carina_tasks.celery; from carina_tasks.flows.sweeps.local_volumes import "
        "sweep_local_volumes as sweep; from carina_tasks.runtime.context import context; "
        "sweep(context())"
    )
    assert lab.process(["python", "-c", again], control.env, "again").popen.wait(90) == 0
    again = [
        e["series"]["count"]
        for e in lab.kube.list(events)
        if (e["reason"], e["involvedObject"]["name"]) == ("LocalVolumeMissing", lost)
    ]
    assert again == [3]

    # The published status: created once, then patched because a volume came.
    assert control.call("carina.failover.publish_status")["outcome"] == "written"
    lab.world.add_volume("new", TWO, "1Gi", with_pod=False)
    assert control.call("carina.failover.publish_status")["outcome"] == "written"

    # A node that may be NotReady: its Lease is asked.
    assert control.call("carina.failover.migrate_node", TWO)["outcome"] == "refused"

    # Everything lost at once: the guard latches in the ConfigMap, which does not exist yet.
    lab.kubectl("delete", "node", TWO, THREE)
    state = f"/api/v1/namespaces/{NAMESPACE}/configmaps/carina-tasks-state"
    lab.world.wait(
        "the guard latches", lambda: (lab.kube.find(state) or {}).get("data", {}).get("latched"), 30
    )


def ask_doctor(lab: Lab, control: Product) -> None:
    """Ask whether all rights are there, and whether Carina's own failover can act: Carina has a
    controller here, and the policy of deploy/admission denies it.
    """
    policy = paths.REPOSITORY / "deploy" / "admission"
    lab.kubectl("apply", "-k", str(policy))
    container = {"name": "carina-controller", "image": "i"}
    spec = {"serviceAccountName": "carina-csi-controller", "containers": [container]}
    pod = f"{k.pods(NAMESPACE)}/carina-controller"
    try:
        lab.kube.create(
            k.pods(NAMESPACE), {"metadata": {"name": "carina-controller"}, "spec": spec}
        )
        doctor = lab.process(
            ["celery", "-A", "carina_tasks", "carina", "doctor"], control.env, "doctor"
        )
        # Other things are not well here: there is no beat.
        assert doctor.popen.wait(90) == 2
        said = doctor.tail(100)
        assert re.search(r"^rights +OK ", said, re.M), said
        assert re.search(
            r"^Carina's own failover +OK +the admission policy denies it", said, re.M
        ), said
    finally:
        lab.kube.delete(pod, grace=0)
        lab.kubectl("delete", "-k", str(policy))


def requests(log: Path) -> Iterator[Request]:
    """Read the audit log."""
    for line in log.read_text().splitlines():
        event = json.loads(line)
        ref = event.get("objectRef")
        if not ref:
            continue  # /version and the like
        resource = "/".join(filter(None, (ref["resource"], ref.get("subresource"))))
        yield Request(
            account=event["user"]["username"].rsplit(":", 1)[1],
            allowed=event["annotations"]["authorization.k8s.io/decision"] == "allow",
            namespace=ref.get("namespace", ""),
            resource=f"{ref.get('apiGroup', '')}/{resource}",
            verb=event["verb"],
        )


def test_nothing_is_lacking(run: Run) -> None:
    """Rebuild, sweeps and guards ran with the rights of deploy/, and the API server denied none of
    their requests.
    """
    assert {request.account for request in run.requests} == {CONTROL, NODE_WATCH}
    assert [request for request in run.requests if not request.allowed] == []


@pytest.mark.parametrize(
    ("account", "right"),
    [
        pytest.param(
            account,
            right,
            id=f"{account.removeprefix('carina-tasks-')}-{right.resource}-{right.verb}",
        )
        for account in (CONTROL, NODE_WATCH)
        for right in sorted(granted(account) if paths.kubectl_binary() else ())
    ],
)
def test_each_verb_is_used(run: Run, account: str, right: Right) -> None:
    """Every verb that deploy/rbac.yaml grants was used by the work; one that is not needed would
    stand out here.
    """
    assert any(request.by(right) for request in run.requests if request.account == account)


@pytest.mark.parametrize(
    ("account", "command"),
    [
        (CONTROL, "get secrets -n kube-system"),
        (CONTROL, "delete node nobody"),
        (CONTROL, "delete pvc nobody"),
        (CONTROL, "run nobody --image=nobody"),
        (CONTROL, "get configmap coredns -n kube-system"),
        (CONTROL, "delete configmap carina-tasks-state -n kube-system"),
        (CONTROL, "get leases -n kube-system"),
        (CONTROL, "get failoverstatuses -A"),
        (CONTROL, "delete failoverstatus carina-tasks -n kube-system"),
        (CONTROL, "create clusterrolebinding nobody --clusterrole=cluster-admin --user=nobody"),
        (NODE_WATCH, "delete node nobody"),
        (NODE_WATCH, "get node nobody"),
        (NODE_WATCH, "get pods -A"),
        (NODE_WATCH, "get logicvolumes"),
        (NODE_WATCH, "get configmap carina-tasks-state -n kube-system"),
        (NODE_WATCH, "get secrets -A"),
    ],
)
def test_what_is_not_granted_is_denied(run: Run, account: str, command: str) -> None:
    """What neither needs is forbidden to it, though it knocks with its own token."""
    with pytest.raises(LabError, match=r"[Ff]orbidden"):
        run.lab.kubectl(*command.split(), f"--kubeconfig={run.kubeconfigs[account]}")


def test_who_may_view_reads_the_published_status(run: Run) -> None:
    """The role of deploy/ has been gathered into Kubernetes' own `view`: reading is all it adds."""
    lab, name = run.lab, "rbac-viewer"
    lab.kubectl(
        "create", "rolebinding", name, f"-n={NAMESPACE}", "--clusterrole=view", f"--user={name}"
    )
    try:
        for verb, may in (("get", True), ("watch", True), ("patch", False), ("create", False)):
            answer = ("auth", "can-i", verb, "failoverstatuses", "-n", NAMESPACE, f"--as={name}")
            lab.world.wait(
                f"{verb}: {may}",
                lambda answer=answer, may=may: may == said(lab, *answer),
                20,
            )
    finally:
        lab.kubectl("delete", "rolebinding", name, "-n", NAMESPACE)


def said(lab: Lab, *question: str) -> bool:
    """Return kubectl's yes or no; it ends with 1 when it says no."""
    try:
        return "yes" in lab.kubectl(*question)
    except LabError:
        return False
