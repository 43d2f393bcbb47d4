"""Match conditions: expressions that say whether a webhook is to be asked at all.

All must be true. One that is false settles it, whatever else fails; else an error counts as the
failure policy says. Compiled when the webhook first meets a request; what evaluates them is loaded
then.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kapi.admission.plugin import Attributes
from kapi.admission.requests.review import request_fields
from kapi.admission.requests.rules import Kinds, Place
from kapi.admission.webhooks.hooks import ConditionError
from kapi.authorization.authorizer import Authorizer
from kapi.codec.spelled import ordinary

if TYPE_CHECKING:
    from kapi.admission.requests.expressions import Expression

Json = dict[str, Any]


class MatchConditions:
    """Of one webhook; implements `kapi.admission.webhooks.hooks.Conditions`."""

    def __init__(self, hook: Json, kinds: Kinds, authorizer: Authorizer) -> None:
        self._texts = [c.get("expression", "") for c in hook.get("matchConditions") or ()]
        self._kinds = kinds
        self._authorizer = authorizer
        self._compiled: list[Expression] | None = None

    async def hold(self, a: Attributes, place: Place, obj: Json | None, old: Json | None) -> bool:
        """Raises ConditionError."""
        from kapi.admission.requests.evaluation import (
            Asker,
            ConditionsFailed,
            Scene,
            access_values,
            conditions_hold,
        )

        asker = Asker(self._authorizer, a.user)
        values: Json = {
            "object": ordinary(obj),
            "oldObject": ordinary(old),
            "request": request_fields(a, place, self._kinds.place(a)),
            "namespaceObject": None,
            **access_values(a, place, asker),
        }
        try:
            return await conditions_hold(self._expressions(), Scene(values, asker), refuses=True)
        except ConditionsFailed as e:
            raise ConditionError(str(e)) from None

    def _expressions(self) -> list[Expression]:
        from kapi.admission.requests.expressions import CONDITION, compiled, environment

        if self._compiled is None:
            where = environment(params=False, authorizer=True)
            self._compiled = [compiled(text.strip(), where, CONDITION) for text in self._texts]
        return self._compiled
