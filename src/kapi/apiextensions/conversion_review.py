"""ConversionReview: what a conversion webhook is asked, and what may be taken from its answer.
Pure.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#response
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi.codec import json_format
from kapi.codec.json_format import JsonSyntaxError
from kapi.errors import FieldError, quote
from kapi.registry import object_meta
from kapi.registry.go_text import go_type

Json = dict[str, Any]
GROUP, KIND = "apiextensions.k8s.io", "ConversionReview"
VERSIONS = ("v1", "v1beta1")
_MALFORMED = "conversion_webhook_malformed_response_failure"
_PARTIAL = "conversion_webhook_partial_response_failure"
_INVALID = "conversion_webhook_invalid_converted_object_failure"
_IDENTITY = (("name", "name"), ("namespace", "namespace"), ("uid", "UID"))


class Mistake(Exception):
    """An answer that cannot be used; the text goes on after the webhook's name. `failure`: how it
    is counted.
    """

    def __init__(self, text: str, failure: str = _MALFORMED) -> None:
        super().__init__(text)
        self.failure = failure


def review_version(accepted: Sequence[str]) -> str:
    """The first version of ConversionReview that a webhook and this server know."""
    for version in accepted:
        if version in VERSIONS:
            return version
    raise Mistake("failed: no supported conversion review versions")


def review_text(version: str, uid: str, api_version: str, objects: Sequence[Json]) -> bytes:
    """The body to send."""
    return json_format.dumps(
        {
            "kind": KIND,
            "apiVersion": f"{GROUP}/{version}",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": list(objects)},
            "response": {"uid": "", "convertedObjects": None, "result": {"metadata": {}}},
        }
    )


def converted_objects(data: bytes, version: str, uid: str, count: int) -> list[Any]:
    """The objects of an answer, not yet looked at. Raises Mistake."""
    try:
        review = json_format.loads(data)
        json_format.check_depth(data, review)
    except JsonSyntaxError as e:
        raise Mistake(f"failed: couldn't get version/kind; json parse error: {e}") from None
    response = review.get("response") if isinstance(review, dict) else None
    if version == "v1" and isinstance(review, dict):
        _check_kind(review)
    if not isinstance(response, dict):
        raise Mistake("failed: no response provided")
    if version == "v1" and response.get("uid", "") != uid:
        got = quote(str(response.get("uid", "")))
        raise Mistake(f"failed: expected response.uid={quote(uid)}, got {got}")
    result = response.get("result")
    result = result if isinstance(result, dict) else {}
    status = result.get("status") or ""
    if status != "Success":
        said = result.get("message") or f"response.result.status was '{status}', not 'Success'"
        raise Mistake(f"failed: {said}")
    objects = response.get("convertedObjects") or []
    if not isinstance(objects, list):
        raise Mistake("failed: response.convertedObjects is no list")
    if len(objects) != count:
        raise Mistake(f"returned {len(objects)} objects, expected {count}", _PARTIAL)
    return objects


def _check_kind(review: Json) -> None:
    api_version, kind = (str(review.get(name) or "") for name in ("apiVersion", "kind"))
    if (api_version, kind) != (f"{GROUP}/v1", KIND):
        got = f"{api_version if '/' in api_version else '/' + api_version}, Kind={kind}"
        raise Mistake(f"failed: expected webhook response of {GROUP}/v1, Kind={KIND}, got {got}")


def restored(before: Json, after: Any, api_version: str) -> Json:
    """A converted object with the metadata that its webhook may not change. Raises Mistake."""
    if not isinstance(after, dict):
        raise _invalid(f"invalid type {go_type(after)}")
    given = after.get("apiVersion") or ""
    if given != api_version:
        words = f"invalid groupVersion (expected {api_version}, received {given})"
        raise _invalid(words)
    if after.get("kind") != before.get("kind"):
        words = f"expected {before.get('kind')}, received {after.get('kind') or ''}"
        raise _invalid(f"invalid kind ({words})")
    own, other = before.get("metadata") or {}, after.get("metadata")
    if isinstance(other, dict):
        for name, called in _IDENTITY:
            if (own.get(name) or "") != (other.get(name) or ""):
                words = f"{own.get(name, '')} != {other.get(name) or ''}"
                raise Mistake(
                    f"returned invalid object: must have the same {called}: {words}", _INVALID
                )
    return {**after, "metadata": _metadata(own, other)}


def _invalid(words: str) -> Mistake:
    return Mistake(f"returned invalid object at index 0: {words}", _INVALID)


def _bad_metadata(words: str) -> Mistake:
    return Mistake(f"returned invalid metadata: {words}", _INVALID)


def _metadata(own: Json, other: Any) -> Json:
    if other is None:
        raise _bad_metadata("missing metadata in converted object")
    if not isinstance(other, dict):
        raise _bad_metadata(f"invalid metadata of type {go_type(other)} in converted object")
    out = {k: v for k, v in own.items() if k not in ("labels", "annotations")}
    for name in ("labels", "annotations"):
        given = other.get(name)
        if given is None:
            continue
        if not isinstance(given, dict):
            words = f"invalid metadata.{name} of type {go_type(given)} in converted object"
            raise _bad_metadata(words)
        for key, value in given.items():
            if not isinstance(value, str):
                words = f"must be a string, but is {go_type(value)} in converted object"
                raise _bad_metadata(f"metadata.{name}[{key}] {words}")
        if given != (own.get(name) or {}) and (found := _complaints(name, given)):
            texts = [str(e) for e in found]
            raise _bad_metadata(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
        out[name] = given
    return out


def _complaints(name: str, given: Json) -> list[FieldError]:
    if name == "labels":
        return object_meta.validate_labels(given, "metadata.labels")
    return object_meta.validate_annotations(given, "metadata.annotation")
