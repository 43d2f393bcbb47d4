"""What a JSON patch says twice, and what its operations do not know.

The real server reads the operations strictly by themselves, and keeps the text of their values: so
a name that a value repeats is repeated in the result, too, and is told of there again. Used by
`handlers/patch.py`.
"""

from __future__ import annotations

from typing import Any

from kapi.codec import json_format
from kapi.codec.json_spans import EACH, spans
from kapi.codec.spelled import Spelled
from kapi.handlers.decode import Document
from kapi.schema.complaints import strict_errors
from kapi.schema.structural import Property, Schema


def _operations(*, typed: bool) -> Schema:
    """A list of operations: as a Go struct, or with what stands in their values."""
    text = Schema("string", typed=typed)
    value = Schema("any", typed=typed, preserve_unknown=True)
    fields = {name: Property(name, text) for name in ("op", "path", "from")}
    fields["value"] = Property("value", value)
    return Schema("array", typed=typed, items=Schema("object", typed=typed, properties=fields))


_STRUCTS, _VALUES = _operations(typed=True), _operations(typed=False)


def complaints(patch: Document) -> tuple[str, ...]:
    """Strict findings, as `json patch duplicate field "[0].value.a"`."""
    exact = json_format.loads_exact(patch.text)
    found = [*strict_errors(_STRUCTS, exact), *strict_errors(_VALUES, exact)]
    return tuple(f"json patch {words}" for words in dict.fromkeys(found))


def as_written(patch: Document) -> Any:
    """The operations; values that are objects and repeat a name keep their text."""
    operations = patch.value
    if not isinstance(operations, list) or not json_format.has_duplicates(patch.text, operations):
        return operations
    out = list(operations)
    for (index, _), (start, stop) in spans(patch.text, [(EACH, "value")]).items():
        assert isinstance(index, int)
        value, text = out[index]["value"], patch.text[start:stop]
        if isinstance(value, dict) and json_format.has_duplicates(text, value):
            out[index] = {**out[index], "value": Spelled(value, text)}
    return out
