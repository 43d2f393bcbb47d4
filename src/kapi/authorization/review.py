"""What is asked of an authorizer, as a SubjectAccessReview that is sent elsewhere. Pure.

https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/subject-access-review-v1/
"""

from __future__ import annotations

from typing import Any

from kapi.authorization.authorizer import Attributes
from kapi.errors import ApiError
from kapi.selector import fields, labels

Json = dict[str, Any]
GROUP = "authorization.k8s.io"
KIND = "SubjectAccessReview"
_LABEL_OPERATORS = {
    "in": "In",
    "=": "In",
    "==": "In",
    "notin": "NotIn",
    "!=": "NotIn",
    "exists": "Exists",
    "!": "DoesNotExist",
}


def spec_of(a: Attributes) -> Json:
    """The spec of a review v1, empty fields left out, in the real server's order."""
    out: Json = {}
    if a.is_resource:
        out["resourceAttributes"] = _resource(a)
    else:
        out["nonResourceAttributes"] = _given({"path": a.path, "verb": a.verb})
    user = a.user
    more: Json = {"user": user.name, "groups": list(user.groups)}
    more["extra"] = {key: list(values) for key, values in sorted(user.extra.items())}
    more["uid"] = user.uid
    return {**out, **_given(more)}


def review(spec: Json, version: str) -> Json:
    """The document to send."""
    if version == "v1beta1":  # there the field is called otherwise
        spec = {"group" if key == "groups" else key: value for key, value in spec.items()}
    return {
        "kind": KIND,
        "apiVersion": f"{GROUP}/{version}",
        "metadata": {},
        "spec": spec,
        "status": {"allowed": False},
    }


def _resource(a: Attributes) -> Json:
    out: Json = _given(
        {
            "namespace": a.namespace,
            "verb": a.verb,
            "group": a.group,
            "version": a.version,
            "resource": a.resource,
            "subresource": a.subresource,
            "name": a.name,
        }
    )
    # A requirement that cannot be said is left out: the answer then holds for more than is asked.
    if a.field_selector and (found := _fields(a.field_selector)):
        out["fieldSelector"] = {"requirements": found}
    if a.label_selector and (found := _labels(a.label_selector)):
        out["labelSelector"] = {"requirements": found}
    return out


def _fields(text: str) -> list[Json]:
    try:
        selector = fields.parse(text)
    except ApiError:
        return []
    return [
        {"key": t.field, "operator": "In" if t.equal else "NotIn", "values": [t.value]}
        for t in selector.terms
    ]


def _labels(text: str) -> list[Json]:
    try:
        selector = labels.parse(text)
    except ApiError:
        return []
    out: list[Json] = []
    for requirement in selector.requirements:
        operator = _LABEL_OPERATORS.get(requirement.operator)
        if operator is not None:
            said: Json = {"key": requirement.key, "operator": operator}
            if requirement.values:
                said["values"] = list(requirement.values)
            out.append(said)
    return out


def _given(fields_: Json) -> Json:
    return {key: value for key, value in fields_.items() if value}
