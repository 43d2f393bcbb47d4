"""ResourceQuota: a namespace never holds more than its quotas allow, however many create at once.

The last of the plugins that may refuse: what it charges is meant to be written. The new usage goes
into the quota's status by compare-and-swap; who loses the race looks again. Usage falls only when a
controller counts anew: so it may be too high for a while (a write failed after it was charged, an
object was deleted), never too low. https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from kapi import errors
from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation, refused
from kapi.admission.quotas.usage import (
    Usage,
    concerned,
    counts_updates,
    in_scope,
    unspecified,
    usage,
)
from kapi.errors import ApiError
from kapi.schema import quantity

Json = dict[str, Any]
Live = Callable[[str, str, str], Awaitable[Json | None]]
# Writes the status of a quota that carries its resourceVersion; raises ApiError 409 if it changed
# meanwhile.
WriteStatus = Callable[[str, Json], Awaitable[None]]

ATTEMPTS_MAX = 32  # lost races in a row, against controllers and other servers
_IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})


class ResourceQuotaPlugin:
    name = "ResourceQuota"

    def __init__(self, quotas: Lister, live: Live, write_status: WriteStatus) -> None:
        self._quotas = quotas
        self._live = live
        self._write_status = write_status
        # One write after the other in a namespace with quotas: they would only lose races.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        if operation == "UPDATE" and (group, resource, subresource) == ("", "pods", "resize"):
            return True
        if subresource or (group, resource) in _IGNORED:
            return False
        return operation == "CREATE" or (operation == "UPDATE" and counts_updates(group, resource))

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        if not a.namespace or a.object is None:
            return
        quotas = [
            cached["metadata"]["name"]
            for cached in self._quotas.list(a.namespace)
            if in_scope(cached, a.resource, a.object)
        ]
        if not quotas:
            return
        turn = self._turns.setdefault(a.namespace, asyncio.Lock())
        async with turn:
            await self._charge(a, quotas)

    async def _charge(self, a: Attributes, quotas: list[str]) -> None:
        charges: list[tuple[Json, Json]] = []  # all quotas must agree before one is charged
        for name in quotas:
            charge = await self._look(a, name)
            if charge is not None:
                charges.append(charge)
        if not a.dry_run:
            for charge in charges:
                await self._write(a, *charge)

    async def _look(self, a: Attributes, name: str) -> tuple[Json, Json] | None:
        """A quota as it is stored, and its usage with the object in it; None if nothing changes."""
        quota = await self._live("resourcequotas", a.namespace, name)
        used = None if quota is None else self._new_usage(a, quota)
        return None if quota is None or used is None else (quota, used)

    async def _write(self, a: Attributes, quota: Json, used: Json) -> None:
        name = quota["metadata"]["name"]
        for _ in range(ATTEMPTS_MAX):
            status = {**(quota.get("status") or {}), "used": used}
            try:
                await self._write_status(a.namespace, {**quota, "status": status})
            except ApiError as error:
                if error.code != 409:
                    raise
                again = await self._look(a, name)
                if again is None:
                    return
                quota, used = again
            else:
                return
        raise errors.conflict("", "resourcequotas", name, errors.OBJECT_MODIFIED)

    def _new_usage(self, a: Attributes, quota: Json) -> Json | None:
        """The usage with the object in it; None if it uses nothing of this quota. Raises ApiError
        403.
        """
        name = quota["metadata"]["name"]
        status = quota.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        assert a.object is not None
        if a.operation == "CREATE" and a.resource == "pods" and not a.group:
            missing = unspecified(hard, a.object)
            if missing:
                raise self._refused(a, f"failed quota: {name}: {missing}")
        restricted = concerned(a.group, a.resource, hard)
        if not used.keys() >= set(restricted):
            text = f"status unknown for quota: {name}, resources: {','.join(restricted)}"
            raise self._refused(a, text)
        wanted = _limited(usage(a.group, a.resource, a.object), restricted)
        if a.operation == "UPDATE" and a.old is not None:
            wanted = _difference(wanted, _limited(usage(a.group, a.resource, a.old), restricted))
        wanted = {k: v for k, v in wanted.items() if v != "0"}
        if not wanted:
            return None
        total = {k: _plus(used[k], v) for k, v in wanted.items()}
        over = sorted(k for k in wanted if quantity.value(total[k]) > quantity.value(hard[k]))
        if over:
            text = (
                f"exceeded quota: {name}, requested: {_listed(wanted, over)}, "
                f"used: {_listed(used, over)}, limited: {_listed(hard, over)}"
            )
            raise self._refused(a, text)
        merged = {**used, **total}
        return {k: merged[k] for k in sorted(merged)}

    def _refused(self, a: Attributes, text: str) -> ApiError:
        return refused(a, text)


def _limited(amounts: Usage, names: Collection[str]) -> Usage:
    return {k: v for k, v in amounts.items() if k in names}


def _difference(new: Usage, old: Usage) -> Usage:
    """What a change uses more. It gives nothing back: it may yet fail, or be tried again, and what
    was given back twice would let others take too much.
    """
    more = {k: _plus(v, old.get(k, "0"), sign=-1) for k, v in sorted(new.items())}
    return {k: v if quantity.value(v) > 0 else "0" for k, v in more.items()}


def _plus(a: str, b: str, sign: int = 1) -> str:
    first, family = quantity.parse(a)
    second, other = quantity.parse(b)
    return quantity.spell(first + sign * second, other if a == "0" else family)


def _listed(amounts: Mapping[str, str], names: Iterable[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names)
