"""Defaults of lists of resources (cpu, memory …): what is finer than a thousandth is rounded up to
one. Used by the modules of the kinds that have such lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kapi.schema.quantity import in_milli

Json = dict[str, Any]


def rounding(*fields: str) -> Callable[[Json], None]:
    """The defaulter of an object in which these fields are lists of resources."""

    def run(obj: Json) -> None:
        for field in fields:
            amounts = obj.get(field)
            if amounts:
                for name, amount in amounts.items():
                    amounts[name] = in_milli(amount)

    return run
