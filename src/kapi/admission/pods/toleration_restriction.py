"""PodTolerationRestriction: a namespace gives its pods tolerations, and says which they may have.

By annotations of the namespace, else by the configuration.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#podtolerationrestriction
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from kapi import errors
from kapi.admission.configuration import ConfigurationError, typed
from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, refused
from kapi.admission.pods.written_pods import OfWrittenPods

Json = dict[str, Any]
Live = Callable[[str, str, str], Awaitable[Json | None]]
DEFAULTS = "scheduler.alpha.kubernetes.io/defaultTolerations"
ALLOWED = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
_VERSION = "podtolerationrestriction.admission.k8s.io/v1alpha1"
_MEMORY_PRESSURE = {
    "key": "node.kubernetes.io/memory-pressure",
    "operator": "Exists",
    "effect": "NoSchedule",
}


@dataclass(frozen=True, slots=True)
class Settings:
    defaults: tuple[Json, ...] = ()
    allowed: tuple[Json, ...] = ()


def configure(part: Any) -> Settings:
    """Raises ConfigurationError."""
    found = typed(part, "Configuration", (_VERSION,)) if part is not None else {}
    for field in ("default", "whitelist"):
        value = found.get(field) or []
        if not isinstance(value, list) or not all(isinstance(t, dict) for t in value):
            raise ConfigurationError(f"{field}: must be a list of tolerations")
    return Settings(tuple(found.get("default") or ()), tuple(found.get("whitelist") or ()))


class PodTolerationRestriction(OfWrittenPods):
    name = "PodTolerationRestriction"

    def __init__(self, namespaces: Lister, live: Live, settings: Settings) -> None:
        self._namespaces = namespaces
        self._live = live
        self._settings = settings

    async def admit(self, attributes: Attributes) -> None:
        a = attributes
        assert a.object is not None
        spec = a.object.setdefault("spec", {})
        own = spec.get("tolerations") or []
        merged = own
        if a.operation == "CREATE":
            given = await self._of_namespace(a, DEFAULTS)
            if given is None:
                given = list(self._settings.defaults)
            merged = merge(given, own) if own and given else (given or own)
        if _has_resources(spec):
            merged = merge(merged, [_MEMORY_PRESSURE])
        if merged and merged != own:
            spec["tolerations"] = merged

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        own = ((a.object or {}).get("spec") or {}).get("tolerations") or []
        if not own:
            return
        allowed = await self._of_namespace(a, ALLOWED)
        if allowed is None:
            allowed = list(self._settings.allowed)
        if allowed and not all(any(covers(w, t) for w in allowed) for t in own):
            text = (
                "pod tolerations (possibly merged with namespace default tolerations) conflict "
                "with its namespace whitelist"
            )
            raise refused(a, text)

    async def _of_namespace(self, a: Attributes, annotation: str) -> list[Json] | None:
        """Tolerations in an annotation; None: it says nothing."""
        namespace = self._namespaces.get("", a.namespace)
        if namespace is None:
            namespace = await self._live("namespaces", "", a.namespace)
        if namespace is None:
            raise errors.not_found("", "namespaces", a.namespace)
        text = (namespace["metadata"].get("annotations") or {}).get(annotation)
        if text is None:
            return None
        try:
            found = orjson.loads(text) if text else []
        except orjson.JSONDecodeError as error:
            raise refused(a, f"annotation {annotation}: {error}") from error
        if not isinstance(found, list) or not all(isinstance(t, dict) for t in found):
            raise refused(a, f"annotation {annotation}: must be a list of tolerations")
        return found


def merge(first: list[Json], second: list[Json]) -> list[Json]:
    """Both, without those that another one covers; of equal ones the first."""
    every, out = [*first, *second], list[Json]()
    for index, toleration in enumerate(every):
        later = every[index + 1 :]
        if any(covers(kept, toleration) for kept in out):
            continue
        if any(other != toleration and covers(other, toleration) for other in later):
            continue
        out.append(toleration)
    return out


def covers(wide: Json, narrow: Json) -> bool:
    """Whether one toleration tolerates all that the other does."""
    if wide == narrow:
        return True
    operator = wide.get("operator") or "Equal"
    any_key = not wide.get("key") and operator == "Exists"
    if narrow.get("key", "") != wide.get("key", "") and not any_key:
        return False
    effect = wide.get("effect", "")
    if effect and narrow.get("effect", "") != effect:
        return False
    seconds = wide.get("tolerationSeconds")
    if effect == "NoExecute" and seconds is not None:
        theirs = narrow.get("tolerationSeconds")
        if theirs is None or theirs > seconds:
            return False
    if operator == "Exists":
        return True
    same = (narrow.get("operator") or "Equal") == "Equal"
    return operator == "Equal" and same and narrow.get("value", "") == wide.get("value", "")


def _has_resources(spec: Json) -> bool:
    """Whether the pod asks for cpu or memory at all: its quality of service is not BestEffort."""
    parts = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ()), spec]
    return any(
        amounts.get(name)
        for part in parts
        for amounts in ((part.get("resources") or {}).get(f) or {} for f in ("requests", "limits"))
        for name in ("cpu", "memory")
    )
