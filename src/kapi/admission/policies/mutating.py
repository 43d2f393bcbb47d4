"""Mutating admission policies over one request: changes that users write as expressions.

Each mutation sees what those before it made of the object. It is an apply configuration, which is
laid over the object without an owner, or a list of JSON patch operations. Policies that ask for it
(reinvocationPolicy IfNeeded) see the object once more if somebody changed it after them.
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import orjson

from kapi import errors
from kapi.admission.plugin import Attributes
from kapi.admission.policies.calls import Problem, Rooms, Seen, params_of, unknown_kind
from kapi.admission.policies.compiled import MutatingPolicy, Mutation
from kapi.admission.policies.metrics import PolicyMeter
from kapi.admission.policies.plugins import MUTATING as NAME
from kapi.admission.policies.source import Binding, Bound, PolicySource
from kapi.admission.requests.evaluation import ConditionsFailed, OutOfBudget, Scene
from kapi.admission.requests.expressions import MadeObject
from kapi.admission.requests.rules import PatchFailed, Place, called
from kapi.cel.lib_standard import duration_text, timestamp_text
from kapi.cel.values import Duration, Optional, Timestamp, type_name
from kapi.errors import ApiError, quote

Json = dict[str, Any]
INTEGER_MAX = 1 << 53  # beyond it a JSON patch carries a number as text


class Patches(Protocol):
    """How a mutation is laid into an object that a place shows; `whole` is the object of the
    request. Both give it anew, in its own version. Both raise PatchFailed, ApiError.
    """

    async def patched(self, obj: Json, operations: Any, place: Place, whole: Json) -> Json: ...

    async def laid_over(self, obj: Json, config: Json, place: Place, whole: Json) -> Json: ...


class Key(NamedTuple):
    """One evaluation of a policy."""

    policy: str
    binding: str
    param: tuple[str, str]  # namespace and name


@dataclass(slots=True)
class _Memory:
    """From one round to the next."""

    output: bytes = b""  # the object as this plugin left it
    invoked: set[Key] = field(default_factory=set)  # evaluated, and to be so again if need be
    again: set[Key] = field(default_factory=set)

    def require(self) -> None:
        """Those that were evaluated so far must see the object once more."""
        self.again |= self.invoked
        self.invoked = set()


@dataclass(frozen=True, slots=True)
class _Invocation:
    policy: MutatingPolicy
    binding: Binding
    place: Place
    param: Json | None

    @property
    def key(self) -> Key:
        meta = self.param["metadata"] if self.param is not None else {}
        param = (meta.get("namespace", ""), meta.get("name", ""))
        return Key(self.policy.common.name, self.binding.name, param)


class MutatingRun:
    """What the plugin does with a request that some policy may concern."""

    def __init__(
        self,
        source: PolicySource[MutatingPolicy],
        rooms: Rooms,
        patches: Patches,
        meter: PolicyMeter,
    ) -> None:
        self._source = source
        self._rooms = rooms
        self._patches = patches
        self._meter = meter

    async def admit(self, attributes: Attributes) -> None:
        a = attributes
        own = self._rooms.kinds.place(a)
        refusals: list[tuple[str, str]] = []  # message and reason
        invocations: list[_Invocation] = []
        for bound in self._source.bound(a.operation, a.group, a.resource, a.subresource):
            invocations += await self._invocations(bound, a, own, refusals)
        if invocations:
            await self._run(invocations, a, own, refusals)
        if refusals:
            raise _refusal(a, refusals)

    async def _invocations(
        self,
        bound: Bound[MutatingPolicy],
        a: Attributes,
        own: Place,
        refusals: list[tuple[str, str]],
    ) -> list[_Invocation]:
        common = bound.policy.common
        try:
            place = await self._rooms.matcher.place(common.match, a, own)
            problem = unknown_kind(common, self._rooms.params) if place is not None else ""
        except ApiError as e:
            place, problem = own, e.message
        if problem and common.refuses:
            who = f"policy {quote(common.name)}"
            refusals.append((f"{who} denied request: failed to configure policy: {problem}", ""))
        if place is None or problem:
            return []
        out = []
        for binding in bound.bindings:
            try:
                match = binding.match
                if match is not None and await self._rooms.matcher.place(match, a, own) is None:
                    continue
                params = await params_of(common, binding, a.namespace, self._rooms.params)
            except (Problem, ApiError) as e:
                if common.refuses:
                    text = e.message if isinstance(e, ApiError) else str(e)
                    refusals.append(_told(bound.policy, binding, f"{_BINDING}{text}", ""))
                continue
            out += [_Invocation(bound.policy, binding, place, param) for param in params]
        return out

    async def _run(
        self,
        invocations: list[_Invocation],
        a: Attributes,
        own: Place,
        refusals: list[tuple[str, str]],
    ) -> None:
        rounds = a.rounds()
        memory: _Memory = rounds.notes.setdefault(NAME, _Memory())
        if rounds.again and memory.output != _text(a.object):
            memory.require()
        namespace = await self._rooms.namespace(a)
        seen = Seen(self._rooms, a, own)
        try:
            for invocation in invocations:
                await self._invoke(invocation, a, namespace, seen, memory, refusals)
        finally:
            memory.output = _text(a.object)

    async def _invoke(
        self,
        invocation: _Invocation,
        a: Attributes,
        namespace: Json | None,
        seen: Seen,
        memory: _Memory,
        refusals: list[tuple[str, str]],
    ) -> None:
        policy, rounds = invocation.policy, a.rounds()
        common = policy.common

        def refuse(text: str) -> None:
            if common.refuses:
                refusals.append(_told(policy, invocation.binding, text, "Invalid"))

        try:
            scene = await seen.scene(common, invocation.place, invocation.param, namespace)
            if not await self._meter.conditions(common, scene, a.operation):
                return
        except (ConditionsFailed, Problem) as e:
            refuse(str(e))
            return
        if rounds.again and invocation.key not in memory.again:
            return
        before = _text(a.object)
        for mutation in policy.mutations:
            if a.object is None:
                break
            with self._meter.timed() as seconds:
                problem = await self._mutate(mutation, invocation, a, namespace, seen)
            if problem:
                refuse(problem)
            action = "deny" if problem else "allow"
            names = (common.name, invocation.binding.name)
            self._meter.count(*names, action, problem, seconds())
        if _text(a.object) != before:
            memory.require()
            rounds.needed = True
        if policy.reinvoked:
            memory.invoked.add(invocation.key)

    async def _mutate(
        self,
        mutation: Mutation,
        invocation: _Invocation,
        a: Attributes,
        namespace: Json | None,
        seen: Seen,
    ) -> str:
        """Changes the object. What is wrong; empty if nothing is. Raises ApiError."""
        assert a.object is not None, "what has no object is not changed"
        place = invocation.place
        try:
            scene = await seen.scene(invocation.policy.common, place, invocation.param, namespace)
            value = await _value(mutation, scene)
            shown = scene.values["object"]
            if mutation.json_patch:
                operations = [_operation(patch) for patch in value]
                changed = await self._patches.patched(shown, operations, place, a.object)
            else:
                config = _configuration(value, shown)
                changed = await self._patches.laid_over(shown, config, place, a.object)
        except (Problem, _Failed, OutOfBudget) as e:
            return str(e)
        except PatchFailed as e:
            if mutation.json_patch:
                return "" if _only_a_test(str(e)) else f"JSONPath: {e}"
            return f"error applying patch: {e}"
        if _text(changed) != _text(a.object):
            a.object.clear()
            a.object.update(changed)
            a.mutated = True
            seen.changed()
        return ""


_BINDING = "failed to configure binding: "


def _told(policy: MutatingPolicy, binding: Binding, text: str, reason: str) -> tuple[str, str]:
    who = f"policy '{policy.common.name}' with binding '{binding.name}'"
    return f"{who} denied request: {text}", reason


def _refusal(a: Attributes, refusals: list[tuple[str, str]]) -> ApiError:
    """The first is the message and the reason; all are causes."""
    error = errors.forbidden(a.group, a.resource, called(a), "")
    message, reason = refusals[0]
    causes = [{"message": text} for text, _ in refusals]
    details = {**(error.details or {}), "causes": causes}
    return ApiError(error.code, reason or error.reason, message, details=details)


def _text(obj: Json | None) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


# -- values ---------------------------------------------------------------------------------------


class _Failed(Exception):
    """An expression without a usable value."""


async def _value(mutation: Mutation, scene: Scene) -> Any:
    """Raises _Failed, OutOfBudget."""
    if mutation.expression.program is None:
        raise _Failed(mutation.expression.problem)
    result = await scene.begin().run(mutation.expression)
    if result.error:
        raise _Failed(result.error)
    return result.value


def _operation(patch: Any) -> Json:
    """A JSONPatch as an operation of a patch. Raises _Failed."""
    if not isinstance(patch, MadeObject):
        text = "JSONPatchType.expression should evaluate to array of JSONPatch"
        raise _Failed(f"type mismatch: {text}")
    fields = patch.fields
    out: Json = {"op": fields.get("op", ""), "path": fields.get("path", "")}
    if fields.get("from"):
        out["from"] = fields["from"]
    if "value" in fields:
        value = fields["value"]
        if isinstance(value, MadeObject):
            _check_names(value, value.cel_type)
        out["value"] = _json(value)
    return out


def _configuration(value: Any, shown: Json) -> Json:
    """An `Object{…}` as an apply configuration. Raises _Failed."""
    if not isinstance(value, MadeObject):
        kind = type_name(value)
        raise _Failed(f"unsupported return type from ApplyConfiguration expression: {kind}")
    _check_names(value, value.cel_type)
    out: Json = _json(value)
    return {**out, "apiVersion": shown.get("apiVersion"), "kind": shown.get("kind")}


def _check_names(value: Any, path: str) -> None:
    """Types are named after the fields they stand in: `Object.spec` in the field `spec` of
    `Object`.
    """
    problems = list(_misnamed(value, path))
    if problems:
        raise _Failed("type mismatch: " + "\n".join(problems))


def _misnamed(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, MadeObject):
        if value.cel_type != path:
            yield (
                f"unexpected type name {quote(value.cel_type)}, expected {quote(path)}, "
                "which matches field name path from root Object type"
            )
        for name, inner in value.fields.items():
            yield from _misnamed(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _misnamed(inner, path)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _misnamed(inner, path)


def _json(value: Any) -> Any:
    """A value of CEL as one of JSON. Raises _Failed."""
    if isinstance(value, MadeObject):
        return {name: _json(inner) for name, inner in value.fields.items()}
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise _Failed(f'map key "{key}" is of type {type_name(key)}, not string')
        return {name: _json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_json(inner) for inner in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Timestamp):
        return timestamp_text(value)
    if isinstance(value, Duration):
        return duration_text(value)
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        return int(value) if -INTEGER_MAX <= value <= INTEGER_MAX else str(int(value))
    if isinstance(value, Optional) and value.has:
        return _json(value.value)
    text = f"unsupported conversion to JSON from {type_name(value)}"
    raise _Failed(
        f"JSONPath valueExpression evaluated to a type that could not marshal to JSON: {text}"
    )


def _only_a_test(problem: str) -> bool:
    """Whether a JSON patch was not applied because what it tests is not so: then it is let be."""
    return problem.startswith("testing value")
