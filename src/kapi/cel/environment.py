"""What an expression may speak of: variables, functions, macros, types of messages.

`Environment` is made once for each place that has expressions and shared; `kubernetes` has the
libraries of Kubernetes 1.37.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from kapi.cel import macros
from kapi.cel.declarations import Functions, declare
from kapi.cel.parser import Macros
from kapi.cel.types import SIMPLE, StructType, Type, list_of, map_of, opaque, param

# (name of a message type, its fields) -> the value that `Name{field: …}` makes
MakeMessage = Callable[[str, Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Environment:
    functions: Functions
    macros: Macros
    variables: Mapping[str, Type] = field(default_factory=dict)
    messages: Callable[[str], StructType | None] | None = None
    make: MakeMessage | None = None
    # What calls with plain arguments mean, as it was found: overloads and the result.
    resolved: dict[tuple[Any, ...], tuple[tuple[str, ...], Type]] = field(default_factory=dict)

    def extended(
        self,
        variables: Mapping[str, Type],
        *,
        messages: Callable[[str], StructType | None] | None = None,
        make: MakeMessage | None = None,
    ) -> Environment:
        """With more variables, and with types of messages."""
        together = {**self.variables, **variables}
        return replace(
            self,
            variables=together,
            messages=messages or self.messages,
            make=make or self.make,
        )

    def named_type(self, name: str) -> Type | None:
        """A type that an expression may name as a value."""
        found = _NAMED.get(name)
        if found is None and self.messages is not None:
            return self.messages(name)
        return found

    def message_type(self, name: str) -> StructType | None:
        return self.messages(name) if self.messages is not None else None


_NAMED: Mapping[str, Type] = {
    **{t.name: t for kind, t in SIMPLE.items() if kind != "dyn"},
    "list": list_of(param("A")),
    "map": map_of(param("A"), param("B")),
    "optional_type": opaque("optional_type"),
    "net.IP": opaque("net.IP"),
    "net.CIDR": opaque("net.CIDR"),
}


@lru_cache(maxsize=1)
def kubernetes() -> Environment:
    """The base environment of every expression in Kubernetes 1.37: no variables."""
    from kapi.cel import libraries

    return Environment(declare(libraries.kubernetes()), macros.STANDARD)
