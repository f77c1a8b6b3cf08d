"""The Helm chart on a real API server: every manifest is taken, it says what the kustomization
says, and in any namespace each account has its verbs and no other.
"""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from carina_tasks import settings
from carina_tasks.errors import BadSetting
from tests.contract.server import Server
from tests.lab import chart, parts, paths
from tests.lab.errors import LabError

VALUES = Path(__file__).parent / "values"
FILES = sorted(VALUES.glob("*.yaml"))
OPERATOR = "monitoring.coreos.com/v1"
"""Kinds of the Prometheus operator: this API server does not have them."""
ACCOUNTS = ("carina-tasks-control", "carina-tasks-node-watch", "carina-tasks-enrolment")
OWN = (
    "--set",
    "broker.bundled.enabled=false,broker.existingSecret=a,enrolment.existingSecret=b",
    "--set",
)
"""A broker of the user's own; the next word is what else is set."""
DENIED = (
    "get secrets",
    "list secrets",
    "create pods",
    "update nodes",
    "delete nodes",
    "patch nodes",
    "delete persistentvolumeclaims",
    "create persistentvolumeclaims",
    "create logicvolumes.carina.storage.io",
    "delete configmaps",
    "get configmaps/coredns",
    "create pods/eviction",
    "impersonate serviceaccounts",
    "create clusterrolebindings.rbac.authorization.k8s.io",
    "create serviceaccounts/token",
    "update validatingadmissionpolicies.admissionregistration.k8s.io",
    "list validatingadmissionpolicies.admissionregistration.k8s.io",
    "delete validatingadmissionpolicybindings.admissionregistration.k8s.io",
)
"""What neither account may do, whatever the roles say of it."""


@pytest.fixture(autouse=True)
def _needs_helm() -> None:
    """Fail in CI without helm; skip elsewhere."""
    parts.require("helm")


def applied(server: Server, objects: list[dict], *arguments: str) -> str:
    """Apply objects, strictly."""
    text = yaml.safe_dump_all(objects)
    return server.kubectl("apply", "--validate=strict", *arguments, "-f", "-", stdin=text)


def without_operator(objects: list[dict]) -> list[dict]:
    """Return the objects whose kinds this API server has."""
    return [one for one in objects if one["apiVersion"] != OPERATOR]


