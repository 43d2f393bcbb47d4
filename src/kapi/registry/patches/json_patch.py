"""JSON patch (RFC 6902), as kube-apiserver's library reads it. Pure: neither the document nor the
patch is changed.

Called by `handlers/patch.py` and `equivalents.py`. What differs from the RFC is on purpose, it is
what clients meet: `replace` of an absent member adds it, `test` of an absent member equals null,
array indexes may be negative, and a patch without a `value` means null. To a client whatever does
not apply is one and the same 422; `applied`, for the patches of webhooks, says why.

Containers on the way of an operation come out with their members sorted by name: the real server
decodes exactly these and prints them so where it quotes the patched object.

https://www.rfc-editor.org/rfc/rfc6902
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from kapi.errors import ApiError, bad_request, quote, request_entity_too_large

OPERATIONS_MAX = 10_000  # operations in one patch; more is a 413. The real server's own limit
COPY_BYTES_MAX = (
    3 * 1024 * 1024
)  # JSON bytes that `copy` may add in one patch: the size limit of a body
_FIELDS = ("op", "path", "from")
_INDEX = re.compile(r"[+-]?[0-9]{1,18}\Z")


class NotApplicable(Exception):
    """An operation that does not fit the document; the text says why, as the library does."""


def unprocessable() -> ApiError:
    """422 of a well-formed patch that does not apply; why not is kept from the client."""
    return ApiError(
        422, "Invalid", "the server rejected our request due to an error in our request", details={}
    )


def json_patch(doc: Any, patch: Any, *, lenient: bool = False) -> Any:
    """The patched document. `lenient`: field validation is Ignore, which reads the patch less
    strictly.

    Raises ApiError: 400 for what is no patch, 413 for too many operations, 422 for one that does
    not apply.
    """
    if patch is None:
        return doc
    _check_shape(patch, lenient=lenient)
    if len(patch) > OPERATIONS_MAX:
        raise request_entity_too_large(
            f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(patch)}"
        )
    try:
        return applied(doc, patch)
    except NotApplicable:
        raise unprocessable() from None


def applied(doc: Any, patch: list[dict[str, Any] | None]) -> Any:
    """The patched document, of operations that are objects. Raises NotApplicable."""
    run = _Run(doc)
    try:
        for operation in patch:
            run.apply(operation or {})
    except (RecursionError, orjson.JSONEncodeError):
        raise NotApplicable("the document is too deep") from None
    return run.finish()


def _check_shape(patch: Any, *, lenient: bool) -> None:
    if lenient:
        if not isinstance(patch, list):
            raise bad_request(_unmarshal(patch, "value", "jsonpatch.Patch"))
        for operation in patch:
            if operation is not None and not isinstance(operation, dict):
                raise bad_request(_unmarshal(operation, "value", "jsonpatch.Operation"))
        return
    if not isinstance(patch, list):
        raise bad_request(_decoding(_unmarshal(patch, "value", "[]handlers.jsonPatchOp")))
    for operation in patch:
        if operation is None:
            continue
        if not isinstance(operation, dict):
            raise bad_request(_decoding(_unmarshal(operation, "value", "handlers.jsonPatchOp")))
        for name, value in operation.items():
            if name in _FIELDS and value is not None and not isinstance(value, str):
                where = f"struct field jsonPatchOp.{name}"
                raise bad_request(_decoding(_unmarshal(value, where, "string")))


def _decoding(message: str) -> str:
    return f"error decoding patch: {message}"


def _unmarshal(value: Any, where: str, wanted: str) -> str:
    return f"json: cannot unmarshal {json_type(value)} into Go {where} of type {wanted}"


def json_type(value: Any) -> str:
    """What encoding/json calls a value of the wrong type."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


