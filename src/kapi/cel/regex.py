"""Regular expressions of CEL: Go's (`schema/go_regex.py`), with errors of evaluation."""

from __future__ import annotations

from kapi.cel.values import EvalError
from kapi.schema.go_regex import GoPattern, GoRegexError, compile_go


def compiled(pattern: str) -> GoPattern:
    """Raises EvalError with Go's words."""
    try:
        return compile_go(pattern)
    except GoRegexError as e:
        raise EvalError(str(e)) from None