@pytest.mark.parametrize(
    "values", [None, *FILES], ids=lambda path: path.stem if path else "default"
)
def test_the_api_server_takes_it(real: Server, prefix: str, values: Path | None) -> None:
    """Lint is content, and a server-side dry run with strict validation takes every object."""
    arguments = ["-f", values] if values else []
    chart.helm("lint", "--strict", chart.CHART, *arguments)
    real.create("/api/v1/namespaces", {"metadata": {"name": prefix}})
    objects = without_operator(chart.rendered(prefix, *arguments))
    said = applied(real, objects, "--dry-run=server").splitlines()
    assert len(said) == len(objects) > 20
    assert all(line.endswith("(server dry run)") for line in said)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--set", "settings.NOT_READY_AFTER=soon"],
            "/settings/NOT_READY_AFTER': got string, want",
        ),
        (["--set", "settings.NOT_READY_AFTER=-1"], "/settings/NOT_READY_AFTER': minimum: got -1"),
        (["--set", "settings.NOT_REDDY_AFTER=9"], "'NOT_REDDY_AFTER' not allowed"),
        (["--set", "settings.BROKER_URL=redis://h"], "'BROKER_URL' not allowed"),
        (["--set", "settings.LOG_LEVEL=loud"], "one of 'debug', 'info', 'warning', 'error'"),
        (
            ["--set", "node.credentials=none"],
            "/node/credentials': value must be one of 'enrolment'",
        ),
        (["--set", "control.replicas=0"], "/control/replicas': minimum: got 0, want 1"),
        (["--set", "control.replica=1"], "/control': additional properties 'replica'"),
        (["--set", "image.digest=sha256:12"], "/image/digest': 'sha256:12' does not match"),
        (
            ["--set", f"image.digest=sha256:{'0' * 64}"],
            "set node.image.digest, or node.image.tag",
        ),
        (["--set", "broker.bundled.enabled=false"], "name the Secret that holds the broker's URLs"),
        (["--set", "broker.existingSecret=a"], "deploy/redis/acl.py makes"),
        (
            ["--set", "broker.existingSecret=a,broker.bundled.existingAclSecret=b"],
            "name the Secret with master-key and url",
        ),
        (
            [
                "--set",
                "broker.existingSecret=a,broker.bundled.enabled=false,enrolment.existingSecret=b",
            ],
            "name the broker as nodes reach it",
        ),
        (["--set", "enrolment.brokerUrl=redis://me:secret@h"], "/enrolment/brokerUrl'"),
        (["--set", "enrolment.tls.existingSecret=a"], "go together"),
        (["--set", "broker.ca.existingSecret=a"], "are of an external broker"),
        (["--set", "broker.clientCertificate.existingSecret=a"], "are of an external broker"),
        (["--set", "networkPolicy.metrics=true"], "name who may scrape"),
        (["--set", "networkPolicy.metricsFrom[0].ipBlock.cidr=192.0.2.1/32"], "restricts nobody"),
        (
            ["--set", "networkPolicy.egress.apiServer[0].ipBlock.cidr=192.0.2.1/32"],
            "until networkPolicy.egress.enabled is true",
        ),
        (
            ["--set", "networkPolicy.egress.apiServerPorts=null"],
            "missing property 'apiServerPorts'",
        ),
        (["--set", "enrolment.existingSecret=a"], "the chart makes the users of its own broker"),
        (["--set", "settings.SENTINEL_TLS=true"], "set broker.sentinel.masterName, or"),
        (["--set", "broker.sentinel.existingSecret=a"], "nobody asks a Sentinel"),
        ([*OWN, "enrolment.brokerUrl=sentinel://h"], "when broker.sentinel.masterName is set"),
        (
            [*OWN, "enrolment.brokerUrl=redis://h,broker.sentinel.masterName=m"],
            "when broker.sentinel.masterName is set",
        ),
        ([*OWN, "enrolment.brokerUrl=redis://h,broker.ca.existingSecret=a"], "with rediss://"),
        (
            [
                *OWN,
                "enrolment.brokerUrl=sentinel://h,broker.sentinel.masterName=m,"
                "broker.clientCertificate.existingSecret=a",
            ],
            "switched on by settings.SENTINEL_TLS=true",
        ),
        (["--set", "broker.bundled.image.tag="], "valkey/valkey needs a tag or a digest"),
        (["--set", "flower=null"], "missing property 'flower'"),
        (["--set", "broker.sentinel=null"], "missing property 'sentinel'"),
        (
            ["--set", "node.extraEnv[0].name=NODE_NAME,node.extraEnv[0].value=n1"],
            "node.extraEnv: NODE_NAME is made by the chart",
        ),
        (
            ["--set", "extraEnv[0].name=CARINA_TASKS_BROKER_URL,extraEnv[0].value=redis://h"],
            " extraEnv: CARINA_TASKS_BROKER_URL is made by the chart",
        ),
        (
            ["--kube-version", "1.29.0", "--set", "carina.denyFailover=true"],
            "v1.29.0 has no ValidatingAdmissionPolicy",
        ),
        (["--kube-version", "1.26.0"], "incompatible with Kubernetes v1.26.0"),
    ],
)
def test_a_wrong_value_is_named(arguments: list[str], words: str) -> None:
    """Before anything is sent to a cluster, in words that say what it should be."""
    with pytest.raises(LabError) as caught:
        chart.template("ns", *arguments)
    assert words in str(caught.value)