class _Run:
    """One application: containers are copied when first entered, so sharing with the document is
    safe.
    """

    def __init__(self, doc: Any) -> None:
        self._own: dict[int, Any] = {}  # containers made here, by identity
        self._root = self._enter(doc)
        self._copied = 0

    def finish(self) -> Any:
        for container in self._own.values():
            if isinstance(container, dict) and len(container) > 1:
                items = sorted(container.items())
                container.clear()
                container.update(items)
        return self._root

    def apply(self, operation: dict[str, Any]) -> None:
        path, name = operation.get("path"), operation.get("op")
        if not isinstance(path, str):
            raise NotApplicable(f"{name} operation does not apply: missing path: missing value")
        match name:
            case "add":
                self._add(path, operation.get("value"))
            case "remove":
                container, key = self._find(path, "remove")
                with _told(f"error in remove for path: '{path}'"):
                    _remove(container, key)
            case "replace":
                self._replace(path, operation)
            case "move":
                source = _source(operation, "move")
                container, key = self._find(source, "move", "from ")
                with _told(f"error in move for path: '{key}'"):
                    value = _get(container, key)
                    _remove(container, key)
                self._add(path, value, "move")
            case "copy":
                source = _source(operation, "copy")
                container, key = self._find(source, "copy", "from ")
                with _told(f"error in copy for from: '{source}'"):
                    value = _get(container, key)
                self._copied += len(orjson.dumps(value))
                if self._copied > COPY_BYTES_MAX:
                    raise NotApplicable(
                        "Unable to copy, the accumulated size increase of copy is "
                        f"{self._copied}, exceeding the limit {COPY_BYTES_MAX}"
                    )
                # The value now has two places: neither may change in place any more.
                self._disown(value)
                self._add(path, value, "copy")
            case "test":
                found = self._root if path == "" else self._tested(path)
                if not same(found, operation.get("value")):
                    raise NotApplicable(f"testing value {path} failed: test failed")
            case _:
                raise NotApplicable(f"Unexpected kind: {name or 'unknown'}")

    def _tested(self, path: str) -> Any:
        container, key = self._find(path, "test")
        with _told(f"error in test for path: '{path}'"):
            return _get(container, key)

    def _enter(self, value: Any) -> Any:
        if id(value) in self._own or not isinstance(value, (dict, list)):
            return value
        copy = value.copy()
        self._own[id(copy)] = copy
        return copy

    def _disown(self, value: Any) -> None:
        if isinstance(value, (dict, list)) and self._own.pop(id(value), None) is not None:
            for child in value.values() if isinstance(value, dict) else value:
                self._disown(child)

    def _find(self, path: str, name: str, what: str = "") -> tuple[Any, str]:
        """The container that holds the last part of a path, and that part. `name`: of the
        operation.
        """
        parts = path.split("/")
        if len(parts) < 2:
            raise _missing(name, what, path)
        here = self._root
        for part in parts[1:-1]:
            key = _decode(part)
            try:
                child = _get(here, key)
            except NotApplicable:
                child = None
            if not isinstance(child, (dict, list)):
                raise _missing(name, what, path)
            entered = self._enter(child)
            if entered is not child:
                if isinstance(here, dict):
                    here[key] = entered
                else:
                    here[int(key)] = entered
            here = entered
        return here, _decode(parts[-1])

    def _add(self, path: str, value: Any, name: str = "add") -> None:
        container, key = self._find(path, name, "" if name == "add" else "destination ")
        if isinstance(container, dict):
            container[key] = value
        elif key == "-":
            container.append(value)
        else:
            with _told(f"error in {name} for path: '{path}'"):
                container.insert(_index(key, len(container) + 1), value)

    def _replace(self, path: str, operation: dict[str, Any]) -> None:
        value = operation.get("value")
        if path == "":
            if not isinstance(value, (dict, list)):
                raise NotApplicable("replace operation hit unexpected value")
            self._root = self._enter(value)
            return
        container, key = self._find(path, "replace")
        if isinstance(container, dict):
            container[key] = value
        else:
            with _told(f"error in remove for path: '{path}'"):
                container[_index(key, len(container))] = value


def _missing(name: str, what: str, path: str) -> NotApplicable:
    shown = path if name in ("replace", "move", "copy") else f'"{path}"'
    return NotApplicable(
        f"{name} operation does not apply: doc is missing {what}path: {shown}: missing value"
    )


@contextmanager
def _told(before: str) -> Iterator[None]:
    try:
        yield
    except NotApplicable as e:
        raise NotApplicable(f"{before}: {e}") from None


def _source(operation: dict[str, Any], name: str) -> str:
    source = operation.get("from")
    if not isinstance(source, str):
        raise NotApplicable(f"{name} operation does not apply: missing from: missing value")
    return source


def _decode(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~") if "~" in part else part


def _index(key: str, length: int) -> int:
    if not _INDEX.match(key):
        words = f"value was not a proper array index: {quote(key)}"
        raise NotApplicable(f"strconv.Atoi: parsing {quote(key)}: invalid syntax: {words}")
    index = int(key)
    if index < 0:
        index += length
    if not 0 <= index < length:
        words = f"Unable to access invalid index: {int(key)}"
        raise NotApplicable(f"{words}: invalid index referenced")
    return index


def _get(container: Any, key: str) -> Any:
    if isinstance(container, dict):
        return container.get(key)
    return container[_index(key, len(container))]


def _remove(container: Any, key: str) -> None:
    if isinstance(container, dict):
        if key not in container:
            raise NotApplicable(f"Unable to remove nonexistent key: {key}: missing value")
        del container[key]
    else:
        del container[_index(key, len(container))]


def same(a: Any, b: Any) -> bool:
    """Equality of JSON values: as Python's, but true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict):
        return (
            isinstance(b, dict)
            and len(a) == len(b)
            and all(k in b and same(v, b[k]) for k, v in a.items())
        )
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
