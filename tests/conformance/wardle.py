"""An aggregated API server as a user would write one: `wardle.example.com/v1alpha1`, widgets.

It trusts the certificate of the front proxy and then its headers, serves discovery (aggregated or
plain), OpenAPI, and widgets with get, list, watch and create, in memory.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from other_server import Asked

Json = dict[str, Any]
GROUP, VERSION = "wardle.example.com", "v1alpha1"
BASE = f"/apis/{GROUP}/{VERSION}"
FRONT_PROXY = "front-proxy-client"
_KIND = {"group": GROUP, "version": VERSION, "kind": "Widget"}
_VERBS = ["create", "get", "list", "watch"]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def widget(name: str, namespace: str = "default", revision: int = 1) -> Json:
    return {
        "kind": "Widget",
        "apiVersion": f"{GROUP}/{VERSION}",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "resourceVersion": str(revision),
            "creationTimestamp": "2026-11-24T05:46:00Z",
        },
    }


@dataclass
class Wardle:
    """`plain`: knows no aggregated discovery. `requests`: every one of a user, with its headers."""

    plain: bool = False
    broken: bool = False
    widgets: dict[str, Json] = field(default_factory=dict)
    requests: list[Asked] = field(default_factory=list)
    watchers: list[asyncio.Queue[Json]] = field(default_factory=list)

    async def __call__(self, asked: Asked) -> None:
        if asked.peer != FRONT_PROXY:
            await asked.answer(401, b"who are you")
            return
        if self.broken:
            await asked.answer(500, b"broken")
            return
        if asked.header("X-Remote-User") != "system:kube-aggregator":
            self.requests.append(asked)
        if asked.path == "/apis" and not self.plain and AGGREGATED in asked.header("Accept"):
            await asked.answer(200, json.dumps(self._aggregated()).encode(), AGGREGATED)
        elif asked.path in (BASE, BASE + "/"):
            await asked.answer(200, json.dumps(self._resources()).encode())
        elif asked.path == "/openapi/v2":
            await asked.answer(200, json.dumps(self._openapi()).encode())
        elif asked.path == "/openapi/v3":
            url = f"/openapi/v3{BASE}?hash=1"
            index = {"paths": {BASE[1:]: {"serverRelativeURL": url}}}
            await asked.answer(200, json.dumps(index).encode())
        elif asked.path == f"/openapi/v3{BASE}":
            await asked.answer(200, json.dumps(self._openapi_v3()).encode())
        elif asked.path.startswith(BASE):
            await self._widgets(asked)
        else:
            await asked.answer(404, b"404 page not found\n", "text/plain")

    async def _widgets(self, asked: Asked) -> None:
        parts = asked.path.removeprefix(BASE).strip("/").split("/")
        name = parts[3] if len(parts) > 3 else ""
        if asked.method == "POST":
            made = {**widget("", revision=len(self.widgets) + 2), **json.loads(asked.body)}
            made["metadata"] = {**widget("")["metadata"], **made["metadata"]}
            self.widgets[made["metadata"]["name"]] = made
            for watcher in self.watchers:
                watcher.put_nowait({"type": "ADDED", "object": made})
            await asked.answer(201, json.dumps(made).encode())
        elif name and name in self.widgets:
            await asked.answer(200, json.dumps(self.widgets[name]).encode())
        elif name:
            status = {
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                "reason": "NotFound", "message": f'widgets.{GROUP} "{name}" not found',
            }  # fmt: skip
            await asked.answer(404, json.dumps(status).encode())
        elif "watch=" in asked.target:
            await self._watch(asked)
        else:
            found = {
                "kind": "WidgetList",
                "apiVersion": f"{GROUP}/{VERSION}",
                "metadata": {"resourceVersion": "1"},
                "items": list(self.widgets.values()),
            }
            await asked.answer(200, json.dumps(found).encode())

    async def _watch(self, asked: Asked) -> None:
        events: asyncio.Queue[Json] = asyncio.Queue()
        self.watchers.append(events)
        await asked.begin_chunks()
        while True:
            await asked.chunk(json.dumps(await events.get()).encode() + b"\n")

    def _resources(self) -> Json:
        entry = {
            "name": "widgets",
            "singularName": "widget",
            "namespaced": True,
            "kind": "Widget",
            "verbs": _VERBS,
            "shortNames": ["wg"],
        }
        below = {"name": "widgets/spin", "singularName": "", "namespaced": True, "kind": "Spin",
                 "verbs": ["create"]}  # fmt: skip
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{GROUP}/{VERSION}",
            "resources": [entry, below],
        }

    def _aggregated(self) -> Json:
        resource = {
            "resource": "widgets",
            "responseKind": _KIND,
            "scope": "Namespaced",
            "singularResource": "widget",
            "verbs": _VERBS,
            "shortNames": ["wg"],
        }
        versions = [{"version": VERSION, "resources": [resource], "freshness": "Current"}]
        stranger = {**resource, "resource": "pods"}
        foreign = [{"version": "v1", "resources": [stranger], "freshness": "Current"}]
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": "apidiscovery.k8s.io/v2",
            "metadata": {},
            "items": [
                {"metadata": {"name": GROUP}, "versions": versions},
                {"metadata": {"name": "apps"}, "versions": foreign},
            ],
        }

    def _openapi(self) -> Json:
        ref = {"$ref": "#/definitions/com.example.wardle.v1alpha1.Widget"}
        return {
            "swagger": "2.0",
            "info": {"title": "wardle", "version": "1"},
            "paths": {
                f"{BASE}/namespaces/{{namespace}}/widgets": {
                    "get": {"responses": {"200": {"description": "OK", "schema": ref}}}
                },
                "/api/v1/pods": {"get": {"description": "not ours to say"}},
            },
            "definitions": {
                "com.example.wardle.v1alpha1.Widget": {
                    "type": "object",
                    "x-kubernetes-group-version-kind": [_KIND],
                },
                "unused": {"type": "object"},
            },
        }

    def _openapi_v3(self) -> Json:
        return {
            "openapi": "3.0.0",
            "info": {"title": "wardle", "version": "1"},
            "paths": {},
            "components": {"schemas": {}},
        }
