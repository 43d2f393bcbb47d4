"""What one attempt to write has to warn of.

The warnings of a kind come before those of validating admission, but are looked for last: while the
store is at work. Used by the write pipeline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kapi.admission.plugin import Attributes
from kapi.errors import ApiError
from kapi.registry.change import Change
from kapi.registry.strategy import Context

Json = dict[str, Any]


class Warned:
    """Warnings of an object that is to be written; `current` is what stands there."""

    def __init__(
        self, change: Change, stored: Json, current: Json | None, context: Context
    ) -> None:
        self._change = change
        self._objects = stored, current
        self._context = context
        self._found: list[str] | None = None
        self._later: list[str] = []

    async def around(
        self, validate: Callable[[Attributes], Awaitable[None]], attributes: Attributes
    ) -> None:
        """Admission, whose warnings come later. Raises ApiError, when everything has been told."""
        attributes.warn = self._later.append
        try:
            await validate(attributes)
        except ApiError:
            self.tell()
            raise

    def look(self) -> list[str]:
        """The warnings of the kind."""
        if self._found is None:
            strategy = self._change.resource.strategy
            self._found = strategy.warnings(*self._objects, self._context)
        return self._found

    def tell(self) -> None:
        """Warn of everything. To be called once."""
        for text in (*self.look(), *self._later):
            self._change.warn(text)