def test_an_empty_line_of_a_values_file_is_nothing() -> None:
    """`extraEnv:` with nothing behind it is no variable, not an error of the template: so for every
    list and every mapping of the user's own.
    """
    free = ["extraEnv", "annotations", "podAnnotations", "resources"]
    free += ["nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"]
    names = [f"{part}.{one}" for part in ("control", "flower", "enrolment") for one in free]
    names += [f"broker.bundled.{one}" for one in free]
    names += ["extraEnv", "commonAnnotations", "imagePullSecrets", "settings"]
    objects = chart.rendered("ns", "--set", ",".join(f"{name}=null" for name in names))
    assert len(objects) > 20


def test_no_pod_has_a_variable_twice() -> None:
    """A component's own wins over that of all; a server-side apply refuses a list with both."""
    both = "extraEnv[0].name=TZ,extraEnv[0].value=a,control.extraEnv[0].name=TZ"
    objects = chart.rendered("ns", "--set", f"{both},control.extraEnv[0].value=b")
    found = {}
    for name, spec in pods(objects):
        names = [one["name"] for one in spec["containers"][0].get("env", ())]
        assert len(names) == len(set(names)), name
        found[name] = environment(spec, objects).get("TZ")
    assert (found["carina-tasks-control"], found["carina-tasks-node"]) == ("b", "a")


def test_settings_arrive_as_a_process_takes_them() -> None:
    """Whole numbers, lists, quantities and switches of the values are variables that load."""
    objects = chart.rendered("elsewhere", "-f", VALUES / "open.yaml")
    (data,) = [o["data"] for o in objects if o["metadata"]["name"] == "carina-tasks-settings"]
    found = settings.load(data)
    assert (found.not_ready_after, found.answer_limit, found.reserve) == (60, 32 << 20, 5 << 30)
    assert (found.managed_groups, found.zero_block) == (("carina-vg-*", "data"), False)


@pytest.mark.parametrize(
    "values", [None, *FILES], ids=lambda path: path.stem if path else "default"
)
def test_each_process_starts_with_its_environment(values: Path | None) -> None:
    """What a pod of ours has for its environment is what its process loads."""
    objects = chart.rendered("elsewhere", *(["-f", values] if values else []))
    urls = {"external-tls": "rediss://h:6380/0", "sentinel": "sentinel://h:26379/0"}
    urls["sentinel-tls"] = urls["sentinel"]
    url = urls.get(values.stem if values else "", "redis://h:6379/0")
    given = {"CARINA_TASKS_BROKER_URL": url, "NODE_NAME": "n1", "CARINA_TASKS_NAMESPACE": "x"}
    count = 0
    for name, spec in pods(objects):
        if name == "carina-tasks-redis":
            continue
        env = environment(spec, objects)
        if "CARINA_TASKS_BROKER_URL" in env or "$(cat" in str(spec["containers"][0]["command"]):
            count += 1
            env["CARINA_TASKS_BROKER_URL"] = url
            settings.load(
                {
                    key: given.get(key, "secret") if value is None else value
                    for key, value in env.items()
                }
            )
    assert count >= 6
    with pytest.raises(BadSetting):
        settings.load({"CARINA_TASKS_BROKER_URL": url, "CARINA_TASKS_FLOWER_PORT": "tcp://1"})


