"""GET of an object: from the cache to bytes in four calls."""

from __future__ import annotations

from kapi.handlers.respond import Responder
from kapi.handlers.target import Target
from kapi.messages import Request, Response
from kapi.registry.read import Reader


class GetHandler:
    """Serves objects, and subresources of the same kind (status)."""

    def __init__(self, reader: Reader, respond: Responder) -> None:
        self._reader = reader
        self._respond = respond

    async def __call__(self, request: Request, target: Target) -> Response:
        accepted = self._respond.negotiate(request, transforms=True, target=target)
        item = await self._reader.get(target.resource, target.namespace, target.name, request.query)
        if target.resource.conversions is not None:
            await self._respond.forms.get(target.resource, target.version).ready((item,))
        return self._respond.item(request, target, item, accepted)
