"""Why a document does not decode, and which of its fields are unknown or repeated: for any schema.

Built-in kinds have the words of encoding/json, custom ones those of structural schemas. Documents
come from `json_format.loads_exact`.
"""

from __future__ import annotations

from typing import Any

from kapi.schema import decoding_errors, pruning_errors
from kapi.schema.structural import Schema


def type_error(schema: Schema, document: Any) -> str:
    """Why it does not fit; empty if it does."""
    if schema.typed:
        return decoding_errors.type_error(schema, document)
    return pruning_errors.type_error(schema, document)


def strict_errors(schema: Schema, document: Any) -> list[str]:
    """`unknown field "spec.nope"` and `duplicate field "metadata.name"`."""
    if schema.typed:
        return decoding_errors.strict_errors(schema, document)
    return pruning_errors.strict_errors(schema, document)
