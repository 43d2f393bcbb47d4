"""Labels of nodes that are not used any more, and the warnings about selectors that name them.

Called by the strategies of all kinds that choose nodes.
https://kubernetes.io/docs/reference/labels-annotations-taints/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.registry import names

Json = dict[str, Any]

OLD_NODE_LABELS: Mapping[str, str] = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": (
        'deprecated since v1.17; use "topology.kubernetes.io/region" instead'
    ),
    "failure-domain.beta.kubernetes.io/zone": (
        'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    ),
    "beta.kubernetes.io/instance-type": (
        'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'
    ),
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": (
        "deprecated since v1.22; use Taints and Tolerations instead"
    ),
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}


def term_warnings(term: Json, path: str, *, values: bool = False) -> list[str]:
    """Of one term of a node selector; `values`: those that no label can have, too."""
    out: list[str] = []
    for i, expression in enumerate(term.get("matchExpressions") or ()):
        where, key = f"{path}.matchExpressions[{i}]", expression.get("key")
        if key in OLD_NODE_LABELS:
            out.append(f"{where}.key: {key} is {OLD_NODE_LABELS[key]}")
        for j, value in enumerate(expression.get("values") or ()) if values else ():
            for text in names.label_value(value):
                out.append(f"{where}.values[{j}]: {value} is invalid, {text}")
    return out


def selector_warnings(selector: Json, path: str) -> list[str]:
    """Of a label selector of nodes."""
    out = term_warnings(selector, path)
    for label in selector.get("matchLabels") or ():
        if label in OLD_NODE_LABELS:
            out.append(f"{path}.matchLabels.{label}: {OLD_NODE_LABELS[label]}")
    return out
