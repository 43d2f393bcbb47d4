"""PodNodeSelector: the pods of a namespace run on the nodes that the namespace names.

By an annotation of the namespace, by the configuration, which may also say what pods of a namespace
may ask for at all.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#podnodeselector
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kapi import errors
from kapi.admission.configuration import ConfigurationError
from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation, refused

Json = dict[str, Any]
Live = Callable[[str, str, str], Awaitable[Json | None]]
ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"
CLUSTER_DEFAULT = "clusterDefaultNodeSelector"
_KEY = "podNodeSelectorPluginConfig"


def configure(part: Any) -> dict[str, str]:
    """Selectors by namespace. Raises ConfigurationError."""
    found = (part or {}).get(_KEY) if isinstance(part or {}, dict) else part
    if not isinstance(found or {}, dict) or not all(
        isinstance(v, str) for v in (found or {}).values()
    ):
        raise ConfigurationError(f"{_KEY}: must be an object of texts")
    for name, text in (found or {}).items():
        try:
            selector_map(text)
        except ValueError as error:
            raise ConfigurationError(f"{_KEY}[{name}]: {error}") from error
    return dict(found or {})


def selector_map(text: str) -> dict[str, str]:
    """`a=b, c=d` as a mapping. Raises ValueError."""
    out: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        key, equals, value = pair.partition("=")
        if not equals or "=" in value or not key.strip():
            raise ValueError(f"invalid selector: {pair}")
        out[key.strip()] = value.strip()
    return out


class PodNodeSelector:
    name = "PodNodeSelector"

    def __init__(self, namespaces: Lister, live: Live, configured: Mapping[str, str]) -> None:
        self._namespaces = namespaces
        self._live = live
        self._configured = configured

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource, subresource) == ("CREATE", "", "pods", "")

    async def admit(self, attributes: Attributes) -> None:
        wanted = await self._of_namespace(attributes)
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        own = spec.get("nodeSelector") or {}
        _check_conflict(attributes, wanted, own)
        merged = {**wanted, **own}
        if merged:
            spec["nodeSelector"] = {key: merged[key] for key in sorted(merged)}

    async def validate(self, attributes: Attributes) -> None:
        wanted = await self._of_namespace(attributes)
        own = ((attributes.object or {}).get("spec") or {}).get("nodeSelector") or {}
        _check_conflict(attributes, wanted, own)
        allowed = selector_map(self._configured.get(attributes.namespace, ""))
        if allowed and any(allowed.get(key) != value for key, value in own.items()):
            text = "pod node label selector labels conflict with its namespace whitelist"
            raise refused(attributes, text)

    async def _of_namespace(self, a: Attributes) -> dict[str, str]:
        namespace = self._namespaces.get("", a.namespace)
        if namespace is None:
            namespace = await self._live("namespaces", "", a.namespace)
        if namespace is None:
            raise errors.not_found("", "namespaces", a.namespace)
        annotations = namespace["metadata"].get("annotations") or {}
        text = annotations.get(ANNOTATION)
        if text is None:
            text = self._configured.get(CLUSTER_DEFAULT, "")
        try:
            return selector_map(text)
        except ValueError as error:
            raise refused(a, str(error)) from error


def _check_conflict(a: Attributes, wanted: Mapping[str, str], own: Mapping[str, str]) -> None:
    if any(own.get(key, value) != value for key, value in wanted.items()):
        text = "pod node label selector conflicts with its namespace node label selector"
        raise refused(a, text)
