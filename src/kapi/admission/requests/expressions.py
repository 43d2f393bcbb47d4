"""Expressions of admission: what they may speak of, and how they are compiled. Pure.

Match conditions, policies and their parts are compiled with one of few environments: `object`,
`oldObject`, `request` and `namespaceObject` are always there, `params`, `authorizer` and
`variables` where they make sense, `Object` and `JSONPatch` for mutations. Used by validation of the
kinds that carry expressions (`kinds/`) and by the plugins that run them.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#validation-expression
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from kapi.cel.declarations import Library, declare
from kapi.cel.environment import Environment, kubernetes
from kapi.cel.lib_authorizer import AUTHORIZER, RESOURCE_CHECK
from kapi.cel.program import Program, compile_expression
from kapi.cel.source import CompileError
from kapi.cel.types import (
    BOOL,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    StructType,
    Type,
    list_of,
    map_of,
)
from kapi.cel.values import EvalError, equal, no_such_key, type_name

Json = dict[str, Any]

CALL_COST_MAX = 1_000_000  # units that one expression may take
BUDGET = 10_000_000  # of all expressions of a policy together, for one request
CONDITIONS_BUDGET = BUDGET // 4  # of all match conditions together
MESSAGE_BYTES_MAX = 5 * 1024  # of an evaluated message expression

# -- types ----------------------------------------------------------------------------------------


def _texts(names: str) -> dict[str, Type]:
    return dict.fromkeys(names.split(), STRING)


_TEXT_MAP = map_of(STRING, STRING)
_GVK = StructType("kubernetes.GroupVersionKind", _texts("group version kind"))
_GVR = StructType("kubernetes.GroupVersionResource", _texts("group version resource"))
_USER = StructType(
    "kubernetes.UserInfo",
    {
        **_texts("username uid"),
        "groups": list_of(STRING),
        "extra": map_of(STRING, list_of(STRING)),
    },
)
REQUEST = StructType(
    "kubernetes.AdmissionRequest",
    {
        **_texts("subResource requestSubResource name namespace operation"),
        "kind": _GVK,
        "requestKind": _GVK,
        "resource": _GVR,
        "requestResource": _GVR,
        "userInfo": _USER,
        "dryRun": BOOL,
        "options": DYN,
    },
)
_NAMESPACE_META = StructType(
    "kubernetes.NamespaceMetadata",
    {
        **_texts("name generateName namespace UID resourceVersion"),
        "labels": _TEXT_MAP,
        "annotations": _TEXT_MAP,
        "finalizers": list_of(STRING),
        "creationTimestamp": TIMESTAMP,
        "deletionTimestamp": TIMESTAMP,
        "deletionGracePeriodSeconds": INT,
        "generation": INT,
    },
)
NAMESPACE = StructType(
    "kubernetes.Namespace",
    {
        "metadata": _NAMESPACE_META,
        "spec": StructType("kubernetes.NamespaceSpec", {"finalizers": list_of(STRING)}),
        "status": StructType("kubernetes.NamespaceStatus", {"phase": STRING}),
    },
)


class _ObjectType(StructType):
    """`Object`, `Object.spec` and so on: any field may be given."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        super().__init__(name, {})

    def field(self, name: str) -> Type | None:
        return DYN


OBJECT = _ObjectType("Object")
JSON_PATCH = StructType("JSONPatch", {**_texts("op from path"), "value": DYN})
PATCH_LIST = list_of(JSON_PATCH)


class MadeObject:
    """The value of `Object.spec{…}`."""

    __slots__ = ("cel_type", "fields")

    def __init__(self, name: str, fields: Mapping[str, Any]) -> None:
        self.cel_type = name
        self.fields = fields

    def cel_fields(self, key: Any) -> Any:
        if key in self.fields:
            return self.fields[key]
        raise no_such_key(key)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, MadeObject)
            and self.cel_type == other.cel_type
            and equal(dict(self.fields), dict(other.fields))
        )

    def __hash__(self) -> int:
        return hash(self.cel_type)


