"""The HTTP side: an ASGI application that answers as a Kubernetes API server does."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from kube_emulator import discovery, openapi, statuses, subresources
from kube_emulator.api import Api, Options
from kube_emulator.faults import Faults
from kube_emulator.requests import (
    PATCHES,
    Accepted,
    Target,
    find_target,
    read_accept,
    read_body,
    read_options,
    split_group,
)
from kube_emulator.statuses import ApiError
from kube_emulator.tables import table
from kube_emulator.watches import Watch

Json = dict[str, Any]
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class App:
    """The ASGI application of one emulator.

    Args:
        api: the verbs.
        faults: what is to go wrong.
        token: the bearer token that every request must carry; empty to ask for none.
        record: called with the method and path of every request.
    """

    def __init__(self, api: Api, faults: Faults, token: str, record: Callable[[str, str], None]) -> None:
        self._api = api
        self._faults = faults
        self._token = token
        self._record = record
        self.closing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ApiError as error:
            response = _json(error.status, error.code)
            if error.code == 429:
                response.headers["Retry-After"] = str(self._faults.retry_after_s)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        self._record(request.method, path)
        if path in ("/healthz", "/livez", "/readyz"):
            return PlainTextResponse("ok")
        if self._token and request.headers.get("authorization") != f"Bearer {self._token}":
            raise statuses.unauthorized()
        found = self._documents(request, path)
        if found is not None:
            return found
        if self._faults.latency:
            await asyncio.sleep(self._faults.latency)
        if self._faults.throttles():
            raise statuses.fault(429)
        code = self._faults.take_failure()
        if code > 0:
            raise statuses.fault(code)
        response = await self._objects(request, path)
        if code < 0:
            raise statuses.fault(-code)
        return response

    def _documents(self, request: Request, path: str) -> Response | None:
        """Versions, discovery and OpenAPI documents; None if the path names none of them."""
        catalogue = self._api.world.catalogue
        path = path.rstrip("/")
        if path == "/version":
            return _json(discovery.VERSION)
        if path in ("/api", "/apis"):
            accepted = read_accept(request.headers.get("accept", ""))
            if accepted.kind == "APIGroupDiscoveryList":
                media = f"application/json;g={discovery.AGGREGATED};v=v2;as=APIGroupDiscoveryList"
                return _json(discovery.aggregated(catalogue, path == "/api"), media=media)
            address = request.headers.get("host", "")
            return _json(
                discovery.core_versions(address) if path == "/api" else discovery.group_list(catalogue)
            )
        if path.startswith("/openapi/"):
            return _json(self._openapi(request, path))
        parts = path.split("/")[1:]
        if parts[0] == "apis" and len(parts) == 2:
            versions = dict(discovery.groups(catalogue)).get(parts[1])
            if versions is None:
                raise statuses.no_such_path()
            return _json(
                {"kind": "APIGroup", "apiVersion": "v1", **discovery.group_entry(parts[1], versions)}
            )
        split = split_group(path)
        if split is None:
            raise statuses.no_such_path()
        if not split[2]:
            listed = discovery.resource_list(catalogue, split[0], split[1])
            if listed is None:
                raise statuses.no_such_path()
            return _json(listed)
        return None

    def _openapi(self, request: Request, path: str) -> Json:
        catalogue = self._api.world.catalogue
        if path == "/openapi/v3":
            return openapi.index(catalogue)
        if path == "/openapi/v2":
            accept = request.headers.get("accept", "*/*")
            if "json" not in accept and "*/*" not in accept:
                raise statuses.not_acceptable("application/json")
            return openapi.swagger()
        split = split_group(path.removeprefix("/openapi/v3"))
        made = openapi.document(catalogue, split[0], split[1]) if split else None
        if made is None:
            raise statuses.no_such_path()
        return made

    async def _objects(self, request: Request, path: str) -> Response:
        split = split_group(path)
        assert split is not None
        group, version, steps = split
        body = await self._body(request)
        if (group, version, steps[0]) in discovery.REVIEWS and request.method == "POST":
            return _json(subresources.review(steps[0], body, self._faults), 201)
        target = find_target(self._api.world.catalogue, group, version, steps)
        verb = self._verb(request, target)
        resource = target.resource
        if self._faults.forbids(verb, resource.plural, target.namespace):
            where = f' in the namespace "{target.namespace}"' if target.namespace else " at the cluster scope"
            why = (
                f'User "{subresources.USER}" cannot {verb} resource "{resource.plural}" '
                f'in API group "{resource.group}"{where}'
            )
            raise statuses.forbidden(resource.plural, resource.group, target.name, why)
        if verb in ("update", "patch") and self._faults.conflicts():
            raise statuses.conflict(resource.plural, resource.group, target.name)
        if verb in ("list", "watch"):
            return self._read_many(request, target, verb)
        if target.subresource:
            return self._part(request, target, body)
        return self._one(request, target, verb, body)

    async def _body(self, request: Request) -> Any:
        if request.method in ("GET", "HEAD"):
            return {}
        return read_body(await request.body(), request.headers.get("content-type", ""))

    def _verb(self, request: Request, target: Target) -> str:
        verb = _VERBS.get(request.method)
        if verb is None or (target.name and verb == "create" and not target.subresource):
            raise statuses.method_not_allowed()
        if not target.name:
            if verb in ("update", "patch"):
                raise statuses.method_not_allowed()
            verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
        watching = request.query_params.get("watch", "") in ("true", "1")
        return "watch" if watching and verb in ("list", "get") else verb

    def _read_many(self, request: Request, target: Target, verb: str) -> Response:
        query = request.query_params
        accepted = read_accept(request.headers.get("accept", ""))
        if verb == "watch":
            form = self._form(target, accepted, query.get("includeObject", "Metadata"))
            watch = Watch(self._api, target, dict(query), form, lambda: self.closing)
            return StreamingResponse(watch.lines(), media_type="application/json")
        with self._api.store.lock:
            found = self._api.select(
                target.resource,
                target.namespace,
                query.get("labelSelector", ""),
                query.get("fieldSelector", ""),
            )
            version = str(self._api.store.version)
            since = _version_of(query.get("continue", ""), version)
            if since != version:
                self._api.store.since(int(since))  # which says so if that is too long ago
        found, more = _page(found, query.get("limit", ""), query.get("continue", ""), since)
        resource = target.resource
        if accepted.kind == "Table":
            now = self._api.world.clock()
            return _json(table(resource, found, version, now, query.get("includeObject", "Metadata"), more))
        metadata = {"resourceVersion": version, **more}
        if accepted.kind.startswith("PartialObjectMetadata"):
            items = [_partial(obj) for obj in found]
            kind, api_version = "PartialObjectMetadataList", "meta.k8s.io/v1"
        else:
            items, kind, api_version = found, f"{resource.kind}List", resource.api_version
            if not resource.custom:
                items = [{k: v for k, v in obj.items() if k not in ("kind", "apiVersion")} for obj in items]
        return _json({"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items})

    def _form(self, target: Target, accepted: Accepted, include: str) -> Callable[[Json], Json]:
        """How one object is shown to a client that accepts this."""
        if accepted.kind == "Table":
            return lambda obj: table(
                target.resource,
                [obj],
                obj["metadata"].get("resourceVersion", ""),
                self._api.world.clock(),
                include,
                {},
            )
        return _partial if accepted.kind.startswith("PartialObjectMetadata") else lambda obj: obj

    def _one(self, request: Request, target: Target, verb: str, body: Any) -> Response:
        api, resource = self._api, target.resource
        code = 200
        warnings: list[str] = []
        if verb == "get":
            obj = api.get(resource, target.namespace, target.name)
        elif verb in ("delete", "deletecollection"):
            return self._delete(request, target, verb, body)
        else:
            options = read_options(request, target)
            warnings = options.warnings
            obj, code = self._write(request, target, verb, body, options)
        accepted = read_accept(request.headers.get("accept", ""))
        form = self._form(target, accepted, request.query_params.get("includeObject", "Metadata"))
        response = _json(form(obj), code)
        for text in warnings:
            response.headers.append("Warning", f'299 - "{text.replace(chr(34), chr(92) + chr(34))}"')
        return response

    def _write(
        self, request: Request, target: Target, verb: str, body: Any, options: Options
    ) -> tuple[Json, int]:
        api, resource = self._api, target.resource
        if verb == "create":
            return api.create(resource, target.namespace, body, options), 201
        if verb == "update":
            return api.update(resource, target.namespace, target.name, body, options), 200
        media = request.headers.get("content-type", "").split(";")[0].strip()
        if media not in PATCHES:
            raise statuses.unsupported_media(", ".join(sorted(PATCHES)))
        obj, made = api.patch(resource, target.namespace, target.name, media, body, options)
        return obj, 201 if made else 200

    def _delete(self, request: Request, target: Target, verb: str, body: Any) -> Response:
        query = request.query_params
        wanted: Json = dict(body) if isinstance(body, dict) else {}
        if query.get("propagationPolicy"):
            wanted.setdefault("propagationPolicy", query["propagationPolicy"])
        dry = bool(query.getlist("dryRun") or wanted.get("dryRun"))
        api, resource = self._api, target.resource
        if verb == "delete":
            return _json(api.delete(resource, target.namespace, target.name, wanted, dry))
        with api.store.lock:
            found = api.select(
                resource, target.namespace, query.get("labelSelector", ""), query.get("fieldSelector", "")
            )
            for obj in found:
                metadata = obj["metadata"]
                held = metadata.get("namespace", "")
                if api.store.get(resource.key, held, metadata["name"]) is not None:
                    api.delete(resource, held, metadata["name"], wanted, dry)
            version = str(api.store.version)
        listed = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version}
        return _json({**listed, "metadata": {"resourceVersion": version}, "items": found})

    def _part(self, request: Request, target: Target, body: Any) -> Response:
        """Answers for a subresource."""
        api, part, method = self._api, target.subresource, request.method
        known = [name for name, _ in discovery.subresources(target.resource)]
        if part not in known:
            raise statuses.no_such_path()
        if part == "log" and method == "GET":
            return PlainTextResponse(subresources.log(api, target))
        if method == "GET" and part in ("scale", "status"):
            obj = api.get(target.resource, target.namespace, target.name)
            return _json(subresources.scale_of(obj) if part == "scale" else obj)
        options = read_options(request, target)
        if part == "scale" and method in ("PUT", "PATCH"):
            media = request.headers.get("content-type", "").split(";")[0] if method == "PATCH" else ""
            return _json(subresources.write_scale(api, target, media, body, options))
        if part == "eviction" and method == "POST":
            return _json(subresources.evict(api, target, options), 201)
        if part == "token" and method == "POST":
            api.get(target.resource, target.namespace, target.name)
            token = base64.b64encode(target.name.encode()).decode()
            return _json({**body, "status": {"token": token, "expirationTimestamp": api.world.now()}}, 201)
        if part in ("status", "finalize") and method in ("PUT", "PATCH"):
            verb = "update" if method == "PUT" else "patch"
            obj, code = self._write(request, target, verb, body, options)
            return _json(obj, code)
        raise statuses.method_not_allowed()


def _partial(obj: Json) -> Json:
    kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {**kind, "metadata": obj["metadata"]}


def _version_of(token: str, latest: str) -> str:
    """The resource version that a list began with.

    Raises:
        ApiError: 400 for a token that is none of ours.
    """
    if not token:
        return latest
    try:
        version, start = base64.urlsafe_b64decode(token).decode().split(":")
        return str(int(version)) if int(start) >= 0 else latest
    except ValueError:
        raise statuses.bad_request("continue key is not valid") from None


def _page(found: list[Json], limit: str, token: str, version: str) -> tuple[list[Json], Json]:
    """One page of a list, and what its metadata says of the rest."""
    start = int(base64.urlsafe_b64decode(token).decode().split(":")[1]) if token else 0
    size = int(limit) if limit.isdigit() else 0
    if not size or start + size >= len(found):
        return found[start:], {}
    following = base64.urlsafe_b64encode(f"{version}:{start + size}".encode()).decode()
    return found[start : start + size], {
        "continue": following,
        "remainingItemCount": len(found) - start - size,
    }


def _json(body: Json, code: int = 200, media: str = "application/json") -> Response:
    return Response(json.dumps(body, separators=(",", ":")).encode(), code, media_type=media)
