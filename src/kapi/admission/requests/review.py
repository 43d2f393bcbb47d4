"""AdmissionReview: what a webhook is asked, and what may be read out of its answer. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from kapi.admission.plugin import Attributes
from kapi.admission.requests.rules import Place, called, namespace_of
from kapi.codec import json_format
from kapi.codec.json_format import JsonSyntaxError
from kapi.errors import ApiError, quote
from kapi.messages import UserInfo

Json = dict[str, Any]
GROUP, KIND = "admission.k8s.io", "AdmissionReview"
VERSIONS = ("v1", "v1beta1")
JSON_PATCH = "JSONPatch"
# Answers carry more than this for no good reason; the rest is left out.
WARNINGS_MAX = 100
ANNOTATIONS_MAX = 100


class InvalidAnswer(Exception):
    """An answer that is none; the text says why. `read`: it could be read, but says the wrong
    thing.
    """

    def __init__(self, text: str, *, read: bool) -> None:
        super().__init__(text)
        self.read = read


def review_version(accepted: tuple[str, ...]) -> str:
    """The first version of AdmissionReview that a webhook and this server know; "" for none."""
    return next((version for version in accepted if version in VERSIONS), "")


# -- the request --------------------------------------------------------------------------------


def user_fields(user: UserInfo) -> Json:
    """A user as authentication.k8s.io/v1 UserInfo."""
    out: Json = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    out["extra"] = {key: list(values) for key, values in sorted(user.extra.items())}
    return {name: value for name, value in out.items() if value}


def request_fields(a: Attributes, place: Place, own: Place) -> Json:
    """An AdmissionRequest without uid, object and oldObject. `place`: where the webhook sees it;
    `own`: where it was sent.
    """
    out: Json = {"kind": _kind(place), "resource": _resource(place)}
    if place.subresource:
        out["subResource"] = place.subresource
    out["requestKind"], out["requestResource"] = _kind(own), _resource(own)
    if own.subresource:
        out["requestSubResource"] = own.subresource
    name, namespace = called(a), namespace_of(a)
    if name:
        out["name"] = name
    if namespace:
        out["namespace"] = namespace
    out["operation"] = a.operation
    out["userInfo"] = user_fields(a.user)
    out["dryRun"] = a.dry_run
    out["options"] = a.options.as_object(a.operation) if a.options is not None else None
    return out


def _kind(place: Place) -> Json:
    return {"group": place.kind.group, "version": place.kind.version, "kind": place.kind.kind}


def _resource(place: Place) -> Json:
    return {"group": place.group, "version": place.version, "resource": place.resource}


def encoded_request(fields: Json, obj: Json | None, old: Json | None) -> bytes:
    """The request from behind its uid to its end; the same for all webhooks that see this."""
    out = {**fields, "object": obj, "oldObject": old}
    order = [name for name in out if name not in ("dryRun", "options")] + ["dryRun", "options"]
    return json_format.dumps({name: out[name] for name in order})[1:] + b"}"


def review_text(version: str, uid: str, request: bytes) -> bytes:
    """The body to send; `request` is of `encoded_request`."""
    head = b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/%b","request":{"uid":%b,'
    return head % (version.encode(), orjson.dumps(uid)) + request


# -- the answer ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    result: Json | None  # a Status
    patch: bytes
    patch_type: str
    warnings: tuple[str, ...]
    annotations: Mapping[str, str]


def read_answer(data: bytes, uid: str, version: str, *, mutating: bool) -> Verdict:
    """What a webhook decided. Raises InvalidAnswer."""
    try:
        review = json_format.loads(data)
        json_format.check_depth(data, review)
    except JsonSyntaxError as e:
        words = f"couldn't get version/kind; json parse error: {e}"
        raise InvalidAnswer(words, read=False) from None
    if not isinstance(review, dict):
        words = (
            "couldn't get version/kind; json parse error: json: cannot unmarshal "
            f"{_json_type(review)} into Go value of type struct {{ APIVersion string "
            '"json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
        )
        raise InvalidAnswer(words, read=False)
    response = _field(
        review, "response", dict, "AdmissionReview", "response", "v1.AdmissionResponse"
    )
    if response is None:
        raise InvalidAnswer("webhook response was absent", read=True)
    found = _typed(response)
    if version == "v1":
        _check(review, response, uid, mutating=mutating)
    patch_type = found["patchType"] or ""
    if version != "v1" and found["patch"]:
        patch_type = JSON_PATCH
    return Verdict(
        allowed=bool(found["allowed"]),
        result=_status(found["status"]),
        patch=found["patch"] if mutating else b"",
        patch_type=patch_type,
        warnings=_warnings(found["warnings"]),
        annotations=_annotations(found["auditAnnotations"]),
    )


_FIELDS: Mapping[str, tuple[type, str]] = {
    "uid": (str, "types.UID"),
    "allowed": (bool, "bool"),
    "status": (dict, "v1.Status"),
    "patch": (str, "[]uint8"),
    "patchType": (str, "v1.PatchType"),
    "auditAnnotations": (dict, "map[string]string"),
    "warnings": (list, "[]string"),
}


def _typed(response: Json) -> Json:
    """The fields of a response, each of its type or None; the patch as bytes."""
    found = {
        name: _field(response, name, type_, "AdmissionResponse", f"response.{name}", go)
        for name, (type_, go) in _FIELDS.items()
    }
    try:
        found["patch"] = base64.b64decode(found["patch"] or "", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidAnswer("illegal base64 data at input byte 0", read=False) from None
    return found


def _field(holder: Json, name: str, type_: type, struct: str, path: str, go: str) -> Any:
    value = holder.get(name)
    if value is None or isinstance(value, type_):
        return value
    words = f"json: cannot unmarshal {_json_type(value)} into Go struct field {struct}.{path}"
    raise InvalidAnswer(f"{words} of type {go}", read=False)


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object" if value is not None else "null"


def _check(review: Json, response: Json, uid: str, *, mutating: bool) -> None:
    """What v1 asks of an answer."""
    given = response.get("uid") or ""
    if given != uid:
        words = f"expected response.uid={quote(uid)}, got {quote(given)}"
        raise InvalidAnswer(words, read=True)
    api_version, kind = (str(review.get(name) or "") for name in ("apiVersion", "kind"))
    if (api_version, kind) != (f"{GROUP}/v1", KIND):
        got = f"{api_version if '/' in api_version else '/' + api_version}, Kind={kind}"
        words = f"expected webhook response of {GROUP}/v1, Kind={KIND}, got {got}"
        raise InvalidAnswer(words, read=True)
    patch, patch_type = response.get("patch"), response.get("patchType")
    if mutating:
        if patch and patch_type is None:
            words = "webhook returned response.patch but not response.patchType"
            raise InvalidAnswer(words, read=True)
        if not patch and patch_type is not None:
            words = "webhook returned response.patchType but not response.patch"
            raise InvalidAnswer(words, read=True)
        if patch_type == "":
            words = 'webhook returned invalid response.patchType of ""'
            raise InvalidAnswer(words, read=True)
        return
    if patch:
        raise InvalidAnswer("validating webhook may not return response.patch", read=True)
    if patch_type is not None:
        raise InvalidAnswer("validating webhook may not return response.patchType", read=True)


def _warnings(given: list[Any] | None) -> tuple[str, ...]:
    texts = given or []
    for text in texts:
        if not isinstance(text, str):
            words = f"json: cannot unmarshal {_json_type(text)} into Go struct field "
            words += "AdmissionResponse.response.warnings of type string"
            raise InvalidAnswer(words, read=False)
    return tuple(texts[:WARNINGS_MAX])


def _annotations(given: Json | None) -> Mapping[str, str]:
    pairs = list((given or {}).items())
    for _, text in pairs:
        if not isinstance(text, str):
            words = f"json: cannot unmarshal {_json_type(text)} into Go struct field "
            words += "AdmissionResponse.response.auditAnnotations of type string"
            raise InvalidAnswer(words, read=False)
    return dict(pairs[:ANNOTATIONS_MAX])


# -- refusals -----------------------------------------------------------------------------------


def _status(given: Json | None) -> Json | None:
    """A Status, as far as its fields are of their types."""
    if given is None:
        return None
    types: Mapping[str, type] = {"message": str, "reason": str, "code": int, "details": dict}
    return {
        name: given[name]
        for name, type_ in types.items()
        if isinstance(given.get(name), type_) and not isinstance(given[name], bool)
    }


_DETAILS = ("name", "group", "kind", "uid", "causes")
_CAUSE = ("reason", "message", "field")


def refusal(name: str, result: Json | None) -> ApiError:
    """The answer to a client whose request a webhook denied. The Status of the webhook decides
    code, reason and details; what is no failure becomes a 400.
    """
    result = result or {}
    code = result.get("code", 0)
    if code < 400:
        code = 400
    reason = result.get("reason", "")
    why = result.get("message") or reason
    said = f"admission webhook {quote(name)} denied the request"
    text = f"{said}: {why}" if why else f"{said} without explanation"
    details, retry_after = _details(result.get("details"))
    return ApiError(min(code, 999), reason, text, details=details, retry_after=retry_after)


def _details(given: Json | None) -> tuple[Json | None, int | None]:
    """In the order of the struct; the time to wait by itself."""
    if given is None:
        return None, None
    out: Json = {name: given[name] for name in _DETAILS if given.get(name)}
    causes = out.get("causes")
    if isinstance(causes, list):
        out["causes"] = [
            {name: cause[name] for name in _CAUSE if cause.get(name)}
            for cause in causes
            if isinstance(cause, dict)
        ]
    else:
        out.pop("causes", None)
    retry = given.get("retryAfterSeconds")
    return out, retry if isinstance(retry, int) and retry > 0 else None