def _patch_type(name: str) -> StructType | None:
    if name == JSON_PATCH.name:
        return JSON_PATCH
    if name == OBJECT.name:
        return OBJECT
    return _ObjectType(name) if name.startswith("Object.") else None


def _make(name: str, fields: Mapping[str, Any]) -> MadeObject:
    if name == JSON_PATCH.name:
        for field in ("op", "path", "from"):
            if not isinstance(fields.get(field, ""), str):
                found = type_name(fields[field])
                text = f"unexpected type {found} for JSONPatchType '{field}' field"
                raise EvalError(text)
    return MadeObject(name, fields)


# -- environments ---------------------------------------------------------------------------------


@lru_cache(maxsize=16)  # there are few combinations; environments are immutable
def environment(*, params: bool, authorizer: bool, patches: bool = False) -> Environment:
    """What an expression may speak of, but for `variables`."""
    known: dict[str, Type] = {
        "object": DYN,
        "oldObject": DYN,
        "request": REQUEST,
        "namespaceObject": NAMESPACE,
    }
    if params:
        known["params"] = DYN
    if authorizer:
        known["authorizer"] = AUTHORIZER
        known["authorizer.requestResource"] = RESOURCE_CHECK
    base = kubernetes()
    if patches:
        base = replace(base, functions={**base.functions, **declare((_PATCH_KEYS,))})
        return base.extended(known, messages=_patch_type, make=_make)
    return base.extended(known)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


_PATCH_KEYS = Library(
    "jsonpatch.escapeKey string_jsonpatch_escapeKey_string string -> string",
    {"string_jsonpatch_escapeKey_string": _escaped},
)


# -- compilation ----------------------------------------------------------------------------------

CONDITION = (BOOL,)
MESSAGE = (STRING,)
AUDIT_VALUE = (STRING, NULL)
APPLY_CONFIGURATION = (OBJECT,)
JSON_PATCHES = (PATCH_LIST,)
ANYTHING: tuple[Type, ...] = ()


@dataclass(frozen=True, slots=True)
class Expression:
    """A text and what became of it: a program, or why there is none."""

    text: str
    program: Program | None
    problem: str = ""

    @property
    def type(self) -> Type:
        return self.program.type if self.program is not None else DYN


def compiled(text: str, where: Environment, returns: tuple[Type, ...]) -> Expression:
    """`returns`: the types that it may have; ANYTHING for any."""
    try:
        program = compile_expression(text, where)
    except CompileError as e:
        return Expression(text, None, f"compilation failed: {e}")
    if not returns or program.type in returns:
        return Expression(text, program)
    if len(returns) == 1:
        words = f"must evaluate to {returns[0]} but got {program.type}"
    else:
        listed = " ".join(_named(t) for t in returns)
        words = f"must evaluate to one of [{listed}] but got {program.type}"
    return Expression(text, None, words)


def _named(t: Type) -> str:
    return "null_type" if t.kind == "null_type" else str(t)


class Composer:
    """Compiles the parts of one policy; what is compiled later may use the variables that came
    before.
    """

    def __init__(self, *, params: bool, composes: bool) -> None:
        """`composes`: whether the policy has variables at all."""
        self._params = params
        self._fields: dict[str, Type] | None = {} if composes else None

    def variable(self, name: str, text: str) -> Expression:
        out = self.compiled(text, ANYTHING)
        assert self._fields is not None, "a policy with variables composes"
        if out.program is not None:
            self._fields[name] = out.type
        return out

    def compiled(
        self,
        text: str,
        returns: tuple[Type, ...],
        *,
        authorizer: bool = True,
        patches: bool = False,
    ) -> Expression:
        found = environment(params=self._params, authorizer=authorizer, patches=patches)
        if self._fields is not None:
            variables = StructType("kubernetes.variables", dict(self._fields))
            found = found.extended({"variables": variables})
        return compiled(text, found, returns)
