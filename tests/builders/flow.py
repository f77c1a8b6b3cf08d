"""Hand-made fakes for the flows: an API server of dicts, nodes of lists, and a Context made of the
product's own adapters on them.

The fake API server keeps what the safety of the flows rests on: UID and resourceVersion
preconditions, finalizers, the status subresource, and the volume controller that binds a claim when
it is touched.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from carina_tasks.decisions.local_volume import KeepExisting, RestoreCopy, decide_create
from carina_tasks.decisions.removal import RefuseLv
from carina_tasks.emulator.api_server.kinds.event import to_core
from carina_tasks.errors import AlreadyExists, ApiConflict, CarinaTasksError, NodeSilent, NotFound
from carina_tasks.flows.context import Context
from carina_tasks.kube import paths
from carina_tasks.kube.api import Listing
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.events import Events
from carina_tasks.kube.kinds import Kind
from carina_tasks.kube.parsing import Objects
from carina_tasks.kube.published import PublishedStatus
from carina_tasks.kube.state import StateMap
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.model import well_known
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.model.messages import (
    CreateLvs,
    LvResult,
    LvResults,
    MarkLvs,
    PurgeLvs,
    RemoveLvs,
    RestoreLv,
)
from carina_tasks.observability.audit import Audit
from carina_tasks.settings import Settings, load
from carina_tasks.store.lock import HeldLock
from tests.builders import kubernetes
from tests.builders.kubernetes import Json
from tests.builders.pages import objects_of

COLLECTIONS = {
    "Node": lambda m: paths.node(m["name"]),
    "Pod": lambda m: paths.pod(m["namespace"], m["name"]),
    "PersistentVolumeClaim": lambda m: paths.claim(m["namespace"], m["name"]),
    "PersistentVolume": lambda m: paths.persistent_volume(m["name"]),
    "LogicVolume": lambda m: paths.logic_volume(m["name"]),
    "ConfigMap": lambda m: paths.config_map(m["namespace"], m["name"]),
    "FailoverStatus": lambda m: paths.failover_status(m["namespace"], m["name"]),
}


class Killed(BaseException):
    """The process was killed here: nothing of ours may catch it."""


class FakeApi:
    """An API server of dicts, with preconditions, finalizers and a volume controller."""

    def __init__(self, *raws: Json) -> None:
        self.objects = {
            COLLECTIONS[raw["kind"]](raw["metadata"]): copy.deepcopy(raw) for raw in raws
        }
        self.log: list[tuple[str, str, Json]] = []
        """Every write that was asked for, Events left out."""
        self.reads: list[str] = []
        self.events: list[Json] = []
        self.kill_at: int | None = None
        """Die at the write of that number: after it when `kill_after`, else before it."""
        self.kill_after = False
        self.on_write: Callable[[str, str], None] = lambda verb, path: None
        self.on_try: Callable[[str, str], None] = lambda verb, path: None
        """Called with every dry run."""
        self.version = 100
        self.heard_at = kubernetes.NOW

    # --- reads ---

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Return a copy of the object."""
        self.reads.append(path)
        if path not in self.objects:
            raise NotFound(f"GET {path}")
        return copy.deepcopy(self.objects[path])

    def read(self, path: str) -> tuple[Json, float]:
        """Return the object and the clock."""
        return ({} if path == "/version" else self.get(path)), kubernetes.NOW

    def list(self, path: str, query: Mapping[str, str] | None = None) -> Listing:
        """Return every object below `path`."""
        self.reads.append(path)
        prefix, kind = path.rsplit("/", 1)
        if path == paths.EVENTS:
            return Listing(tuple(copy.deepcopy(self.events)), str(self.version), kubernetes.NOW)
        items = [
            copy.deepcopy(raw)
            for key, raw in self.objects.items()
            if key.startswith(prefix + "/") and key.rsplit("/", 2)[1] == kind
        ]
        node = (query or {}).get("fieldSelector", "").removeprefix("spec.nodeName=")
        if node:
            items = [raw for raw in items if _field(raw, "nodeName") == node]
        return Listing(tuple(items), str(self.version), kubernetes.NOW)

    def read_all(
        self, kind: Kind[Any], query: Mapping[str, str] | None = None, path: str = ""
    ) -> Objects[Any]:
        """Return what `list` has as the adapter would decode it."""
        listing = self.list(path or kind.path, query) if query else self.list(path or kind.path)
        return objects_of(kind, listing.items, listing.version, listing.now)

    def count(self, path: str) -> int | None:
        """Return how many objects there are below `path`, whatever its list says."""
        return len(FakeApi.list(self, path).items)

    # --- writes ---

    def create(self, path: str, body: Json, *, dry_run: bool = False) -> Json:
        """Create an object; Events are only kept in a list."""
        if dry_run:
            self.on_try("create", f"{path}/{body['metadata']['name']}")
            return body
        if path.endswith("/events"):
            # As the API server shows it to who reads core v1.
            self.events.append(to_core(body))
            return body
        if path == paths.WHO_AM_I:
            return body | {"status": {"userInfo": {"username": "an-operator"}}}
        key = f"{path}/{body['metadata']['name']}"
        with self._write("create", key, body):
            if key in self.objects:
                raise AlreadyExists(key)
            raw = copy.deepcopy(body)
            raw["metadata"] |= {"uid": f"uid-{self.version}", "resourceVersion": str(self.version)}
            if raw.get("kind") == "PersistentVolume":
                raw["status"] = {"phase": "Available"}
            self.objects[key] = raw
            return copy.deepcopy(raw)

    def merge(self, path: str, body: Json, *, dry_run: bool = False) -> Json:
        """Apply a merge patch; status only through the subresource, uid and resourceVersion as
        preconditions.
        """
        key = path.removesuffix("/status")
        if dry_run:
            self.on_try("merge", path)
            return copy.deepcopy(self._checked(key, body.get("metadata") or {}))
        with self._write("merge", path, body):
            raw = self._checked(key, body.get("metadata") or {})
            patch = copy.deepcopy(body)
            metadata = patch.pop("metadata", {})
            for name in ("uid", "resourceVersion"):
                metadata.pop(name, None)
            allowed = (
                {"status": patch.get("status", {})}
                if path != key
                else {**patch, "metadata": metadata}
            )
            if path == key and raw.get("kind") != "FailoverStatus":
                allowed.pop("status", None)
            _merge(raw, allowed)
            raw["metadata"]["resourceVersion"] = str(self.version)
            result = copy.deepcopy(raw)
            self._settle(key)
            self._control(key)
            return result

    def delete(
        self,
        path: str,
        *,
        uid: str,
        version: str = "",
        grace: int | None = None,
        dry_run: bool = False,
    ) -> Json:
        """Delete, or begin to when finalizers hold it; return what is left."""
        if dry_run:
            self.on_try("delete", path)
            self._checked(path, {"uid": uid} | ({"resourceVersion": version} if version else {}))
            return {"kind": "Status"}
        with self._write("delete", path, {"uid": uid, "resourceVersion": version, "grace": grace}):
            raw = self._checked(
                path, {"uid": uid} | ({"resourceVersion": version} if version else {})
            )
            raw["metadata"]["deletionTimestamp"] = kubernetes.at(kubernetes.NOW)
            if raw["kind"] == "Pod":
                raw["metadata"]["deletionGracePeriodSeconds"] = 30 if grace is None else grace
            raw["metadata"]["resourceVersion"] = str(self.version)
            self._settle(path)
            left = self.objects.get(path)
            return copy.deepcopy(left) if left is not None else {"kind": "Status"}

    @contextlib.contextmanager
    def _write(self, verb: str, path: str, body: Json) -> Iterator[None]:
        number = len(self.log)
        self.version += 1
        self.on_write(verb, path)
        if self.kill_at is not None and number > self.kill_at:
            raise Killed  # The process is dead, whichever of its threads asks.
        if self.kill_at == number and not self.kill_after:
            raise Killed
        self.log.append((verb, path, copy.deepcopy(body)))
        yield
        if self.kill_at == number:
            raise Killed

    def _checked(self, key: str, wanted: Mapping[str, Any]) -> Json:
        if key not in self.objects:
            raise NotFound(key)
        raw = self.objects[key]
        for name in ("uid", "resourceVersion"):
            if name in wanted and raw["metadata"][name] != wanted[name]:
                raise ApiConflict(f"{key}: {name} {raw['metadata'][name]} is not {wanted[name]}")
        return raw

    def _settle(self, key: str) -> None:
        """Let go of what is being deleted and has no finalizer left; its claim is Lost."""
        meta = self.objects[key]["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            gone = self.objects.pop(key)
            for raw in self.objects.values():
                if (
                    raw["kind"] == "PersistentVolumeClaim"
                    and _field(raw, "volumeName") == gone["metadata"]["name"]
                ):
                    raw["status"] = {
                        **(raw["status"] if isinstance(raw.get("status"), dict) else {}),
                        "phase": "Lost",
                    }

    def _control(self, key: str) -> None:
        """Play the volume controller: a claim that is touched is bound to the PV that names its
        UID.
        """
        raw = self.objects.get(key)
        if raw is None or raw["kind"] != "PersistentVolumeClaim":
            return
        volume = self.objects.get(paths.persistent_volume(raw["spec"]["volumeName"]))
        if volume and volume["spec"]["claimRef"].get("uid") == raw["metadata"]["uid"]:
            raw["status"]["phase"] = volume["status"]["phase"] = "Bound"

    # --- what tests ask ---

    def one(self, kind: str, name: str, namespace: str = "default") -> Json:
        """Return an object as it is now."""
        return self.objects[COLLECTIONS[kind]({"name": name, "namespace": namespace})]

    def writes(self) -> list[str]:
        """Return what was written, as `verb kind/name`."""
        return [f"{verb} {'/'.join(path.split('/')[-2:])}" for verb, path, _ in self.log]


def _field(raw: Json, name: str) -> Any:
    """Return a field of the spec, of whatever kind that is."""
    spec = raw.get("spec")
    return spec.get(name) if isinstance(spec, dict) else None


def _merge(target: Json, patch: Json) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            if not isinstance(target.get(key), dict):
                target[key] = {}
            _merge(target[key], value)
        else:
            target[key] = value


class FakeLatestResults:
    """`LatestResults` in a dict; they go through JSON, as in Redis."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def keep(self, name: str, value: Any, ttl: float) -> None:
        """Keep it forever."""
        self.kept[name] = msgspec.json.encode(value)

    def last(self, name: str, kind: type[Any]) -> Any:
        """Return the last of that name."""
        return msgspec.json.decode(self.kept[name], type=kind) if name in self.kept else None


class FakeNodes:
    """Nodes of lists: what their workers would answer, with the rules that lvm and the node tasks
    keep.
    """

    def __init__(self, *inventories: Inventory) -> None:
        self.now = {i.node: i for i in inventories}
        self.asked: list[tuple[str, str, Any]] = []
        self.broken: dict[tuple[str, str], CarinaTasksError | LvResults] = {}
        """What a node answers to a task in place of the truth."""

    def ask(self, node: str, task: str, request: Any, answer: type[Any], more: float = 0) -> Any:
        """Answer one request, or raise."""
        result = self.ask_all({node: request}, task, answer, more)[node]
        if isinstance(result, CarinaTasksError):
            raise result
        return result

    def ask_all(
        self, requests: Mapping[str, Any], task: str, answer: type[Any], more: float = 0
    ) -> dict[str, Any]:
        """Answer each."""
        return {node: self._one(node, task, request) for node, request in requests.items()}

    def stream(
        self, requests: Mapping[str, Any], task: str, answer: type[Any], most: int = 64
    ) -> Iterator[dict[str, Any]]:
        """Answer each, so many at a time."""
        come = iter(self.ask_all(requests, task, answer).items())
        while some := dict(itertools.islice(come, most)):
            yield some

    def _one(self, node: str, task: str, request: Any) -> Any:
        self.asked.append((node, task, request))
        if (node, task) in self.broken:
            return self.broken[node, task]
        found = self.now.get(node)
        if found is None:
            return NodeSilent(f"{node} is silent")
        match request:
            case None:
                return found
            case CreateLvs():
                return LvResults(
                    node=node, volumes=tuple(self._create(node, v) for v in request.volumes)
                )
            case MarkLvs():
                for target in request.mark:
                    self._retag(node, target.uuid, (f"{well_known.TAG_ORPHAN}{request.at}",))
                for target in request.unmark:
                    self._retag(node, target.uuid, ())
                told = [(t, "marked") for t in request.mark] + [
                    (t, "unmarked") for t in request.unmark
                ]
            case RemoveLvs():
                told = []
                for target in request.volumes:
                    old = next((v for v in self.now[node].volumes if v.uuid == target.uuid), None)
                    assert old is not None
                    ok = (
                        old.marked_at is not None
                        and old.marked_at <= request.marked_before
                        and not old.is_open
                    )
                    told.append(
                        (target, ("trashed" if request.trash_at else "removed") if ok else "failed")
                    )
                    if ok:
                        self._go(node, old, request.trash_at, target.why)
            case PurgeLvs():
                told = []
                for lying in request.volumes:
                    there = next(v for v in self.now[node].volumes if v.uuid == lying.uuid)
                    ok = there.trashed is not None and there.trashed.at <= request.trashed_before
                    told.append((lying, "purged" if ok else "failed"))
                    if ok:
                        self._go(node, there, 0, "")
            case RestoreLv():
                there = next(v for v in self.now[node].volumes if v.uuid == request.volume.uuid)
                back = msgspec.structs.replace(
                    there,
                    name=there.old_name,
                    active=True,
                    tags=(f"{well_known.TAG_RESTORED}{request.at}",),
                )
                self._volumes(node, [back if v is there else v for v in self.now[node].volumes])
                return LvResults(
                    node=node,
                    volumes=(LvResult(back.group, back.name, "restored", uuid=back.uuid),),
                )
            case _:
                raise AssertionError(task)
        return LvResults(
            node=node,
            volumes=tuple(LvResult(target.group, target.name, outcome) for target, outcome in told),
        )

    def _go(self, node: str, old: LocalVolume, trash_at: int, why: str) -> None:
        tags = (
            f"{well_known.TAG_TRASH_NAME}{old.name}",
            f"{well_known.TAG_TRASH_AT}{trash_at}",
            f"{well_known.TAG_TRASH_WHY}{why}",
        )
        lying = msgspec.structs.replace(
            old, name=f"trash-{old.uuid}", tags=(*old.tags, *tags), active=False
        )
        left = [v for v in self.now[node].volumes if v is not old]
        self._volumes(node, [*left, lying] if trash_at else left)

    def _create(self, node: str, wanted: Any) -> LvResult:
        if wanted.copy:
            return self._bring_back(node, wanted)
        old = self.now[node].find(wanted.group, wanted.name)
        if old is None or old.size < wanted.size:
            made = kubernetes.local_volume(
                wanted.name,
                group=wanted.group,
                size=wanted.size,
                tags=(well_known.TAG_INTENT + wanted.intent,),
            )
            self._volumes(node, [*(v for v in self.now[node].volumes if v is not old), made])
        size = self.now[node].find(wanted.group, wanted.name).size  # type: ignore[union-attr]
        return LvResult(
            wanted.group, wanted.name, "kept" if old else "created", size=size, major=252, minor=9
        )

    def _bring_back(self, node: str, wanted: Any) -> LvResult:
        """Let the product decide, and do that."""
        (decision,) = decide_create(CreateLvs(reserve=0, volumes=(wanted,)), self.now[node])
        if isinstance(decision, RefuseLv):
            return LvResult(
                wanted.group, wanted.name, "failed", decision.reason, transient=decision.transient
            )
        assert isinstance(decision, RestoreCopy | KeepExisting), decision
        old, size = decision.lv, max(wanted.size, decision.lv.size)
        back = msgspec.structs.replace(
            old,
            name=wanted.name,
            size=size,
            tags=(well_known.TAG_INTENT + wanted.intent,),
            active=True,
        )
        self._volumes(node, [back if v is old else v for v in self.now[node].volumes])
        said = "kept" if isinstance(decision, KeepExisting) else "restored"
        return LvResult(
            wanted.group, wanted.name, said, uuid=back.uuid, size=back.size, major=252, minor=7
        )

    def _retag(self, node: str, uuid: str, tags: tuple[str, ...]) -> None:
        self._volumes(
            node,
            [
                msgspec.structs.replace(v, tags=tags) if v.uuid == uuid else v
                for v in self.now[node].volumes
            ],
        )

    def _volumes(self, node: str, lvs: list[LocalVolume]) -> None:
        self.now[node] = msgspec.structs.replace(self.now[node], volumes=tuple(lvs))

    def tasks(self) -> list[str]:
        """Return the names of the tasks that were asked for, inventories left out."""
        return [task for _, task, _ in self.asked if task != "carina.node.inventory"]


def context(api: FakeApi, nodes: FakeNodes, *, held: bool = False, **settings: str) -> Context:
    """Make a Context of the product's own adapters on the fakes; time is counted, not spent."""
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    @contextlib.contextmanager
    def lock(name: str) -> Iterator[HeldLock | None]:
        yield None if held else HeldLock(None)

    environ = {"CARINA_TASKS_CONCURRENCY": "1"} | {
        f"CARINA_TASKS_{k.upper()}": v for k, v in settings.items()
    }
    conf: Settings = load(environ)
    fake: Any = api
    asked: Any = nodes
    latest_results: Any = FakeLatestResults()
    return Context(
        settings=conf,
        cluster=Cluster(fake),
        writes=ClusterWrites(fake, sleep=sleep),
        state=StateMap(fake, conf.namespace),
        published=PublishedStatus(fake, conf.namespace),
        nodes=asked,
        audit=Audit(Events(fake)),
        latest_results=latest_results,
        lock=lock,
        worker_alive=lambda node: node in nodes.now,
        sleep=sleep,
        monotonic=lambda: clock[0],
    )


def cut_pods(api: FakeApi, name: str, lists: Container[int] = range(99)) -> list[str]:
    """Let those lists of pods, by their number, lack the pod `name` without a word; return what
    grows with each list.
    """
    whole, seen = api.list, []

    def cut(path: str, query: Mapping[str, str] | None = None) -> Listing:
        listing = whole(path, query)
        if path != paths.PODS:
            return listing
        seen.append(path)
        left = tuple(raw for raw in listing.items if raw["metadata"]["name"] != name)
        return replace(listing, items=left) if len(seen) - 1 in lists else listing

    api.list = cut  # type: ignore[method-assign]
    return seen
