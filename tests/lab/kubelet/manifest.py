"""What the API server says a pod is given: the environment of a container and the files of its
volumes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from tests.lab.errors import LabError
from tests.lab.kube import Json, Kube

API_ACCESS = "kube-api-access"
API_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
API_TOKEN_SECONDS = 3607
"""As the admission plug-in ServiceAccount asks for it; the lab's control plane runs without it."""


@dataclass(frozen=True)
class File:
    """One file of a volume."""

    content: bytes
    mode: int


@dataclass(frozen=True)
class Volume:
    """The files of a volume by their paths in it; an emptyDir has none and may be written."""

    files: Mapping[str, File]
    empty_dir: bool = False
    token_seconds: int = 0
    """How long its service-account token is valid; 0: it has none."""


def with_api_access(pod: Json) -> Json:
    """Return the pod with the token for the API server mounted, unless it says that it wants none.

    As the admission plug-in ServiceAccount of an API server does it.
    """
    spec = pod["spec"]
    if spec.get("automountServiceAccountToken") is False:
        return pod
    token = {"path": "token", "expirationSeconds": API_TOKEN_SECONDS}
    namespace = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": token},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    volume = {"name": API_ACCESS, "projected": {"defaultMode": 0o644, "sources": sources}}
    mount = {"name": API_ACCESS, "mountPath": API_MOUNT, "readOnly": True}

    def mounted(container: Json) -> Json:
        return container | {"volumeMounts": [*container.get("volumeMounts", ()), mount]}

    kinds = {
        kind: [mounted(one) for one in spec[kind]]
        for kind in ("initContainers", "containers")
        if kind in spec
    }
    return pod | {"spec": spec | kinds | {"volumes": [*spec.get("volumes", ()), volume]}}


class Reader:
    """Reads what the pods of one namespace name."""

    def __init__(self, kube: Kube, namespace: str, ca: bytes) -> None:
        self._kube, self._base, self._ca = kube, f"/api/v1/namespaces/{namespace}", ca

    def environment(self, pod: Json, container: Json) -> dict[str, str]:
        """Return the environment that the manifest gives a container.

        Raises:
            LabError: It names what is not there, or what this kubelet does not know.
        """
        found: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            for kind, ref in source.items():
                found |= {key: value.decode() for key, value in self._data(kind, ref).items()}
        for one in container.get("env", ()):
            if "valueFrom" in one:
                ((kind, ref),) = one["valueFrom"].items()
                found[one["name"]] = self._value(pod, kind, ref)
            else:
                found[one["name"]] = one.get("value", "")
        return found

    def volume(self, pod: Json, volume: Json) -> Volume:
        """Return what is in a volume of a pod; a token is asked for anew at each call.

        Raises:
            LabError: It names what is not there, or what this kubelet does not know.
        """
        ((kind, what),) = ((key, value) for key, value in volume.items() if key != "name")
        if kind == "emptyDir":
            return Volume({}, empty_dir=True)
        if kind != "projected":
            return Volume(self._files(pod, kind, what, what.get("defaultMode", 0o644)))
        files: dict[str, File] = {}
        seconds = 0
        for source in what["sources"]:
            ((part, ref),) = source.items()
            files |= self._files(pod, part, ref, what.get("defaultMode", 0o644))
            if part == "serviceAccountToken":
                seconds = ref["expirationSeconds"]
        return Volume(files, token_seconds=seconds)

    def _files(self, pod: Json, kind: str, what: Json, mode: int) -> dict[str, File]:
        if kind == "serviceAccountToken":
            return {what["path"]: File(self._token(pod, what), mode)}
        if kind == "downwardAPI":
            return {
                one["path"]: File(self._value(pod, "fieldRef", one["fieldRef"]).encode(), mode)
                for one in what["items"]
            }
        data = self._data(kind, {"name": what.get("name") or what.get("secretName"), **what})
        items = what.get("items") or [{"key": key, "path": key} for key in data]
        return {one["path"]: File(data[one["key"]], one.get("mode", mode)) for one in items}

    def _data(self, kind: str, ref: Json) -> dict[str, bytes]:
        if kind.startswith("secret"):
            data = self._kube.get(f"{self._base}/secrets/{ref['name']}").get("data") or {}
            return {key: base64.b64decode(value) for key, value in data.items()}
        if kind.startswith("configMap") and ref["name"] == "kube-root-ca.crt":
            # The lab's controller manager is given no root certificate to publish.
            return {"ca.crt": self._ca}
        if kind.startswith("configMap"):
            found = self._kube.get(f"{self._base}/configmaps/{ref['name']}")
            return {key: value.encode() for key, value in (found.get("data") or {}).items()}
        raise LabError(f"this kubelet does not know {kind}")

    def _value(self, pod: Json, kind: str, ref: Json) -> str:
        if kind != "fieldRef":
            return self._data(kind, ref)[ref["key"]].decode()
        found = pod
        for word in ref["fieldPath"].split("."):
            found = found[word]
        return str(found)

    def _token(self, pod: Json, what: Json) -> bytes:
        meta = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        spec = {"expirationSeconds": what["expirationSeconds"], "boundObjectRef": bound}
        if "audience" in what:
            spec["audiences"] = [what["audience"]]
        account = pod["spec"].get("serviceAccountName", "default")
        path = f"{self._base}/serviceaccounts/{account}/token"
        return self._kube.create(path, {"spec": spec})["status"]["token"].encode()
