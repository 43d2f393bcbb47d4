"""JSON merge patch (RFC 7386). Pure: neither the document nor the patch is changed; untouched parts
are shared.

Called by `handlers/patch.py`. Null removes a member, objects merge, anything
else replaces. Objects on the way of the patch come out sorted by name, as the real server prints
them where it quotes the result.

https://www.rfc-editor.org/rfc/rfc7386
"""

from __future__ import annotations

from typing import Any

from kapi.errors import bad_request
from kapi.registry.patches.json_patch import json_type, unprocessable

_NOT_A_PATCH = "invalid JSON patch"


def merge_patch(doc: dict[str, Any], patch: Any, *, lenient: bool = False) -> Any:
    """The patched document. `lenient`: field validation is Ignore, which reads the patch less
    strictly.

    Raises ApiError 400 for what is no patch.
    """
    try:
        if isinstance(patch, dict):
            return _merge(doc, patch)
        if patch is None:
            raise bad_request(_NOT_A_PATCH)
        if not lenient:
            raise bad_request(
                f"error decoding patch: json: cannot unmarshal {json_type(patch)} "
                "into Go value of type map[string]interface {}"
            )
        if isinstance(patch, list):
            return _pruned(patch)
        raise bad_request(_NOT_A_PATCH)
    except RecursionError:  # deeper than any object kapi could store
        raise unprocessable() from None


def _merge(doc: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    out = dict(doc)
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
            continue
        here = out.get(name)
        if isinstance(here, dict):
            out[name] = _merge(here, value) if isinstance(value, dict) else value
        else:
            out[name] = _pruned(value)
    return dict(sorted(out.items()))


def _pruned(value: Any) -> Any:
    """A new value without members that are null: they had nothing to remove."""
    if isinstance(value, dict):
        return {name: _pruned(v) for name, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_pruned(v) for v in value]
    return value
