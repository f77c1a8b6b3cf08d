"""The policy of deploy/admission on a real API server: Carina's controller is denied what its own
failover needs, and nobody else anything.
"""

from __future__ import annotations

from collections.abc import Iterator

import kubernetes
import pytest
import yaml

from carina_tasks.decisions.carina_failover import (
    VERBS,
    CarinaFailover,
    FailoverOff,
    FailoverOn,
    carina_failover,
)
from carina_tasks.kube.api import Api
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.rights import Right
from tests.contract.server import Response, Server
from tests.lab import chart, parts
from tests.lab.processes import wait_until

CARINA = "carina-csi-controller"
WORDS = "carina-tasks does the failover"


class Account:
    """A service account, or the administrator (empty), at the API server."""

    def __init__(self, server: Server, namespace: str, user: str) -> None:
        self.server, self.namespace, self.user = server, namespace, user

    def send(self, method: str, what: str, body: object = None) -> Response:
        """Send a request below the namespace."""
        server = self.server
        sent = type(server)(server.name, server.url, server.kubeconfig, server.forget_history)
        sent.token, sent.pool, user = server.token, server.pool, self.user
        plain = sent._headers
        if user:
            sent._headers = lambda **more: plain(**{"Impersonate-User": user}, **more)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        return sent.http(method, f"/api/v1/namespaces/{self.namespace}/{what}", body, kind)

    def create_claim(self, name: str, dry_run: bool = False) -> Response:
        """Create a claim."""
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        tail = "?dryRun=All" if dry_run else ""
        return self.send(
            "POST", f"persistentvolumeclaims{tail}", {"metadata": {"name": name}, "spec": spec}
        )


def pod(name: str) -> dict:
    """Make a pod's manifest."""
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.fixture(scope="module")
def carina(real: Server) -> Iterator[str]:
    """Give Carina's controller, and two others, all rights on pods and claims, and let the chart
    put its policy into force; return the namespace of Carina.
    """
    parts.require("helm")
    namespace = "carina-policy"
    for name in (namespace, "another"):
        real.http("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    arguments = ["--set", f"carina.serviceAccount.namespace={namespace}"]
    policy = [o for o in chart.rendered("ours", *arguments) if "AdmissionPolicy" in o["kind"]]
    resources = ["pods", "pods/eviction", "persistentvolumeclaims", "persistentvolumeclaims/status"]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "carina-policy-test"},
        "rules": [{"apiGroups": [""], "resources": resources, "verbs": ["*"]}],
    }
    binding = role | {
        "kind": "ClusterRoleBinding",
        "roleRef": {"kind": "ClusterRole", "name": "carina-policy-test", "apiGroup": ""},
        "subjects": [
            {"kind": "ServiceAccount", "name": name, "namespace": where}
            for name, where in ((CARINA, namespace), (CARINA, "another"), ("other", namespace))
        ],
    }
    binding["roleRef"]["apiGroup"] = "rbac.authorization.k8s.io"
    del binding["rules"]
    text = yaml.safe_dump_all([*policy, role, binding])
    real.kubectl("apply", "-f", "-", stdin=text)
    controller = account(real, namespace)
    try:
        # The API server's own informer brings the policy into force, a moment later.
        wait_until(
            "the policy is in force",
            lambda: controller.create_claim("dry", dry_run=True).code == 403,
            20,
            every=0.2,
        )
        yield namespace
    finally:
        real.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)


def account(server: Server, namespace: str, name: str = CARINA, where: str = "") -> Account:
    """Return an account that works in `namespace`; `where` is its own."""
    return Account(server, namespace, f"system:serviceaccount:{where or namespace}:{name}")


def judge(server: Server, namespace: str) -> CarinaFailover:
    """Return what doctor and the metric make of it, by their own adapter."""
    client = kubernetes.config.new_client_from_config(str(server.kubeconfig))
    cluster = Cluster(Api(client, timeout=10, page_size=100))
    user = f"system:serviceaccount:{namespace}:{CARINA}"
    rights = {(what, verb): cluster.has_right(user, Right("", what, verb)) for what, verb in VERBS}
    assert all(rights.values())
    return carina_failover(user, rights, cluster.carinas_policy())


def test_carinas_failover_is_denied(real: Server, carina: str) -> None:
    """No pod deleted (one, all, by eviction), no claim created or deleted.

    Its role grants all of it, as after an upgrade of Carina.
    """
    admin, controller = Account(real, carina, ""), account(real, carina)
    assert admin.create_claim("kept").code == 201
    admin.send("POST", "pods", pod("kept")).ok()
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "kept"}}
    for answer in (
        controller.create_claim("new"),
        controller.send("DELETE", "persistentvolumeclaims/kept"),
        controller.send("DELETE", "persistentvolumeclaims"),
        controller.send("DELETE", "pods/kept"),
        controller.send("DELETE", "pods"),
        controller.send("POST", "pods/kept/eviction", eviction),
    ):
        assert answer.code == 403, answer.body
        assert WORDS in answer.body["message"]
    assert admin.send("GET", "pods/kept").code == 200
    assert admin.send("GET", "persistentvolumeclaims/kept").code == 200


def test_what_carina_needs_is_left_to_it(real: Server, carina: str) -> None:
    """It reads pods and claims, and writes a claim and its status, as for provisioning and
    resizing.
    """
    admin, controller = Account(real, carina, ""), account(real, carina)
    admin.create_claim("grows")
    claim = "persistentvolumeclaims/grows"
    assert controller.send("GET", "pods").code == 200
    assert controller.send("GET", claim).code == 200
    assert controller.send("PATCH", claim, {"metadata": {"labels": {"a": "b"}}}).code == 200
    status = {"status": {"capacity": {"storage": "2Gi"}}}
    assert controller.send("PATCH", f"{claim}/status", status).code == 200


@pytest.mark.parametrize(
    ("name", "where"), [("", ""), ("other", "carina-policy"), (CARINA, "another")]
)
def test_nobody_else_is_affected(real: Server, carina: str, name: str, where: str) -> None:
    """An administrator, another account, and one of the same name in another namespace create and
    delete.
    """
    user = account(real, carina, name, where) if name else Account(real, carina, "")
    mine = f"of-{name or 'admin'}-{where or 'none'}"
    user.create_claim(mine).ok()
    user.send("DELETE", f"persistentvolumeclaims/{mine}").ok()
    user.send("POST", "pods", pod(mine)).ok()
    user.send("DELETE", f"pods/{mine}").ok()


def test_doctor_sees_it(real: Server, carina: str) -> None:
    """In force it is off, though RBAC grants every verb; without the binding, or for another
    account, it is on.
    """
    assert isinstance(judge(real, carina), FailoverOff)
    assert isinstance(judge(real, "another"), FailoverOn)
    binding = "validatingadmissionpolicybinding/carina-tasks-no-carina-failover"
    kept = real.kubectl("get", binding, "-o", "yaml")
    real.kubectl("patch", binding, "--type=merge", "-p", '{"spec":{"validationActions":["Warn"]}}')
    try:
        assert isinstance(judge(real, carina), FailoverOn)
    finally:
        real.kubectl("replace", "--force", "-f", "-", stdin=kept)
