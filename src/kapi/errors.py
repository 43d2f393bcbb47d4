"""The one error that crosses package borders: an `ApiError` is a Kubernetes `Status`.

Every layer raises `ApiError` (by a constructor named after its reason) or one of its own few
errors that it translates at its border. `filters/panic_recovery.py` is the only place that turns
one into an answer.

`FieldError` is one finding of validation; `invalid()` packs all findings of an object into a 422.
Shapes: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import orjson

Json = dict[str, Any]


class ApiError(Exception):
    """A failed request: carries the fields of a `Status` and the headers that go with it."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Json | None = None,
        retry_after: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after  # seconds; sent as Retry-After and details.retryAfterSeconds
        self.headers = tuple(headers)
        self.metadata: Json = {}  # of the Status: an expired list says here how to go on

    def status(self) -> Json:
        """The `Status` object, in the field order of the real server."""
        out: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            out["reason"] = self.reason
        details = self.details
        if self.retry_after is not None:
            details = {**(details or {}), "retryAfterSeconds": self.retry_after}
        if details is not None:
            out["details"] = details
        out["code"] = self.code
        return out


def resource_name(group: str, resource: str) -> str:
    """`deployments.apps`, or `pods` for the core group: how messages name a resource."""
    return f"{resource}.{group}" if group else resource


def _details(group: str, kind: str, name: str = "", **more: Any) -> Json:
    out: Json = {}
    if name:
        out["name"] = name
    if group:
        out["group"] = group
    if kind:
        out["kind"] = kind
    out.update({k: v for k, v in more.items() if v})
    return out


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> ApiError:
    return ApiError(401, "Unauthorized", message)


def forbidden(group: str, resource: str, name: str, message: str) -> ApiError:
    """403 in the words of a refused resource request; `message` is what follows `is forbidden:
    `.
    """
    subject = resource_name(group, resource) + (f" {quote(name)}" if name else "")
    text = f"{subject} is forbidden: {message}" if resource else f"forbidden: {message}"
    return ApiError(403, "Forbidden", text, details=_details(group, resource, name))


def not_found(group: str, resource: str, name: str) -> ApiError:
    return ApiError(
        404,
        "NotFound",
        f"{resource_name(group, resource)} {quote(name)} not found",
        details=_details(group, resource, name),
    )


def path_not_found() -> ApiError:
    """404 for a group, version or resource that is not served."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def method_not_allowed(group: str = "", resource: str = "") -> ApiError:
    return ApiError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        details=_details(group, resource),
    )


def not_acceptable(media_types: Sequence[str]) -> ApiError:
    accepted = ", ".join(media_types)
    return ApiError(
        406, "NotAcceptable", f"only the following media types are accepted: {accepted}"
    )


def already_exists(group: str, resource: str, name: str) -> ApiError:
    return ApiError(
        409,
        "AlreadyExists",
        f"{resource_name(group, resource)} {quote(name)} already exists",
        details=_details(group, resource, name),
    )


def conflict(group: str, resource: str, name: str, message: str) -> ApiError:
    """409; `message` is what follows `Operation cannot be fulfilled on …: `."""
    return ApiError(
        409,
        "Conflict",
        f"Operation cannot be fulfilled on {resource_name(group, resource)} "
        f"{quote(name)}: {message}",
        details=_details(group, resource, name),
    )


OBJECT_MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def gone(message: str) -> ApiError:
    """410 of a path that is no more."""
    return ApiError(410, "Gone", message)


def expired(message: str) -> ApiError:
    """410 of a resource version or continue token that is too old."""
    return ApiError(410, "Expired", message)


def request_entity_too_large(message: str) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", message)


def unsupported_media_type(media_types: Sequence[str]) -> ApiError:
    accepted = ", ".join(media_types)
    return ApiError(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - "
        f"accepted media types include: {accepted}",
    )


def too_many_requests(message: str, retry_after: int = 1) -> ApiError:
    return ApiError(429, "TooManyRequests", message, retry_after=retry_after)


def internal_error(message: str) -> ApiError:
    """500 as a handler's own `Status`; the causes carry the message as the real server does."""
    return ApiError(
        500,
        "InternalError",
        f"Internal error occurred: {message}",
        details={"causes": [{"message": message}]},
    )


def service_unavailable(message: str, retry_after: int | None = None) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message, retry_after=retry_after)


def timeout(message: str, *, group: str = "", resource: str = "", retry_after: int = 0) -> ApiError:
    """504: the deadline passed."""
    return ApiError(
        504,
        "Timeout",
        message,
        details=_details(group, resource),
        retry_after=retry_after or None,
    )


# -- findings of validation ---------------------------------------------------------------------

_WORDS = {
    "FieldValueRequired": "Required value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueNotFound": "Not found",
    "InternalError": "Internal error",
    "FieldValueTypeInvalid": "Invalid value",
}

