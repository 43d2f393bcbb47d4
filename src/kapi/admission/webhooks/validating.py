"""ValidatingAdmissionWebhook: webhooks that may refuse a request, all asked at once.

The first refusal to come is the client's answer, but only after every webhook has answered: each
may have warnings, and none is cut short.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import asyncio

from kapi.admission.plugin import Attributes, Operation
from kapi.admission.requests.rules import Place
from kapi.admission.webhooks.calls import Caller, CallFailed, View
from kapi.admission.webhooks.hooks import Hook
from kapi.errors import ApiError

NAME = "ValidatingAdmissionWebhook"
_FAILED_OPEN = "failed-open.validating.webhook.admission.k8s.io/round_0_index_"


class ValidatingAdmissionWebhook:
    name = NAME
    live = True

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return bool(self._caller.source.hooks(operation, group, resource, subresource))

    async def validate(self, attributes: Attributes) -> None:
        a, caller = attributes, self._caller
        own = caller.kinds.place(a)
        view = View(caller.kinds, a, own)
        asked: list[tuple[Hook, Place]] = []
        for hook in caller.source.hooks(a.operation, a.group, a.resource, a.subresource):
            place = await caller.wanted(hook, a, own, view)
            if place is not None:
                asked.append((hook, place))
                await view.request(place)  # made once, before several want it
        refused: list[ApiError] = []  # in the order in which they came

        async def ask(index: int, hook: Hook, place: Place) -> None:
            try:
                await caller.measured(hook, a, self._call(hook, a, place, view))
            except CallFailed:
                a.annotate(f"{_FAILED_OPEN}{index}", hook.name)
            except ApiError as e:
                refused.append(e)

        if len(asked) == 1:
            await ask(0, *asked[0])
        elif asked:
            async with asyncio.TaskGroup() as group:
                for index, (hook, place) in enumerate(asked):
                    group.create_task(ask(index, hook, place))
        if refused:
            raise refused[0]

    async def _call(self, hook: Hook, a: Attributes, place: Place, view: View) -> None:
        await self._caller.ask(hook, a, place, view)
