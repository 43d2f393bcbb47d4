"""Selectors of devices: expressions over `device`, in claims and device classes.

https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#device-selection
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from kapi.cel import macros
from kapi.cel.declared import DeclaredStruct
from kapi.cel.environment import Environment, kubernetes
from kapi.cel.estimate import estimate
from kapi.cel.program import compile_expression
from kapi.cel.source import CompileError
from kapi.cel.types import Type
from kapi.errors import FieldError, field_forbidden, invalid_value

COST_MAX = 1_000_000  # units that a selector may be estimated at
_DRIVER, _DOMAIN, _ID, _VALUE, _ENTRIES = 63, 63, 32, 64, 32


def _map(key: Type, value: Type) -> Type:
    return Type("map", "map", (key, value), elements_max=_ENTRIES)


@lru_cache(maxsize=1)
def _device() -> DeclaredStruct:
    domain, name = Type("string", elements_max=_DOMAIN), Type("string", elements_max=_ID)
    quantity = Type("opaque", "kubernetes.Quantity")
    fields = {
        "driver": Type("string", elements_max=_DRIVER),
        "allowMultipleAllocations": Type("bool", elements_max=1),
        "attributes": _map(domain, _map(name, Type("dyn", elements_max=_VALUE))),
        "capacity": _map(domain, _map(name, quantity)),
    }
    return DeclaredStruct("kubernetes.DRADevice", fields)


@lru_cache(maxsize=1)
def environment() -> Environment:
    base = replace(kubernetes(), macros={**macros.STANDARD, **macros.BIND})
    return base.extended({"device": _device()})


def findings(text: str, path: str) -> list[FieldError]:
    """What is wrong with a selector."""
    try:
        program = compile_expression(text, environment())
    except CompileError as e:
        return [invalid_value(path, text, f"compilation failed: {e}")]
    if program.type.kind not in ("bool", "dyn"):
        words = f"must evaluate to bool or the unknown type, not {program.type}"
        return [invalid_value(path, text, words)]
    if estimate(program.tree, _device())[1] > COST_MAX:
        return [field_forbidden(path, "too complex, exceeds cost limit")]
    return []