def test_a_pod_may_reach_the_services_that_it_names() -> None:
    """With all network policies on: whatever a pod's command or environment says of a Service of
    ours, an egress rule for that pod names the pods behind it and their port.
    """
    objects = chart.rendered("ns", "--set", "networkPolicy.egress.enabled=true")
    policies = [o["spec"] for o in objects if o["kind"] == "NetworkPolicy"]
    egress = [one for one in policies if "Egress" in one["policyTypes"]]
    services = {o["metadata"]["name"]: o["spec"] for o in objects if o["kind"] == "Service"}
    asked = set()
    for one in objects:
        pod = one if one["kind"] == "Pod" else one.get("spec", {}).get("template")
        if not pod or not pod.get("spec"):
            continue
        labels = pod["metadata"]["labels"].items()
        words = json.dumps(pod["spec"]["containers"])
        for name, service in services.items():
            if f"//{name}:" in words:
                asked.add((one["metadata"]["name"], name))
                ways = [
                    (to["podSelector"]["matchLabels"], port["port"])
                    for policy in egress
                    if policy["podSelector"]["matchLabels"].items() <= labels
                    for rule in policy.get("egress", ())
                    for to in rule.get("to", ())
                    for port in rule["ports"]
                ]
                (port,) = service["ports"]
                targets = (port["targetPort"], port["port"])
                assert any(
                    way == (service["selector"], target) for target in targets for way in ways
                )
    assert asked == {
        ("carina-tasks-node", "carina-tasks-enrolment"),
        ("carina-tasks-enrolment", "carina-tasks-redis"),
        ("carina-tasks-test-flower", "carina-tasks-flower"),
    }


