"""A real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager,
kube-scheduler.

Ready in about 4 seconds. RBAC is on. The `ServiceAccount` admission plug-in is off (pods would need
tokens that no kubelet mounts here) and `NodeRestriction` (one kwok identity speaks for a node).
`DefaultTolerationSeconds` stays on: without it the taint manager deletes every pod of a NotReady
node at once, which no real cluster does.
"""

import base64
import json
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from tests.lab import paths, ports
from tests.lab.errors import LabError
from tests.lab.kube import Kube, KubeError
from tests.lab.processes import Process, start, wait_until

ISSUER = "https://kubernetes.default.svc"


@dataclass(frozen=True)
class Options:
    """What runs beside etcd and the API server, and how soon a silent node is `Unknown` (seconds).

    `controllers` is the value of kube-controller-manager's flag (`*` for all); empty leaves the
    process out.
    """

    controllers: str = "*"
    scheduler: bool = True
    node_monitor_grace_period: int = 12
    node_monitor_period: int = 1
    apiserver_arguments: tuple[str, ...] = ()
    controller_manager_arguments: tuple[str, ...] = ()


class ControlPlane:
    """One control plane with its own ports and folder.

    `url`, `token`, `ca` and `kubeconfig` are those of an administrator and stay the same when a
    process is restarted.
    """

    def __init__(self, folder: Path, options: Options | None = None) -> None:
        self.folder = folder
        self.options = options or Options()
        self.token = secrets.token_hex(16)
        (
            self._etcd_port,
            self._etcd_peer_port,
            self._port,
            self._manager_port,
            self._scheduler_port,
        ) = ports.free(5)
        self.url = f"https://127.0.0.1:{self._port}"
        self.ca = folder / "certs" / "apiserver.crt"
        self.kubeconfig = folder / "kubeconfig"
        self._processes: dict[str, Process] = {}

    @property
    def kube(self) -> Kube:
        """Return a client with the administrator's rights."""
        return Kube(self.url, self.token, self.ca)

    def start(self) -> None:
        """Start everything and wait until objects can be made; raises LabError with logs when it
        does not come up.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        key = self.folder / "service-account.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self.folder / "tokens.csv").write_text(f"{self.token},admin,admin,system:masters\n")
        self._write_kubeconfig(self.kubeconfig, "admin", self.token)
        self._start_etcd()
        self.start_apiserver()
        if self.options.controllers:
            self.start_controller_manager()
        if self.options.scheduler:
            self.start_scheduler()
        if self.options.controllers:
            self._await("the service account `default`", self._has_default_account)

    def stop(self) -> None:
        """End every process; the folder stays, for its logs."""
        for name in ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"):
            self._stop(name)
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def restore(self) -> None:
        """Start again what a test has stopped."""
        if "kube-apiserver" not in self._processes:
            self.start_apiserver()
        if self.options.controllers and "kube-controller-manager" not in self._processes:
            self.start_controller_manager()
        if self.options.scheduler and "kube-scheduler" not in self._processes:
            self.start_scheduler()

    def start_apiserver(self) -> None:
        """Start kube-apiserver and wait until it is ready."""
        key = self.folder / "service-account.key"
        self._start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--secure-port={self._port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self.folder / 'certs'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--service-account-issuer={ISSUER}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount,NodeRestriction",
            "--shutdown-delay-duration=0s",
            # As on every cluster that runs a storage driver.
            "--allow-privileged=true",
            *self.options.apiserver_arguments,
        )
        self._await("kube-apiserver is ready", self._is_ready)

    def stop_apiserver(self) -> None:
        """End kube-apiserver alone: its clients see a connection refused until
        `start_apiserver`.
        """
        self._stop("kube-apiserver", timeout=1)

    def start_controller_manager(self) -> None:
        """Start kube-controller-manager; it needs no waiting for."""
        self._start(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            f"--service-account-private-key-file={self.folder / 'service-account.key'}",
            "--use-service-account-credentials=false",
            "--leader-elect=false",
            f"--controllers={self.options.controllers}",
            f"--node-monitor-grace-period={self.options.node_monitor_grace_period}s",
            f"--node-monitor-period={self.options.node_monitor_period}s",
            # At its default of 20 requests a second this client is what a claim waits for.
            "--kube-api-qps=1000",
            "--kube-api-burst=1000",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._manager_port}",
            *self.options.controller_manager_arguments,
        )

    def stop_controller_manager(self) -> None:
        """End kube-controller-manager: nodes keep their conditions, claims and StatefulSets stand
        still.
        """
        self._stop("kube-controller-manager")

    def start_scheduler(self) -> None:
        """Start kube-scheduler for the profiles `default-scheduler` and `carina-scheduler`."""
        config = self.folder / "scheduler.json"
        config.write_text(
            json.dumps(
                {
                    "apiVersion": "kubescheduler.config.k8s.io/v1",
                    "kind": "KubeSchedulerConfiguration",
                    "clientConnection": {
                        "kubeconfig": str(self.kubeconfig),
                        "qps": 1000,
                        "burst": 1000,
                    },
                    "leaderElection": {"leaderElect": False},
                    "profiles": [
                        {"schedulerName": "default-scheduler"},
                        {"schedulerName": "carina-scheduler"},
                    ],
                }
            )
        )
        self._start(
            "kube-scheduler",
            f"--config={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._scheduler_port}",
        )

    def stop_scheduler(self) -> None:
        """End kube-scheduler: new pods stay Pending."""
        self._stop("kube-scheduler")

    def service_account(self, namespace: str, name: str) -> Path:
        """Make a ServiceAccount (and its namespace) without any rights; return a kubeconfig with a
        token of its own.

        The token comes from the TokenRequest API, as in a pod; what it may do is what RBAC says of
        `system:serviceaccount:<namespace>:<name>`.
        """
        kube = self.kube
        kube.ensure("/api/v1/namespaces", {"metadata": {"name": namespace}})
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        kube.ensure(accounts, {"metadata": {"name": name}})
        token = kube.create(f"{accounts}/{name}/token", {"spec": {"expirationSeconds": 36000}})[
            "status"
        ]["token"]
        path = self.folder / f"kubeconfig-{namespace}-{name}"
        self._write_kubeconfig(path, name, token)
        return path

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run `kubectl` as administrator and return its standard output; raises LabError with its
        error text.
        """
        binary = paths.kubectl_binary()
        if binary is None:
            raise LabError("no kubectl")
        done = subprocess.run(
            [binary, f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check and done.returncode:
            raise LabError(
                f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done.stdout

    def _start_etcd(self) -> None:
        client = f"http://127.0.0.1:{self._etcd_port}"
        peer = f"http://127.0.0.1:{self._etcd_peer_port}"
        self._start(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            # Nothing here outlives the run, and fsync is most of etcd's time on a small disk.
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=error",
        )

    def _start(self, name: str, *arguments: str) -> None:
        binary = paths.control_plane_binary(name)
        if binary is None:
            raise LabError(f"no {name}: run tests/lab/install.sh")
        self._processes[name] = start(name, [binary, *arguments], folder=self.folder)

    def _stop(self, name: str, timeout: float = 3) -> None:
        # Waits for the end: the port is used again by the next start. The API server would wait for
        # its watches.
        if process := self._processes.pop(name, None):
            process.stop(timeout)

    def _await(self, what: str, check: Any) -> None:
        wait_until(what, check, 60, every=0.1, watch=self._processes.values())

    def _is_ready(self) -> bool:
        if not self.ca.exists():
            return False
        try:
            self.kube.request("GET", "/readyz")
        except (KubeError, urllib3.exceptions.HTTPError):
            return False
        return True

    def _has_default_account(self) -> bool:
        return self.kube.find("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def _write_kubeconfig(self, path: Path, user: str, token: str) -> None:
        # The certificate does not exist before the first start: a file name, not its content, until
        # then.
        cluster: dict[str, str] = {"server": self.url}
        if self.ca.exists():
            cluster["certificate-authority-data"] = base64.b64encode(self.ca.read_bytes()).decode()
        else:
            cluster["certificate-authority"] = str(self.ca)
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "lab", "cluster": cluster}],
                    "users": [{"name": user, "user": {"token": token}}],
                    "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
                    "current-context": "lab",
                },
                indent=1,
            )
        )
        path.chmod(0o600)
