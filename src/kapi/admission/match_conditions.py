"""Match conditions: expressions that say whether a webhook is to be asked at all.

All must be true. One that is false settles it, whatever else fails; else an error counts as the
failure policy says. Compiled when the webhook first meets a request.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kapi.admission.hooks import ConditionError
from kapi.admission.plugin import Attributes
from kapi.admission.review import request_fields
from kapi.admission.rules import Kinds, Place, called, namespace_of
from kapi.authorization.authorizer import Attributes as Asked
from kapi.authorization.authorizer import Authorizer, Decision, aggregate
from kapi.messages import UserInfo

if TYPE_CHECKING:
    from kapi.cel.environment import Environment
    from kapi.cel.lib_authorizer import Answer, Question
    from kapi.cel.program import Program

Json = dict[str, Any]
COST_MAX = 2_500_000  # units that the conditions of one webhook may take for a request
QUESTIONS_MAX = 100  # that they may ask of the authorizer
NO_BUDGET = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)


class MatchConditions:
    """Of one webhook; implements `kapi.admission.hooks.Conditions`."""

    def __init__(self, hook: Json, kinds: Kinds, authorizer: Authorizer) -> None:
        self._texts = [c.get("expression", "") for c in hook.get("matchConditions") or ()]
        self._kinds = kinds
        self._authorizer = authorizer
        self._programs: list[Program] | None = None

    async def hold(self, a: Attributes, place: Place, obj: Json | None, old: Json | None) -> bool:
        """Raises ConditionError."""
        from kapi.cel.lib_authorizer import Answers, ResourceCheck, Unanswered
        from kapi.cel.lib_authorizer import Authorizer as Variable

        answers = Answers()
        fields = request_fields(a, place, self._kinds.place(a))
        values: dict[str, Any] = {
            "object": obj,
            "oldObject": old,
            "request": {k: v for k, v in fields.items() if v is not None},
            "authorizer": Variable(answers),
            "authorizer.requestResource": ResourceCheck(answers, _question(a)),
        }
        for _ in range(QUESTIONS_MAX):
            try:
                return self._all(values)
            except Unanswered as asked:
                answers.known[asked.question] = await self._answer(a.user, asked.question)
        raise ConditionError("too many questions to the authorizer")

    def _all(self, values: Mapping[str, Any]) -> bool:
        from kapi.cel.program import CALL_COST_MAX, CostLimitError

        found: list[str] = []
        left = COST_MAX
        for program in self._compiled():
            outcome = program.evaluate(values, limit=min(left, CALL_COST_MAX))
            left -= outcome.cost
            if left < 0 or (isinstance(outcome.error, CostLimitError) and left < CALL_COST_MAX):
                raise ConditionError(NO_BUDGET)
            if outcome.error is not None:
                text = f"expression '{program.text}' resulted in error: {outcome.error}"
                found.append(text)
            elif outcome.value is False:
                return False
        if found:
            raise ConditionError(aggregate(found))
        return True

    def _compiled(self) -> list[Program]:
        from kapi.cel.program import CompileError, compile_expression

        if self._programs is None:
            try:
                self._programs = [compile_expression(t, environment()) for t in self._texts]
            except CompileError as e:
                raise ConditionError(f"compilation error: {e}") from None
        return self._programs

    async def _answer(self, user: UserInfo, question: Question) -> Answer:
        from kapi.cel.lib_authorizer import Answer

        if question.service_account is not None:
            user = _service_account(*question.service_account)
        q = question
        asked = Asked(
            user=user,
            verb=q.verb,
            is_resource=not q.path,
            group=q.group,
            version="*" if not q.path else "",
            namespace=q.namespace,
            resource=q.resource,
            subresource=q.subresource,
            name=q.name,
            path=q.path,
            field_selector=q.field_selector,
            label_selector=q.label_selector,
        )
        decision, reason = await self._authorizer.authorize(asked)
        return Answer(decision is Decision.ALLOW, reason)


def _service_account(namespace: str, name: str) -> UserInfo:
    of_all, own = "system:serviceaccounts", f"system:serviceaccounts:{namespace}"
    groups = (of_all, own, "system:authenticated")
    return UserInfo(name=f"system:serviceaccount:{namespace}:{name}", groups=groups)


def _question(a: Attributes) -> Question:
    """What `authorizer.requestResource` asks about, but for the verb."""
    from kapi.cel.lib_authorizer import Question

    about = Question("", group=a.group, resource=a.resource, subresource=a.subresource)
    return replace(about, namespace=namespace_of(a), name=called(a))


@lru_cache(maxsize=1)
def environment() -> Environment:
    """What match conditions may speak of; objects are of no declared type."""
    from kapi.cel.environment import kubernetes
    from kapi.cel.lib_authorizer import AUTHORIZER, RESOURCE_CHECK
    from kapi.cel.types import DYN

    return kubernetes().extended(
        {
            "object": DYN,
            "oldObject": DYN,
            "request": DYN,
            "authorizer": AUTHORIZER,
            "authorizer.requestResource": RESOURCE_CHECK,
        }
    )
