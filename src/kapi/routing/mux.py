"""path → Handler: first what the request info calls a resource, by the resource table; then exact
paths; then prefixes.

Resource lookups read the live `ResourceTable`, so a kind is served from the moment it is added.
Prefixes are for what serves a whole subtree (aggregated groups, health checks). Whatever is left
is a 404."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from kapi import errors
from kapi.filters.request_info import UnclearPath, parse
from kapi.handlers.target import Target
from kapi.messages import Handler, Query, Request, Response
from kapi.registry.resource import ResourceTable, ResourceType, Version

ResourceHandler = Callable[[Request, Target], Awaitable[Response]]
# What a subresource has of its own: verb → handler. The key is "" for any resource, or
# group/plural.
SubresourceHandlers = Mapping[tuple[str, str], Mapping[str, ResourceHandler]]

DEPRECATED = "k8s.io/deprecated"  # an audit annotation
_NEVER = frozenset({"HEAD", "OPTIONS"})  # no route of a resource knows these
_TUNNELS = frozenset({"exec", "attach", "portforward", "proxy"})
_ANY_METHOD = frozenset({"proxy"})  # what is asked there is for somebody else
_COLLECTION_VERBS = frozenset({"list", "watch", "create", "deletecollection"})


class Elsewhere(Protocol):
    """The servers of group versions that are not ours."""

    def at(self, path: str) -> Any: ...

    async def handle(self, request: Request, backend: Any) -> Response: ...


class Mux:
    def __init__(
        self,
        table: ResourceTable,
        verbs: Mapping[str, ResourceHandler],
        subresources: SubresourceHandlers,
        exact: Mapping[str, Handler],
        prefixes: Mapping[str, Handler],
        fallback: Handler,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """`verbs`: handlers of objects, which serve subresources of the same kind (status), too.

        `subresources`: (plural or "", subresource) → verb → handler, for those with a life of
        their own.
        With an empty subresource: a resource that is not stored and does not only answer a POST.
        `prefixes` end in a slash; the longest that fits wins. `elsewhere`: group versions of other
        servers, which come before our own.
        """
        self._table = table
        self._verbs = verbs
        self._subresources = subresources
        self._exact = exact
        self._prefixes = sorted(prefixes.items(), key=lambda item: -len(item[0]))
        self._fallback = fallback
        self._elsewhere = elsewhere

    async def __call__(self, request: Request) -> Response:
        if self._elsewhere is not None and request.path.startswith("/apis/"):
            backend = self._elsewhere.at(request.path)
            if backend is not None:
                return await self._elsewhere.handle(request, backend)
        info = request.info
        if info.is_resource and info.resource:
            resource = self._table.get(info.group, info.resource)
            version = resource.versions.get(info.version) if resource is not None else None
            if resource is not None and version is not None:
                if request.method in _NEVER and info.subresource not in _ANY_METHOD:
                    raise errors.method_not_allowed()
                return await self._resource(request, resource, version)
        handler = self._exact.get(request.path)
        if handler is None:
            handler = next(
                (h for prefix, h in self._prefixes if request.path.startswith(prefix)),
                self._fallback,
            )
        return await handler(request)

    def tunnels(self, path: str) -> bool:
        """Whether a WebSocket at this path is another server's to speak."""
        if self._elsewhere is not None and self._elsewhere.at(path) is not None:
            return True
        try:
            info = parse("GET", path, Query(""))
        except UnclearPath:
            return False
        return info.is_resource and not info.group and info.subresource in _TUNNELS

    async def _resource(
        self, request: Request, resource: ResourceType, version: Version
    ) -> Response:
        info = request.info
        self._check_place(request, resource)
        if len(info.parts) > 1 and not resource.stored_in_store and "get" not in version.verbs:
            raise errors.path_not_found()  # what is only answered has no names
        namespace = info.namespace if resource.namespaced else ""
        if info.subresource:
            return await self._subresource(request, resource, version, namespace)
        verb = info.verb
        if verb == "watch" and request.method != "GET":  # the old paths have their verb in them
            raise errors.method_not_allowed()
        if verb not in version.verbs and not (verb == "watch" and "list" in version.verbs):
            raise errors.method_not_allowed()
        if version.deprecation:
            request.warn(version.deprecation)
            request.audit.annotate(DEPRECATED, "true")
        target = Target(resource, version, namespace, info.name)
        if not resource.stored_in_store:
            own = self._subresources.get((resource.plural, ""), self._verbs)
            return await own.get(verb, self._verbs[verb])(request, target)
        return await self._verbs[verb](request, target)

    async def _subresource(
        self, request: Request, resource: ResourceType, version: Version, namespace: str
    ) -> Response:
        info = request.info
        subresource = version.subresources.get(info.subresource)
        if subresource is None or (len(info.parts) > 3 and subresource.name != "proxy"):
            raise errors.path_not_found()
        own = self._subresources.get((resource.plural, subresource.name))
        if own is None:
            own = self._subresources.get(("", subresource.name))
        handlers = self._verbs if own is None else own
        verb = info.verb if info.subresource not in _ANY_METHOD else info.verb or "get"
        if verb not in subresource.verbs or verb not in handlers:
            raise errors.method_not_allowed()
        if version.deprecation:
            request.warn(version.deprecation)
            request.audit.annotate(DEPRECATED, "true")
        target = Target(resource, version, namespace, info.name, subresource)
        return await handlers[verb](request, target)

    def _check_place(self, request: Request, resource: ResourceType) -> None:
        """A namespace where there is one, none where there is none; a name where the verb wants
        one.
        """
        info = request.info
        named = len(info.parts) > 1  # in the path: a field selector names objects, too
        if resource.namespaced:
            if not info.namespace and named:
                raise errors.path_not_found()
            if not info.namespace and info.verb not in ("list", "watch"):
                raise errors.method_not_allowed()
        elif info.namespace and (resource.plural != "namespaces" or info.namespace != info.name):
            raise errors.path_not_found()
        if len(info.parts) > 2 and not info.subresource:
            raise errors.path_not_found()
        if not named and info.verb not in _COLLECTION_VERBS:
            raise errors.method_not_allowed()
        if named and not info.subresource and request.method == "POST":
            raise errors.method_not_allowed()
        if named:
            _check_name(info.name)


def _check_name(name: str) -> None:
    """Raises ApiError 400 for a name that is no segment of a path."""
    if name in (".", ".."):
        words = f"may not be '{name}'"
    elif "%" in name:
        words = "may not contain '%'"
    else:
        return
    raise errors.bad_request(f"Name parameter invalid: {errors.quote(name)}: {words}")
