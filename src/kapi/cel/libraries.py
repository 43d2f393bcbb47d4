"""Which libraries there are in Kubernetes 1.37.

https://kubernetes.io/docs/reference/using-api/cel/#cel-options-language-features-and-libraries
"""

from __future__ import annotations

from kapi.cel import (
    lib_authorizer,
    lib_formats,
    lib_lists,
    lib_network,
    lib_quantity,
    lib_standard,
    lib_strings,
)
from kapi.cel.declarations import Library

_MODULES = (
    lib_standard,
    lib_strings,
    lib_lists,
    lib_network,
    lib_quantity,
    lib_formats,
    lib_authorizer,
)


def kubernetes() -> list[Library]:
    return [module.library() for module in _MODULES]