NO_VALUE = object()  # as bad_value: print none


@dataclass(frozen=True, slots=True)
class FieldError:
    """One finding: where, what kind, the value that was found (printed as the real server prints
    it).
    """

    field: str
    reason: str
    value: Any = NO_VALUE
    detail: str = ""

    def __post_init__(self) -> None:
        made = _made.get()
        if made is not None:
            made.append(self)
            if len(made) == FINDINGS_MAX + 1:
                raise TooManyFindings(made[:FINDINGS_MAX])

    def body(self) -> str:
        """The finding without its field: the `message` of a cause."""
        word = _WORDS[self.reason]
        if self.reason in _VALUELESS or self.value is NO_VALUE:
            head = word
        else:
            head = f"{word}: {quote_value(self.value)}"
        return f"{head}: {self.detail}" if self.detail else head

    def cause(self) -> Json:
        return {"reason": self.reason, "message": self.body(), "field": self.field or "[]"}

    def __str__(self) -> str:
        return f"{self.field or '[]'}: {self.body()}"


# Of one object. The real server tells them all, and takes gigabytes for a body of 3 MB.
FINDINGS_MAX = 5000
_made: ContextVar[list[FieldError] | None] = ContextVar("findings", default=None)


class TooManyFindings(Exception):
    """Whoever looked for findings found more than one answer holds; `found`: the first of them,
    with a last one that says so."""

    def __init__(self, found: list[FieldError]) -> None:
        super().__init__(f"more than {FINDINGS_MAX} findings")
        words = f"only the first {FINDINGS_MAX} findings are told"
        self.found = [*found, FieldError("", "FieldValueTooMany", NO_VALUE, words)]


@contextmanager
def bounded_findings(*, told: bool = True) -> Iterator[None]:
    """Inside, to make more than FINDINGS_MAX findings raises TooManyFindings. Not `told`: what is
    found inside only decides something, and is not counted."""
    token = _made.set([] if told else None)
    try:
        yield
    finally:
        _made.reset(token)


_VALUELESS = {"FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong", "InternalError"}


class GoText(str):
    """A value that prints in a finding as it stands, without quotes (a Go struct, say)."""

    __slots__ = ()


def quote_value(value: Any) -> str:
    """A bad value as Go prints it in a field error: strings quoted, objects as JSON, nil as
    null.
    """
    if isinstance(value, GoText):
        return str(value)
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    if isinstance(value, int):
        return str(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\", '"': '\\"',
}  # fmt: skip


# From here on a character stands for a byte that is no UTF-8: codec/protobuf_format.py.
_FIRST_BYTE = "\U0010ff80"


def quote(text: str) -> str:
    """A string as Go's `%q` prints it."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    out = []
    for c in text:
        if c in _ESCAPES:
            out.append(_ESCAPES[c])
        elif c >= _FIRST_BYTE:
            out.append(f"\\x{ord(c) & 0xFF:02x}")
        elif c.isprintable():
            out.append(c)
        elif ord(c) < 0x80:
            out.append(f"\\x{ord(c):02x}")
        elif ord(c) < 0x10000:
            out.append(f"\\u{ord(c):04x}")
        else:
            out.append(f"\\U{ord(c):08x}")
    return '"' + "".join(out) + '"'


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(field, "FieldValueRequired", "", detail)


def invalid_value(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(field, "FieldValueInvalid", value, detail)


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    listed = ", ".join(quote(s) for s in supported)
    return FieldError(
        field, "FieldValueNotSupported", value, f"supported values: {listed}" if listed else ""
    )


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError(field, "FieldValueDuplicate", value)


def field_forbidden(field: str, detail: str) -> FieldError:
    return FieldError(field, "FieldValueForbidden", NO_VALUE, detail)


def too_long(field: str, max_bytes: int) -> FieldError:
    unit = "byte" if max_bytes == 1 else "bytes"
    detail = f"may not be more than {max_bytes} {unit}"
    return FieldError(field, "FieldValueTooLong", NO_VALUE, detail)


def too_many(field: str, count: int, max_items: int) -> FieldError:
    unit = "item" if max_items == 1 else "items"
    return FieldError(field, "FieldValueTooMany", count, f"must have at most {max_items} {unit}")


def field_not_found(field: str, value: Any, detail: str = "") -> FieldError:
    return FieldError(field, "FieldValueNotFound", value, detail)


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422 with every finding: one stands alone in the message, several in brackets, duplicates
    once.
    """
    texts = list(dict.fromkeys(str(e) for e in errors))
    text = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    qualified = f"{kind}.{group}" if group else kind
    details: Mapping[str, Any] = _details(group, kind, name, causes=[e.cause() for e in errors])
    return ApiError(
        422, "Invalid", f"{qualified} {quote(name)} is invalid: {text}", details=dict(details)
    )