def test_the_certificate_that_it_makes_is_taken_by_the_strict(tmp_path: Path) -> None:
    """Python 3.13 and newer refuse what breaks RFC 5280."""
    made = {one["metadata"]["name"]: one for one in chart.rendered("ns")}
    authority, certificate = tmp_path / "ca.crt", tmp_path / "tls.crt"
    authority.write_text(made["carina-tasks-enrolment-ca"]["data"]["ca.crt"])
    certificate.write_text(made["carina-tasks-enrolment-tls"]["stringData"]["tls.crt"])
    strict = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
    files = ["-verify_hostname", "carina-tasks-enrolment", "-CAfile", authority, certificate]
    done = subprocess.run([*strict, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def pods(objects: list[dict]) -> Iterator[tuple[str, dict]]:
    """Yield the name and the pod spec of whatever makes pods, and of pods."""
    for one in objects:
        if one["kind"] == "Pod":
            yield one["metadata"]["name"], one["spec"]
        elif template := one.get("spec", {}).get("template"):
            yield one["metadata"]["name"], template["spec"]


def environment(spec: dict, objects: list[dict]) -> dict[str, str | None]:
    """Return the environment of a pod's container; None for what a Secret or a field gives."""
    (container,) = spec["containers"]
    maps = {o["metadata"]["name"]: o.get("data", {}) for o in objects if o["kind"] == "ConfigMap"}
    env: dict[str, str | None] = {}
    for source in container.get("envFrom", ()):
        env |= maps[source["configMapRef"]["name"]]
    return env | {one["name"]: one.get("value") for one in container.get("env", ())}


# --- the same as kustomize ---


def meaning(objects: list[dict]) -> dict[tuple[str, str], dict]:
    """Return objects by kind and name, without what is only of the one or the other way.

    The environment is a mapping, wherever it comes from. Labels of the release and checksums say
    nothing about what runs.
    """
    found = {}
    for one in copy.deepcopy(objects):
        meta = one["metadata"]
        meta["labels"] = {
            key: value
            for key, value in meta.get("labels", {}).items()
            if key.rsplit("/")[-1] in ("name", "part-of")
        }
        for rule in one.get("spec", {}).get("ingress", ()):
            rule["ports"] = sorted(rule["ports"], key=str)
        if template := one.get("spec", {}).get("template"):
            notes = template["metadata"].get("annotations", {})
            kept = {k: v for k, v in notes.items() if not k.startswith("checksum/")}
            template["metadata"]["annotations"] = kept
            (container,) = template["spec"]["containers"]
            sources = {e["name"]: e.get("valueFrom") for e in container.get("env", ())}
            plain = environment(template["spec"], objects)
            container["env"] = {name: sources.get(name) or value for name, value in plain.items()}
            container.pop("envFrom", None)
            container.pop("imagePullPolicy", None)
            container["volumeMounts"].sort(key=lambda mount: mount["name"])
            template["spec"]["volumes"].sort(key=lambda volume: volume["name"])
        found[one["kind"], meta["name"]] = one
    return found


BESIDE = {
    ("ConfigMap", "carina-tasks-settings"),
    ("ConfigMap", "carina-tasks-state"),
    ("Secret", "carina-tasks-redis"),
    ("Secret", "carina-tasks-redis-acl"),
    ("Secret", "carina-tasks-flower"),
    ("Secret", "carina-tasks-enrolment"),
    ("Secret", "carina-tasks-enrolment-tls"),
    ("ConfigMap", "carina-tasks-enrolment-ca"),
    ("NetworkPolicy", "carina-tasks-enrolment"),
    ("NetworkPolicy", "carina-tasks-redis"),
    ("Job", "carina-tasks-uninstall"),
    ("Pod", "carina-tasks-test-doctor"),
    ("Pod", "carina-tasks-test-flower"),
    ("Service", "carina-tasks-redis"),
    ("ConfigMap", "carina-tasks-redis"),
    ("Deployment", "carina-tasks-redis"),
    ("ValidatingAdmissionPolicy", "carina-tasks-no-carina-failover"),
    ("ValidatingAdmissionPolicyBinding", "carina-tasks-no-carina-failover"),
}
"""What the chart has by default and `kubectl apply -k deploy` has not: deploy/redis,
deploy/admission, Secrets that are made, and what only helm can do.
"""


@pytest.mark.parametrize("credentials", ["enrolment", "files"])
def test_chart_and_kustomize_mean_the_same(tmp_path: Path, credentials: str) -> None:
    """The chart's objects are those of deploy/, field by field, in any namespace; by default those
    with the component deploy/enrolment.
    """
    default = credentials == "enrolment"
    arguments = () if default else ("--set", f"node.credentials={credentials}")
    ours = meaning(chart.rendered("elsewhere", *arguments))
    theirs = meaning(chart.kustomized(tmp_path, "elsewhere", *(["enrolment"] if default else [])))
    beside = BESIDE if default else {one for one in BESIDE if "enrolment" not in one[1]}
    assert ours.keys() - theirs.keys() == beside
    assert theirs.keys() <= ours.keys()
    for key, one in theirs.items():
        assert ours[key] == one, key


@pytest.mark.parametrize("what", ["admission", "redis"])
def test_the_rest_means_the_same(what: str) -> None:
    """The policy, and the broker but for the program (Valkey, whose names of commands differ)."""
    done = subprocess.run(
        [str(paths.kubectl_binary()), "kustomize", str(paths.REPOSITORY / "deploy" / what)],
        check=True,
        capture_output=True,
        text=True,
    )
    text = done.stdout.replace("redis-server", "valkey-server").replace("redis-cli", "valkey-cli")
    theirs = meaning(list(yaml.safe_load_all(text)))
    ours = meaning(chart.rendered("kube-system"))
    for (kind, name), one in theirs.items():
        if kind == "ConfigMap":
            # kustomize adds a hash to the name.
            name = "carina-tasks-redis"
            one["metadata"]["name"] = name
        if kind == "Deployment":
            spec = one["spec"]["template"]["spec"]
            spec["containers"][0]["image"] = "valkey/valkey:8-bookworm"
            for volume in spec["volumes"]:
                if "configMap" in volume:
                    volume["configMap"]["name"] = name
        assert ours[kind, name] == one, kind


# --- rights ---


def rights(objects: list[dict], account: str) -> set[tuple[str, str, str, str]]:
    """Return (namespace, verb, resource.group, name) of all that the roles grant an account."""
    roles = {(o["kind"], o["metadata"]["name"]): o for o in objects if o["kind"].endswith("Role")}
    return {
        (one["metadata"].get("namespace", ""), verb, f"{resource}.{group}".rstrip("."), name)
        for one in objects
        if one["kind"].endswith("RoleBinding") and one["subjects"][0]["name"] == account
        for rule in roles[one["roleRef"]["kind"], one["roleRef"]["name"]]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def can_i(
    server: Server, who: str, namespace: str, verb: str, resource: str, name: str = ""
) -> bool:
    """Ask `kubectl auth can-i`, as the account itself."""
    resource, _, group = resource.partition(".")
    resource, _, sub = resource.partition("/")
    what = f"{resource}{'.' + group if group else ''}{'/' + name if name else ''}"
    where = ["-n", namespace] if namespace else ["-A"]
    more = [f"--subresource={sub}"] if sub else []
    said = server.kubectl("auth", "can-i", verb, what, f"--as={who}", *where, *more, check=False)
    # Beside it kubectl warns where a resource is of no namespace, or a verb unusual.
    answers = {"yes", "no"} & {line.split(" ")[0] for line in said.splitlines()}
    assert len(answers) == 1, said
    return answers == {"yes"}


@pytest.mark.parametrize("way", ["chart", "kustomize"])
def test_in_any_namespace_each_account_has_its_verbs(
    real: Server, prefix: str, tmp_path: Path, way: str
) -> None:
    """Every verb of every role answers yes for the account in the release's namespace, no for the
    same name in kube-system, and what must be denied answers no.
    """
    made = (
        chart.rendered(prefix)
        if way == "chart"
        else chart.kustomized(tmp_path, prefix, "enrolment")
    )
    objects = [one for one in made if "Role" in one["kind"] or one["kind"] == "ServiceAccount"]
    for name in (prefix, "kube-node-lease"):
        real.http("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    try:
        applied(real, objects)
        questions = []
        for account in ACCOUNTS:
            user = f"system:serviceaccount:{prefix}:{account}"
            granted = rights(objects, account)
            assert granted
            questions += [(user, *right, True) for right in granted]
            for words in DENIED:
                verb, resource = words.split()
                resource, _, name = resource.partition("/")
                if name in ("eviction", "token"):
                    resource, name = f"{resource}/{name}", ""
                questions.append((user, prefix, verb, resource, name, False))
            stranger = f"system:serviceaccount:kube-system:{account}"
            questions.append((stranger, "", "list", "nodes", "", False))
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda question: can_i(real, *question[:-1]), questions))
        wrong = [q for q, answer in zip(questions, answers, strict=True) if answer is not q[-1]]
        assert wrong == []
    finally:
        real.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(objects))


# --- monitoring ---


def test_alerts_and_dashboard_are_the_files(tmp_path: Path) -> None:
    """The PrometheusRule has the alerts of rules.yml with the address of the runbooks, and the
    dashboard is the file.
    """
    objects = {o["kind"]: o for o in chart.rendered("ns", "-f", VALUES / "everything.yaml")}
    folder = paths.REPOSITORY / "deploy" / "monitoring"
    text = (folder / "rules.yml").read_text()
    text = text.replace(
        "runbook_url: docs/runbooks/", "runbook_url: https://runbooks.example/carina/"
    )
    assert objects["PrometheusRule"]["spec"] == yaml.safe_load(text)
    site = chart.rendered(
        "ns", "--set", "monitoring.prometheusRule=true,settings.DOCS_URL=https://docs.example/ct/"
    )
    (rule,) = [o for o in site if o["kind"] == "PrometheusRule"]
    links = {
        one["alert"]: one["annotations"]["runbook_url"]
        for group in rule["spec"]["groups"]
        for one in group["rules"]
    }
    assert links == {name: f"https://docs.example/ct/runbooks/{name}.html" for name in links}
    monitor = yaml.safe_load((folder / "podmonitor.yaml").read_text())
    assert objects["PodMonitor"]["spec"] == monitor["spec"]
    boards = [
        o["data"]["carina-tasks.json"]
        for o in chart.rendered("ns", "--set", "monitoring.dashboard=true")
        if o["metadata"]["name"] == "carina-tasks-dashboard"
    ]
    assert [json.loads(board) for board in boards] == [
        json.loads((folder / "dashboard.json").read_text())
    ]
