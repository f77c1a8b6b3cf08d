"""The HTTP face: one handler for every path, as the API server has one for every resource."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from tornado.iostream import StreamClosedError
from tornado.log import app_log
from tornado.web import RequestHandler

from . import deletion, discovery, openapi, subresources, writes
from .cluster import Cluster, Target
from .errors import (
    JSON,
    StatusError,
    bad_request,
    invalid,
    method_not_allowed,
    no_such_resource,
    required,
)
from .list_options import ListOptions
from .negotiation import Wanted, decode, encode, media_type, wanted
from .patches import APPLY, merge_patch
from .routes import resource_target
from .selectors import Selection
from .tables import View
from .watch import WatchOptions, events

_WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_REVIEWS = (
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    _WHO_AM_I,
)
_NOT_FOUND = b"404 page not found\n"


class ApiHandler(RequestHandler):
    """Serves the whole API of one cluster."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

    def initialize(self, cluster: Cluster) -> None:
        """Take the cluster that is served."""
        self.cluster = cluster
        self.gone = asyncio.Event()

    def set_default_headers(self) -> None:
        """Say what this is; tornado adds the Date."""
        self.set_header("Server", "carina-tasks-api-emulator")
        self.set_header("Cache-Control", "no-cache, private")

    def on_connection_close(self) -> None:
        """End a watch whose caller has left."""
        self.gone.set()

    async def get(self) -> None:
        """Answer GET."""
        await self._answer(self._get)

    async def head(self) -> None:
        """Answer HEAD as GET, without the body."""
        await self._answer(self._get)

    async def post(self) -> None:
        """Answer POST."""
        await self._answer(self._post)

    async def put(self) -> None:
        """Answer PUT."""
        await self._answer(self._put)

    async def patch(self) -> None:
        """Answer PATCH."""
        await self._answer(self._patch)

    async def delete(self) -> None:
        """Answer DELETE."""
        await self._answer(self._delete)

    async def _answer(self, verb: Callable[[], Awaitable[None]]) -> None:
        try:
            await verb()
        except StatusError as error:
            self._send(error.status(), error.code)
        except StreamClosedError:
            return
        except Exception as error:
            app_log.exception("%s %s", self.request.method, self.request.uri)
            self._send(
                StatusError(500, "InternalError", f"Internal error occurred: {error!r}").status(),
                500,
            )

    # -- what a request says

    def _query(self, name: str) -> str:
        return self.get_query_argument(name, "")

    def _flag(self, name: str) -> bool:
        """Return a flag as the real server reads it: unset when missing, `false` or `0`."""
        given = self.get_query_argument(name, None)
        return given is not None and given.lower() not in ("0", "false")

    def _number(self, name: str) -> int:
        text = self._query(name)
        if text and not text.isdigit():
            raise bad_request(f"strconv.ParseInt: parsing {json.dumps(text)}: invalid syntax")
        return int(text or 0)

    def _wanted(self) -> Wanted:
        return wanted(self.request.headers.get("Accept", ""), self._query("includeObject"))

    def _plain_not_found(self) -> None:
        self.set_status(404)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write(_NOT_FOUND)

    def _target(self) -> Target:
        target = resource_target(self.cluster.registry, self.request.path)
        if target is None:
            raise no_such_resource()
        return target

    def _selection(self, target: Target) -> Selection:
        return self.cluster.select(
            target.resource, self._query("labelSelector"), self._query("fieldSelector"), target.name
        )

    def _media(self) -> str:
        return media_type(self.request.headers.get("Content-Type", ""))

    def _body(self) -> Any:
        return decode(self.request.body, self._media())

    def _options(self) -> writes.WriteOptions:
        agent = self.request.headers.get("User-Agent", "unknown").split("/")[0] or "unknown"
        return writes.WriteOptions(
            manager=self._query("fieldManager") or agent,
            dry_run=bool(self._query("dryRun")),
            strict=self._query("fieldValidation") == "Strict",
            force=self._flag("force"),
        )

    # -- what it is answered

    def _send(self, data: JSON, code: int = 200) -> None:
        try:
            as_yaml = self._wanted().yaml
        except StatusError:
            as_yaml = False
        body, content_type = encode(data, as_yaml=as_yaml)
        self.set_status(code)
        self.set_header("Content-Type", content_type)
        self.write(body)

    def _send_object(self, obj: JSON, target: Target, code: int = 200) -> None:
        view = self._wanted().view
        plain = obj.get("kind") != target.resource.kind or target.subresource == "scale"
        self._send(obj if plain else view.one(obj, target.resource), code)

    # -- verbs

    async def _get(self) -> None:
        target = resource_target(self.cluster.registry, self.request.path)
        if target is None:
            self._get_other()
        elif target.subresource:
            if target.subresource not in ("scale", "status"):
                raise method_not_allowed()
            obj = self.cluster.get(target)
            self._send_object(
                subresources.scale_of(obj) if target.subresource == "scale" else obj, target
            )
        elif self._flag("watch"):
            await self._watch(target)
        elif target.name:
            self._send_object(self.cluster.get(target), target)
        else:
            self._list(target)

    def _get_other(self) -> None:
        path = self.request.path.rstrip("/")
        registry = self.cluster.registry
        parts = path.strip("/").split("/")
        found: JSON | None = None
        if path in ("/healthz", "/livez", "/readyz"):
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.write(b"ok")
            return
        if path == "/openapi/v2":
            self.set_header("Content-Type", openapi.V2_PROTOBUF)
            self.write(openapi.V2_EMPTY)
            return
        if path == "/version":
            found = discovery.version()
        elif path == "/api":
            found = discovery.core_versions(self.request.host)
        elif path == "/apis":
            found = discovery.groups(registry)
        elif path == "/openapi/v3":
            found = openapi.index(registry)
        elif path.startswith("/openapi/v3/"):
            found = openapi.document(registry, path.removeprefix("/openapi/v3/"))
        elif parts[0] == "api" and len(parts) == 2:
            found = discovery.resources(registry, "", parts[1])
        elif parts[0] == "apis" and len(parts) == 2:
            found = discovery.group(registry, parts[1])
        elif parts[0] == "apis" and len(parts) == 3:
            found = discovery.resources(registry, parts[1], parts[2])
        if found is None:
            self._plain_not_found()
            return
        self._send(found)

    def _list_options(self, *, watching: bool) -> ListOptions:
        options = ListOptions(
            version=self._query("resourceVersion"),
            match=self._query("resourceVersionMatch"),
            token=self._query("continue"),
            initial=self._flag("sendInitialEvents")
            if self.get_query_argument("sendInitialEvents", None) is not None
            else None,
        )
        return options.checked(watching=watching)

    def _list(self, target: Target) -> None:
        options = self._list_options(watching=False)
        page = self.cluster.page(
            target.resource,
            target.namespace,
            self._selection(target),
            limit=self._number("limit"),
            token=options.token,
            version=options.version,
            match=options.match,
        )
        self._send(self._wanted().view.many(page.objects, target.resource, page.metadata()))

    async def _watch(self, target: Target) -> None:
        listed = self._list_options(watching=True)
        seconds = self._number("timeoutSeconds")
        options = WatchOptions(
            namespace=target.namespace,
            selection=self._selection(target),
            version=listed.version,
            bookmarks=self._flag("allowWatchBookmarks"),
            initial=bool(listed.initial),
            timeout=float(seconds) if seconds else random.uniform(1800, 3600),  # noqa: S311 - only spreads reconnects,
        )
        view: View = self._wanted().view
        stream = events(self.cluster, target.resource, options, view)
        self.set_header("Content-Type", "application/json")
        reading = asyncio.ensure_future(self._copy(stream))
        leaving = asyncio.ensure_future(self.gone.wait())
        try:
            await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, leaving):
                if not task.done():
                    task.cancel()
            with contextlib.suppress(asyncio.CancelledError, StreamClosedError):
                await reading
            await stream.aclose()

    async def _copy(self, stream: Any) -> None:
        await self.flush()
        async for event in stream:
            self.write(msgspec.json.encode(event) + b"\n")
            await self.flush()

    async def _post(self) -> None:
        if self.request.path.startswith(_REVIEWS):
            self._send(self._review(), 201)
            return
        target = self._target()
        if target.subresource == "binding":
            self._send(subresources.bind(self.cluster, target, self._body(), self._options()), 201)
        elif target.subresource == "eviction":
            self._send(deletion.evict(self.cluster, target, self._body()), 201)
        elif target.name or (target.resource.namespaced and not target.namespace):
            raise method_not_allowed()
        else:
            self._send_object(
                writes.create(self.cluster, target, self._body(), self._options()), target, 201
            )

    def _review(self) -> JSON:
        """Answer a review: who am I, and may I?

        Every caller may do everything here: there is no authentication.
        """
        body = self._body()
        if self.request.path == _WHO_AM_I and isinstance(body, dict):
            return {**body, "status": {"userInfo": {"username": "system:anonymous"}}}
        if not isinstance(body, dict) or not isinstance(body.get("spec"), dict):
            raise bad_request("an access review needs a spec")
        return {**body, "status": {"allowed": True}}

    async def _put(self) -> None:
        target = self._target()
        if not target.name:
            raise method_not_allowed()
        if target.subresource == "scale":
            body = self._body()
            self._send(
                subresources.set_scale(
                    self.cluster, target, body if isinstance(body, dict) else {}, self._options()
                )
            )
            return
        obj, created = writes.replace(self.cluster, target, self._body(), self._options())
        self._send_object(obj, target, 201 if created else 200)

    async def _patch(self) -> None:
        target = self._target()
        if not target.name:
            raise method_not_allowed()
        if target.subresource == "scale":
            scale = merge_patch(subresources.scale_of(self.cluster.get(target)), self._body())
            self._send(subresources.set_scale(self.cluster, target, scale, self._options()))
            return
        if self._media() == APPLY and not self._query("fieldManager"):
            cause = required("fieldManager", "is required for apply patch")
            raise invalid("PatchOptions", "meta.k8s.io", "", [cause])
        obj, created = writes.patch(
            self.cluster, target, self._media(), self._body(), self._options()
        )
        self._send_object(obj, target, 201 if created else 200)

    async def _delete(self) -> None:
        target = self._target()
        if target.subresource:
            raise method_not_allowed()
        query = {
            name: self._query(name)
            for name in ("gracePeriodSeconds", "dryRun")
            if self._query(name)
        }
        options = deletion.parse_options(self._body(), query)
        if target.name:
            self._send_object(deletion.delete(self.cluster, target, options), target)
            return
        removed = deletion.delete_collection(self.cluster, target, self._selection(target), options)
        version = {"resourceVersion": str(self.cluster.store.version)}
        self._send(self._wanted().view.many(removed, target.resource, version))
