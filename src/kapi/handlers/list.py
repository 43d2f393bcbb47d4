"""GET of a collection."""

from __future__ import annotations

from dataclasses import replace

from kapi.handlers.respond import Responder
from kapi.handlers.target import Target
from kapi.messages import Request, Response
from kapi.registry.conversion import Corrupt
from kapi.registry.read import Reader


class ListHandler:
    def __init__(self, reader: Reader, respond: Responder) -> None:
        self._reader = reader
        self._respond = respond

    async def __call__(self, request: Request, target: Target) -> Response:
        accepted = self._respond.negotiate(request, transforms=True, target=target)
        form = self._respond.forms.get(target.resource, target.version)
        page = await self._reader.list(target.resource, target.namespace, request.query, form)
        if form.asks:
            page = replace(page, items=await form.twins(page.items))
        try:
            return await self._respond.long_page(request, target, page, accepted)
        except Corrupt:
            raise form.unreadable(page.items) from None
