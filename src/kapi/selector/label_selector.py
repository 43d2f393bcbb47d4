"""metav1.LabelSelector, the selector inside objects, as a `Selector`. Pure.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.selector.labels import Operator, Requirement, Selector

_OPERATORS: Mapping[str, Operator] = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
}


def from_selector(selector: Mapping[str, Any] | None) -> Selector | None:
    """The selector; None, where absent, selects nothing. One that says nothing selects
    everything.
    """
    if selector is None:
        return None
    requirements = [
        Requirement(key, "in", (value,))
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    for e in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(e.get("operator", ""))
        if operator is None:
            return None
        requirements.append(
            Requirement(e["key"], operator, tuple(sorted(set(e.get("values") or ()))))
        )
    return Selector(tuple(requirements))
