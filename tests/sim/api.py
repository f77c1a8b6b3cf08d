"""The product's API client over the emulator's functions, with a network and a proxy in between
that fail by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from carina_tasks.emulator.api_server.cluster import Cluster
from carina_tasks.errors import ApiUnavailable
from carina_tasks.kube.api import Api, Raw
from tests.harness.api import Answer, answer_of, is_dry_run, written
from tests.sim.actors import Actors, Killed
from tests.sim.chance import Chance

Write = Callable[[str, str, Raw | None], None]


class SimApi(Api):
    """One client; `before` and `after` see each write that takes effect."""

    def __init__(
        self,
        cluster: Cluster,
        actors: Actors,
        chance: Chance,
        page: int,
        before: Write,
        after: Write,
    ) -> None:
        self._cluster, self._actors, self._chance = cluster, actors, chance
        self._timeout, self._page_size, self._observe, self._host = 15.0, page, None, "in-process"
        self._before, self._after = before, after
        self.forbidden: frozenset[str] = frozenset()
        """Resources that are not readable now."""
        self.lacking: frozenset[str] = frozenset()
        """Names that the lists of LogicVolumes and PersistentVolumes leave out now, without a word.
        """
        self.renew: Callable[[], None] = lambda: None
        """Called before a Lease is read."""

    def _send(  # type: ignore[override]
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Raw | None = None,
        content_type: str = "application/json",
        timeout: Any = None,
    ) -> Answer:
        chance, process = self._chance, self._actors.process
        assert process is not None
        if not allowed(verb, path):
            chance.wrong(f"{process.name}: deploy/rbac.yaml does not allow {verb} {path}")
        if not chance.odds:
            self._actors.sleep(chance.latency())
            return self._do(verb, path, query, body, content_type)
        early = chance.rng.random() < 0.5
        if not early:
            self._actors.sleep(chance.latency())
        self._fail(verb, path, "api-down", "never reached it")
        for code in (409, 410, 429, 500):
            # 409 is said of writes alone.
            if (code != 409 or verb != "GET") and chance.hits(f"api-{code}"):
                return _refusal(code)
        writing = verb != "GET"
        if writing and chance.hits("killed-before-write"):
            self._die(f"before {verb} {path}")
        answer = self._do(verb, path, query, body, content_type)
        if writing and chance.hits("killed-after-write"):
            self._die(f"after {verb} {path}")
        if early:
            self._actors.sleep(chance.latency())
        if writing:
            self._fail(verb, path, "answer-to-write-lost", "the answer was lost")
        return answer

    @staticmethod
    def _decode(verb: str, path: str, data: bytes) -> Raw:
        # The same values as the product's own, three times as fast.
        value: Raw = msgspec.json.decode(data)
        return value

    def _do(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Raw | None,
        content_type: str,
    ) -> Answer:
        if "/leases" in path:
            self.renew()
        if verb == "GET" and any(f"/{resource}" in path for resource in self.forbidden):
            return _refusal(403)
        tried = is_dry_run(query or {}, body)
        if verb != "GET" and not tried:
            self._before(verb, path, body)
        answer = answer_of(
            self._cluster, self._chance.clock.now, verb, path, query or {}, body, content_type
        )
        if verb != "GET" and not tried and answer.status < 300:
            self._after(verb, path, body)
            if "/events" not in path:
                process = self._actors.process
                self._chance.say(
                    process.name if process else "", f"{verb} {path} {written(body)}".rstrip()
                )
        if verb == "GET" and answer.status == 200:
            if self.lacking and path.endswith(("/logicvolumes", "/persistentvolumes")):
                answer = self._without(answer)
            if self._chance.hits("list-cut-short"):
                return self._cut(path, answer)
        return answer

    def _without(self, answer: Answer) -> Answer:
        page = msgspec.json.decode(answer.body)
        page["items"] = [
            item for item in page["items"] if item["metadata"]["name"] not in self.lacking
        ]
        return Answer(answer.status, msgspec.json.encode(page), answer.headers)

    def _cut(self, path: str, answer: Answer) -> Answer:
        page = msgspec.json.decode(answer.body)
        items = page.get("items")
        if items:
            gone = self._chance.rng.randrange(len(items))
            self._chance.say(
                "fault", f"{path} lost {[i['metadata']['name'] for i in items[gone:]]}"
            )
            page["items"] = items[:gone]
            page["metadata"].pop("continue", None)
        return Answer(answer.status, msgspec.json.encode(page), answer.headers)

    def _fail(self, verb: str, path: str, fault: str, why: str) -> None:
        if self._chance.hits(fault):
            self._actors.sleep(self._chance.rng.choice((0.01, 15.0)))
            raise ApiUnavailable(f"{verb} {path}: {why}")

    def _die(self, where: str) -> None:
        process = self._actors.process
        assert process is not None
        self._chance.say(process.name, f"killed {where}")
        self._actors.kill(process)
        raise Killed


def _refusal(code: int) -> Answer:
    reason = {
        403: "Forbidden",
        409: "Conflict",
        410: "Expired",
        429: "TooManyRequests",
        500: "InternalError",
    }[code]
    status = {"kind": "Status", "code": code, "reason": reason, "message": "by chance"}
    return Answer(code, msgspec.json.encode(status), {})


@cache
def _rights() -> frozenset[tuple[str, str, str]]:
    """Return (group, resource, verb) of all that deploy/rbac.yaml allows."""
    text = (Path(__file__).parents[2] / "deploy" / "rbac.yaml").read_text(encoding="utf-8")
    return frozenset(
        (group, resource, verb)
        for document in yaml.safe_load_all(text)
        for rule in document.get("rules") or ()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


@cache
def allowed(verb: str, path: str) -> bool:
    """Return whether some role of the product may do that."""
    if path in ("/version", "/apis"):
        return True
    words = path.strip("/").split("/")
    group, rest = ("", words[2:]) if words[0] == "api" else (words[1], words[3:])
    if rest[0] == "namespaces":
        rest = rest[2:]
    resource, named = rest[0] + (f"/{rest[2]}" if len(rest) > 2 else ""), len(rest) > 1
    kind = {"GET": "get" if named else "list", "POST": "create"}.get(verb, verb.lower())
    return (group, resource, kind) in _rights()
