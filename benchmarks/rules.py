"""What rules of custom kinds cost: to compile one, and to run one over ten items.

Run by `run.py` as `pipeline.py` is; prints one JSON object: microseconds per step, none where the
sources have no expressions.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

TIMES = 2000
ROUNDS = 5
RULE = "self.items.all(x, x.count > 0 && x.name.startsWith('k') || has(self.off))"
SPEC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "off": {"type": "boolean"},
        "items": {
            "type": "array",
            "maxItems": 20,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 20},
                    "count": {"type": "integer"},
                },
            },
        },
    },
    "x-kubernetes-validations": [{"rule": RULE}],
}


def measure() -> dict[str, float]:
    try:
        from kapi.cel.declared import declare
        from kapi.cel.environment import kubernetes
        from kapi.cel.program import compile_expression
        from kapi.cel.rule_walk import RuleEvaluator
    except ImportError:
        return {}
    from kapi.schema.custom_parsing import parse
    from kapi.schema.structural import Schema

    schema = parse({"type": "object", "properties": {"spec": SPEC}}, Schema(type="object"))
    items = [{"name": f"k{i}", "count": i + 1} for i in range(10)]
    obj = {"spec": {"items": items}}
    evaluator = RuleEvaluator()
    assert evaluator.findings(schema, obj, None) == []
    declared = declare(schema.properties["spec"].schema, root=False)
    assert declared is not None
    environment = kubernetes().extended({"self": declared.type})
    return {
        "rule over 10 items": _best(lambda: evaluator.findings(schema, obj, None)),
        "compile a rule": _best(lambda: compile_expression(RULE, environment)),
    }


def _best(work: Callable[[], object]) -> float:
    """Microseconds of the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(TIMES):
            work()
        best = min(best, time.perf_counter() - begin)
    return best / TIMES * 1e6


if __name__ == "__main__":
    json.dump(measure(), sys.stdout)
