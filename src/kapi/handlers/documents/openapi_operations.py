"""OpenAPI v3 operations of a resource: which paths and methods it has, under which ids, with what
parameters.

Pure: a ResourceType and one of its versions in, path items out. Client generators and kubectl read
these, so ids and parameters are the real server's; `openapi_documents.py` puts them together.
Custom kinds differ from built-in ones in media types and a few parameters, as on the real server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kapi.codec.negotiate import JSON, YAML, Offer
from kapi.handlers.documents import openapi_parameters as query
from kapi.registry.resource import GroupVersionKind, ResourceType, Subresource, Version
from kapi.schema.openapi import V3_REF

Json = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
STATUS, DELETE_OPTIONS, PATCH = (_META + name for name in ("Status", "DeleteOptions", "Patch"))
WATCH_EVENT = _META + "WatchEvent"

CUSTOM_TYPES = (JSON, YAML)
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")  # order in a path item

# -- names ----------------------------------------------------------------------------------------


def group_tag(group: str) -> str:
    """`core`, `apps`, `rbacAuthorization`, `argoprojIo`."""
    first, *rest = re.split("[.-]", group.removesuffix(".k8s.io") or "core")
    return first + "".join(part.capitalize() for part in rest)


def group_id(group: str, version: str = "") -> str:
    """`CoreV1`, `RbacAuthorizationV1beta1`: the middle of operation ids."""
    return "".join(_capital(part) for part in (group_tag(group), version))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def types_of(offer: Offer) -> tuple[str, ...]:
    """The media types of built-in kinds, as documents list them."""
    return tuple(sorted(offer.media_types))


# -- the paths of a resource ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Names:
    """The types that the operations of a resource speak of."""

    kind: str
    list: str
    subresources: Mapping[str, str]  # subresource → its type


class Paths:
    """Builds the path items of one resource in one version."""

    def __init__(
        self, resource: ResourceType, version: Version, names: Names, offer: Offer
    ) -> None:
        self._offer = offer
        self._resource = resource
        self._version = version
        self._names = names
        self._custom = resource.custom
        self._types = CUSTOM_TYPES if resource.custom else types_of(offer)
        gvk = version.kind
        self._root = f"/apis/{gvk.group}/{gvk.version}" if gvk.group else f"/api/{gvk.version}"
        self._tag = f"{group_tag(gvk.group)}_{gvk.version}"
        self._group = group_id(gvk.group, gvk.version)
        self._kind = gvk.kind
        self._scope = "Namespaced" if resource.namespaced else ""
        self._out: dict[str, Json] = {}

    def build(self) -> dict[str, Json]:
        """Path → path item."""
        plural = self._resource.plural
        place = "/namespaces/{namespace}" if self._resource.namespaced else ""
        collection = f"{self._root}{place}/{plural}"
        self._add(collection, self._collection())
        if self._resource.namespaced and "list" in self._version.verbs:
            everywhere = self._list(f"{self._kind}ForAllNamespaces")
            self._add(f"{self._root}/{plural}", {"get": everywhere})
        single = f"{collection}/{{name}}"
        self._add(single, self._single())
        for subresource in self._version.subresources.values():
            self._subresource(single, subresource)
        if "watch" in self._version.verbs and not self._custom:
            self._watches(plural, place)
        return self._out

    def _add(self, path: str, operations: Mapping[str, Json], *extra: Json) -> None:
        """A path item; parameters that all operations share move up to it."""
        if not operations:
            return
        by_method = {
            m: {p["name"]: p for p in op.get("parameters", ())} for m, op in operations.items()
        }
        shared = set.intersection(*(set(params) for params in by_method.values()))
        any_of_them = next(iter(by_method.values()))
        common = [*extra, *(any_of_them[name] for name in shared)]
        common += self._places(path)
        item: Json = {}
        for method in _METHODS:
            if method in operations:
                op = dict(operations[method])
                params = [
                    by_method[method][n] for n in sorted(by_method[method]) if n not in shared
                ]
                op["parameters"] = params
                item[method] = _ordered_operation(op)
        if common:
            item["parameters"] = sorted(common, key=lambda p: (p["name"], p["in"]))
        self._out[path] = item

    def _places(self, path: str) -> list[Json]:
        """The parameters in a path."""
        out = []
        if "{name}" in path:
            named = self._kind
            sub = path.partition("{name}/")[2].partition("/")[0]
            if sub and sub in self._version.subresources:
                named = self._version.subresources[sub].kind.kind
            out.append(query.in_path("name", f"name of the {named}"))
        if "{namespace}" in path:
            out.append(
                query.in_path(
                    "namespace", "object name and auth scope, such as for teams and projects"
                )
            )
        if "{path}" in path:
            out.append(query.in_path("path", "path to the resource"))
        return out

    # -- operations ---------------------------------------------------------------------------

    def _operation(
        self,
        description: str,
        operation_id: str,
        action: str,
        *,
        parameters: Mapping[str, str],
        responses: Json,
        body: Json | None = None,
        kind: GroupVersionKind | None = None,
    ) -> Json:
        gvk = kind or self._version.kind
        params = query.in_query({**parameters, "pretty": "string"})
        if action == "connect":
            params = query.in_query(parameters)
        return {
            "tags": [self._tag],
            "description": description,
            "operationId": operation_id,
            "parameters": params,
            **({"requestBody": body} if body else {}),
            "responses": {**responses, "401": {"description": "Unauthorized"}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {
                "group": gvk.group,
                "version": gvk.version,
                "kind": gvk.kind,
            },
        }

    def _answers(self, type_name: str, *codes: int, types: Iterable[str] = ()) -> Json:
        words = {200: "OK", 201: "Created", 202: "Accepted"}
        schema = {"$ref": V3_REF + type_name}
        content = {t: {"schema": schema} for t in types or self._types}
        return {str(c): {"description": words[c], "content": content} for c in codes}

    def _body(self, type_name: str, *, required: bool = True) -> Json:
        schema = {"schema": {"$ref": V3_REF + type_name}}
        types = self._types if self._custom else ("*/*",)
        body: Json = {"content": dict.fromkeys(types, schema)}
        return {**body, "required": True} if required else body

    def _list(self, id_end: str) -> Json:
        streams = () if self._custom else self._offer.streams
        word = "list" if self._custom else "list or watch"
        return self._operation(
            f"{word} objects of kind {self._kind}",
            f"list{self._group}{id_end}",
            "list",
            parameters=query.LIST,
            responses=self._answers(self._names.list, 200, types=sorted((*self._types, *streams))),
        )

    def _collection(self) -> dict[str, Json]:
        verbs, kind = self._version.verbs, self._kind
        out: dict[str, Json] = {}
        if "list" in verbs:
            out["get"] = self._list(f"{self._scope}{kind}")
        if "create" in verbs:
            article = "an" if kind[0] in "AEIOU" else "a"
            out["post"] = self._operation(
                f"create {article} {kind}",
                f"create{self._group}{self._scope}{kind}",
                "post",
                parameters=query.WRITE,
                body=self._body(self._names.kind),
                responses=self._answers(self._names.kind, 200, 201, 202),
            )
        if "deletecollection" in verbs:
            body = None if self._custom else self._body(DELETE_OPTIONS, required=False)
            out["delete"] = self._operation(
                f"delete collection of {kind}",
                f"delete{self._group}Collection{self._scope}{kind}",
                "deletecollection",
                parameters=query.LIST if self._custom else {**query.LIST_ONLY, **query.DELETE},
                body=body,
                responses=self._answers(STATUS, 200),
            )
        return out

    def _single(self) -> dict[str, Json]:
        verbs, kind = self._version.verbs, self._kind
        out = self._object_operations(verbs, "", self._names.kind, self._version.kind)
        if "delete" in verbs:
            article = "an" if kind[0] in "AEIOU" else "a"
            gone = self._names.kind if self._resource.returns_deleted else STATUS
            out["delete"] = self._operation(
                f"delete {article} {kind}",
                f"delete{self._group}{self._scope}{kind}",
                "delete",
                parameters=query.DELETE,
                body=self._body(DELETE_OPTIONS, required=False),
                responses=self._answers(gone, 200, 202),
            )
        return out

    def _object_operations(
        self, verbs: Iterable[str], sub: str, type_name: str, kind: GroupVersionKind
    ) -> dict[str, Json]:
        """get, put and patch of an object or of a subresource that is one."""
        of = f"{sub} of the specified {self._kind}" if sub else f"the specified {self._kind}"
        end = f"{self._group}{self._scope}{self._kind}{_capital(sub)}"
        changed = (200,) if self._custom else (200, 201)
        out: dict[str, Json] = {}
        if "get" in verbs:
            parameters = {"resourceVersion": "string"} if self._custom else {}
            out["get"] = self._operation(
                f"read {of}",
                f"read{end}",
                "get",
                parameters=parameters,
                responses=self._answers(type_name, 200),
                kind=kind,
            )
        if "update" in verbs:
            out["put"] = self._operation(
                f"replace {of}",
                f"replace{end}",
                "put",
                parameters=query.WRITE,
                body=self._body(type_name),
                responses=self._answers(type_name, 200, 201),
                kind=kind,
            )
        if "patch" in verbs:
            types = [
                t for t in sorted(self._offer.patches) if not (self._custom and "strategic" in t)
            ]
            schema = {"schema": {"$ref": V3_REF + PATCH}}
            out["patch"] = self._operation(
                f"partially update {of}",
                f"patch{end}",
                "patch",
                parameters=query.PATCH,
                body={"content": dict.fromkeys(types, schema), "required": True},
                responses=self._answers(type_name, *changed),
                kind=kind,
            )
        return out

    # -- subresources -------------------------------------------------------------------------

    def _subresource(self, single: str, subresource: Subresource) -> None:
        name = subresource.name
        path = f"{single}/{name}"
        if name in query.CONNECT:
            self._connect(path, subresource)
            return
        type_name = self._names.subresources[name]
        operations = self._object_operations(subresource.verbs, name, type_name, subresource.kind)
        if "create" in subresource.verbs:
            article = "an" if self._kind[0] in "AEIOU" else "a"
            operations["post"] = self._operation(
                f"create {name} of {article} {self._kind}",
                f"create{self._group}{self._scope}{self._kind}{_capital(name)}",
                "post",
                parameters=query.WRITE,
                body=self._body(type_name),
                responses=self._answers(type_name, 200, 201, 202),
                kind=subresource.kind,
            )
        if name == "log":
            text = {t: {"schema": {"type": "string"}} for t in sorted(("text/plain", *self._types))}
            operations["get"]["responses"]["200"]["content"] = text
            operations["get"]["parameters"] += query.in_query(query.LOG)
        self._add(path, operations)

    def _connect(self, path: str, subresource: Subresource) -> None:
        name = subresource.name
        proxied = name == "proxy"
        methods = ("get", "put", "post", "delete", "options", "head", "patch")
        for suffix, word in (("", ""), ("/{path}", "WithPath")):
            operations = {}
            for method in methods if proxied else ("get", "post"):
                end = f"{self._scope}{self._kind}{_capital(name)}{word}"
                operations[method] = self._operation(
                    f"connect {method.upper()} requests to {name} of {self._kind}",
                    f"connect{self._group}{method.capitalize()}{end}",
                    "connect",
                    parameters=query.CONNECT[name],
                    responses={
                        "200": {
                            "description": "OK",
                            "content": {"*/*": {"schema": {"type": "string"}}},
                        }
                    },
                    kind=subresource.kind,
                )
            self._add(path + suffix, operations)
            if not proxied:
                return

    # -- the old watch paths ------------------------------------------------------------------

    def _watches(self, plural: str, place: str) -> None:
        kind, scope = self._kind, self._scope
        root = f"{self._root}/watch"
        many = (
            f"watch individual changes to a list of {kind}. deprecated: use the 'watch' parameter "
            "with a list operation instead."
        )
        one = (
            f"watch changes to an object of kind {kind}. deprecated: use the 'watch' parameter "
            f"with "
            "a list operation instead, filtered to a single item with the 'fieldSelector' "
            "parameter."
        )
        paths = [
            (f"{root}{place}/{plural}", many, f"{scope}{kind}List", "watchlist"),
            (f"{root}{place}/{plural}/{{name}}", one, f"{scope}{kind}", "watch"),
        ]
        if self._resource.namespaced:
            end = f"{kind}ListForAllNamespaces"
            paths.append((f"{root}/{plural}", many, end, "watchlist"))
        streams = sorted((*self._types, *self._offer.streams))
        for path, description, end, action in paths:
            operation = self._operation(
                description,
                f"watch{self._group}{end}",
                action,
                parameters=query.LIST,
                responses=self._answers(WATCH_EVENT, 200, types=streams),
            )
            self._add(path, {"get": operation})


_OPERATION_KEYS = ("tags", "description", "operationId", "parameters", "requestBody", "responses")


def _ordered_operation(operation: Json) -> Json:
    extensions = [k for k in operation if k.startswith("x-")]
    return {
        k: operation[k]
        for k in (*_OPERATION_KEYS, *extensions)
        if operation.get(k) not in (None, [])
    }
