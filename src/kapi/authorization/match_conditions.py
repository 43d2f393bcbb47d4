"""Match conditions of authorization webhooks: expressions over the review that would be sent, as
`request`.

All must be true for the webhook to be asked. One that is false settles it, whatever else fails;
otherwise a failure counts as the webhook's failure policy says. Loaded only where a configuration
has conditions, because the engine is.
https://kubernetes.io/docs/reference/access-authn-authz/authorization/#authz-config-matchconditions
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from kapi.authorization.authorizer import aggregate
from kapi.cel.environment import Environment, kubernetes
from kapi.cel.program import Program, compile_expression
from kapi.cel.source import CompileError
from kapi.cel.types import BOOL, STRING, StructType, Type, list_of, map_of

Json = dict[str, Any]


class ConditionError(Exception):
    """A condition could not be evaluated, and none was false."""


def _texts(names: str) -> dict[str, Type]:
    return dict.fromkeys(names.split(), STRING)


def _selector(name: str) -> StructType:
    requirement = StructType(
        "kubernetes.SelectorRequirement", {**_texts("key operator"), "values": list_of(STRING)}
    )
    return StructType(
        f"kubernetes.{name}", {**_texts("rawSelector"), "requirements": list_of(requirement)}
    )


@lru_cache(maxsize=1)  # immutable
def environment() -> Environment:
    """`request` is the spec of a SubjectAccessReview v1."""
    resource = StructType(
        "kubernetes.ResourceAttributes",
        {
            **_texts("namespace verb group version resource subresource name"),
            "fieldSelector": _selector("FieldSelectorAttributes"),
            "labelSelector": _selector("LabelSelectorAttributes"),
        },
    )
    request = StructType(
        "kubernetes.SubjectAccessReviewSpec",
        {
            **_texts("user uid"),
            "groups": list_of(STRING),
            "extra": map_of(STRING, list_of(STRING)),
            "resourceAttributes": resource,
            "nonResourceAttributes": StructType(
                "kubernetes.NonResourceAttributes", _texts("path verb")
            ),
        },
    )
    return kubernetes().extended({"request": request})


def complaint(text: str) -> str:
    """What is wrong with a condition, "" if nothing is."""
    try:
        program = compile_expression(text, environment())
    except CompileError as error:
        return f"compilation failed: {error}"
    return "" if program.type == BOOL else f"must evaluate to bool but got {program.type}"


class Matcher:
    """The conditions of one webhook. `texts` have no complaint."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._programs: list[Program] = [compile_expression(t, environment()) for t in texts]

    def matches(self, spec: Json) -> bool:
        """`spec`: of a review v1, in which absent texts may be left out. Raises ConditionError."""
        values = {"request": _whole(spec)}
        errors: list[str] = []
        for program in self._programs:
            outcome = program.evaluate(values)
            if outcome.error is not None:
                errors.append(
                    f"cel evaluation error: expression '{program.text}' resulted in error: "
                    f"{outcome.error}"
                )
            elif outcome.value is not True:
                return False
        if errors:
            raise ConditionError(aggregate(errors))
        return True


_RESOURCE_TEXTS = ("namespace", "verb", "group", "version", "resource", "subresource", "name")


def _whole(spec: Json) -> Json:
    """With empty texts where there are none, so that an expression may compare them."""
    out: Json = {"user": "", "uid": "", "groups": [], "extra": {}, **spec}
    if (resource := spec.get("resourceAttributes")) is not None:
        out["resourceAttributes"] = {**dict.fromkeys(_RESOURCE_TEXTS, ""), **resource}
        for name in ("fieldSelector", "labelSelector"):
            if name in resource:
                requirements = resource[name]["requirements"]
                out["resourceAttributes"][name] = {
                    "requirements": [{"values": [], **r} for r in requirements]
                }
    if (other := spec.get("nonResourceAttributes")) is not None:
        out["nonResourceAttributes"] = {"path": "", "verb": "", **other}
    return out
