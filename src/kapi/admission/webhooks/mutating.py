"""MutatingAdmissionWebhook: webhooks that may change an object, one after the other.

Each sees what those before it made of the object. Where one changes it after an earlier one that
wants to know (reinvocationPolicy IfNeeded), all plugins are asked a second time, and of the
webhooks those that want to.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from kapi import errors
from kapi.admission.plugin import Attributes, Operation
from kapi.admission.requests.review import JSON_PATCH, Verdict
from kapi.admission.requests.rules import PatchFailed, Place
from kapi.admission.webhooks.calls import Caller, CallFailed, View
from kapi.admission.webhooks.hooks import Hook
from kapi.codec import json_format
from kapi.codec.json_format import JsonSyntaxError
from kapi.errors import quote

Json = dict[str, Any]
NAME = "MutatingAdmissionWebhook"
_MUTATION = "mutation.webhook.admission.k8s.io/"
_PATCH = "patch.webhook.admission.k8s.io/"


@dataclass(slots=True)
class _Memory:
    """From one round to the next."""

    output: bytes = b""  # the object as this plugin left it
    invoked: set[str] = field(default_factory=set)  # asked, and to be asked again if need be
    again: set[str] = field(default_factory=set)  # to be asked again

    def require(self) -> None:
        """Those that were asked so far must see the object once more."""
        self.again |= self.invoked
        self.invoked = set()


class MutatingAdmissionWebhook:
    name = NAME
    live = True

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return bool(self._caller.source.hooks(operation, group, resource, subresource))

    async def admit(self, attributes: Attributes) -> None:
        a = attributes
        rounds = a.rounds()
        memory: _Memory = rounds.notes.setdefault(NAME, _Memory())
        if rounds.again and memory.output != _text(a.object):
            memory.require()
        own = self._caller.kinds.place(a)
        view = View(self._caller.kinds, a, own)
        try:
            for hook in self._caller.source.hooks(a.operation, a.group, a.resource, a.subresource):
                await self._ask(hook, a, own, view, memory)
        finally:
            memory.output = _text(a.object)

    async def _ask(
        self, hook: Hook, a: Attributes, own: Place, view: View, memory: _Memory
    ) -> None:
        rounds = a.rounds()
        place = await self._caller.wanted(hook, a, own, view)
        if place is None or (rounds.again and hook.id not in memory.again):
            return
        where = f"round_{int(rounds.again)}_index_{hook.index}"
        call = _Call(self._caller, hook, a, place, view)
        try:
            await self._caller.measured(hook, a, call.run())
        except CallFailed:
            a.annotate(f"failed-open.{_MUTATION}{where}", hook.name)
        finally:
            a.annotate(f"{_MUTATION}{where}", _mutation(hook, mutated=call.changed))
            if call.patch:
                a.annotate(f"{_PATCH}{where}", _patch(hook, call.patch))
            if call.changed:
                memory.require()
                rounds.needed = True
            if hook.reinvoked:
                memory.invoked.add(hook.id)


class _Call:
    """One webhook asked, and its patch applied to the object of the request."""

    def __init__(self, caller: Caller, hook: Hook, a: Attributes, place: Place, view: View) -> None:
        self._caller = caller
        self._hook = hook
        self._a = a
        self._place = place
        self._view = view
        self.changed = False
        self.patch: list[Any] = []  # what was applied

    async def run(self) -> None:
        verdict = await self._caller.ask(self._hook, self._a, self._place, self._view)
        operations = self._operations(verdict)
        if operations:
            await self._apply(operations)

    def _operations(self, verdict: Verdict) -> list[Any]:
        if not verdict.patch:
            return []
        name = self._hook.name
        try:
            operations = json_format.loads(verdict.patch)
        except JsonSyntaxError as e:
            raise _undecodable(name, str(e)) from None
        if operations is None:
            return []
        if not isinstance(operations, list):
            kind = "object" if isinstance(operations, dict) else "value"
            words = f"json: cannot unmarshal {kind} into Go value of type jsonpatch.Patch"
            raise _undecodable(name, words)
        if any(o is not None and not isinstance(o, dict) for o in operations):
            words = "json: cannot unmarshal value into Go value of type jsonpatch.Operation"
            raise _undecodable(name, words)
        if operations and self._a.object is None:
            words = f"admission webhook {quote(name)} attempted to modify the object"
            raise errors.internal_error(f"{words}, which is not supported for this operation")
        if operations and verdict.patch_type != JSON_PATCH:
            raise CallFailed(name, f"unsupported patch type {quote(verdict.patch_type)}", 400)
        return operations

    async def _apply(self, operations: list[Any]) -> None:
        a = self._a
        assert a.object is not None, "what has no object is not patched"
        shown, _ = await self._view.objects(self._place)
        assert shown is not None, "an object shows as one"
        try:
            patched = await self._caller.kinds.patched(shown, operations, self._place, a.object)
        except PatchFailed as e:
            raise errors.internal_error(str(e)) from None
        self.patch = operations
        self.changed = _text(patched) != _text(a.object)
        if self.changed:
            a.object.clear()
            a.object.update(patched)
            a.mutated = True
            self._view.changed()


def _undecodable(name: str, why: str) -> CallFailed:
    return CallFailed(name, f"received undecodable patch in webhook response: {why}", 503)


def _text(obj: Json | None) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


def _patch(hook: Hook, operations: list[Any]) -> str:
    said = {
        "configuration": hook.configuration,
        "webhook": hook.name,
        "patch": operations,
        "patchType": JSON_PATCH,
    }
    return json_format.dumps(said).decode()


def _mutation(hook: Hook, *, mutated: bool) -> str:
    said = {"configuration": hook.configuration, "webhook": hook.name, "mutated": mutated}
    return orjson.dumps(said).decode()
