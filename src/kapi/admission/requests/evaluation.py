"""One request as expressions see it, and the evaluation of a policy's expressions over it.

A `Scene` is made per policy and param; each group of expressions (validations, messages, audit
annotations, one mutation) is a `Pass` with a budget. Variables are evaluated when first asked for,
once per pass. An expression that asks the authorizer is evaluated again when the answer is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from kapi.admission.plugin import Attributes
from kapi.admission.requests.expressions import BUDGET, CALL_COST_MAX, CONDITIONS_BUDGET, Expression
from kapi.admission.requests.rules import Place, called, namespace_of
from kapi.authorization import authorizer as access
from kapi.cel.lib_authorizer import Answer, Answers, Authorizer, Question, ResourceCheck, Unanswered
from kapi.cel.program import Outcome, Program
from kapi.cel.values import EvalError, no_such_key, no_such_overload
from kapi.messages import UserInfo

Json = dict[str, Any]
Variables = Sequence[tuple[str, Expression]]

_NAMESPACE_META = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels",
    "annotations", "finalizers",
)  # fmt: skip
QUESTIONS_MAX = 100  # different ones of one evaluation; what asks more fails


class OutOfBudget(Exception):
    """The expressions of a pass took more than they may together."""

    def __init__(self) -> None:
        super().__init__(
            "validation failed due to running out of cost budget, "
            "no further validation rules will be run"
        )


@dataclass(frozen=True, slots=True)
class Result:
    """Of one expression: a value, or the text of an error."""

    value: Any
    error: str = ""


class Asker:
    """Asks the authorizer for expressions, each question once per request."""

    def __init__(self, authorizer: access.Authorizer, user: UserInfo) -> None:
        self._authorizer = authorizer
        self._user = user
        self.answers = Answers()

    async def ask(self, question: Question) -> None:
        q = question
        if len(self.answers.known) >= QUESTIONS_MAX:
            self.answers.known[q] = Answer(False, error="too many questions to the authorizer")
            return
        user = self._user
        if q.service_account is not None:
            user = service_account(*q.service_account)
        asked = access.Attributes(
            user=user,
            verb=q.verb,
            is_resource=not q.path,
            group=q.group,
            version="" if q.path else "*",
            namespace=q.namespace,
            resource=q.resource,
            subresource=q.subresource,
            name=q.name,
            path=q.path,
            field_selector=q.field_selector,
            label_selector=q.label_selector,
        )
        decision, reason, failure = await access.decide(self._authorizer, asked)
        self.answers.known[q] = Answer(decision is access.Decision.ALLOW, reason, failure)


def service_account(namespace: str, name: str) -> UserInfo:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return UserInfo(
        name=f"system:serviceaccount:{namespace}:{name}",
        groups=(*groups, "system:authenticated"),
    )


def namespace_fields(namespace: Json | None) -> Json | None:
    """What expressions see of the namespace that a request is in."""
    if namespace is None:
        return None
    meta = namespace["metadata"]
    out: Json = {"metadata": {name: meta[name] for name in _NAMESPACE_META if name in meta}}
    for name in ("spec", "status"):
        out[name] = namespace.get(name) or {}
    return out


def access_values(a: Attributes, place: Place, asker: Asker) -> Json:
    """The variables that ask what the user may do."""
    question = Question(
        "",
        group=place.group,
        resource=place.resource,
        subresource=place.subresource,
        namespace=namespace_of(a),
        name=called(a),
    )
    return {
        "authorizer": Authorizer(asker.answers),
        "authorizer.requestResource": ResourceCheck(asker.answers, question),
    }


@dataclass(slots=True)
class Scene:
    """What the expressions of a policy speak of, for one request and one param."""

    values: Mapping[str, Any]  # by the names of variables; those of `authorizer` included
    asker: Asker
    variables: Variables = ()
    _composed: Mapping[str, Expression] = field(init=False)

    def __post_init__(self) -> None:
        self._composed = dict(self.variables)  # of several with one name the last counts

    def begin(self, budget: int = BUDGET) -> Pass:
        return Pass(self.values, self._composed, self.asker, budget)


class Pass:
    """Expressions that share a budget and the values of their variables."""

    def __init__(
        self,
        values: Mapping[str, Any],
        composed: Mapping[str, Expression],
        asker: Asker,
        budget: int,
    ) -> None:
        self._values = dict(values)
        self._composed = Composed(composed, self._values) if composed else None
        if self._composed is not None:
            self._values["variables"] = self._composed
        self._ask: Callable[[Question], Awaitable[None]] = asker.ask
        self.budget = budget

    async def run(self, expression: Expression) -> Result:
        """Raises OutOfBudget."""
        program = expression.program
        if program is None:
            return Result(None, f"compilation error: {expression.problem}")
        while True:
            try:
                outcome = _evaluated(program, self._values)
                break
            except Unanswered as e:
                await self._ask(e.question)
        self._spend(outcome)
        if outcome.error is not None:
            return Result(
                None, f"expression '{expression.text}' resulted in error: {outcome.error}"
            )
        return Result(outcome.value)

    def _spend(self, outcome: Outcome) -> None:
        if self._composed is not None:
            self.budget -= self._composed.taken()
        if self.budget >= 0:
            self.budget -= outcome.cost
        if self.budget < 0:
            raise OutOfBudget


def _evaluated(program: Program, values: Mapping[str, Any]) -> Outcome:
    """What is declared and what is there may differ: times of `namespaceObject` are texts."""
    try:
        return program.evaluate(values, limit=CALL_COST_MAX)
    except (TypeError, AttributeError):
        return Outcome(None, 0, no_such_overload())


class Composed:
    """The value of `variables`."""

    cel_type: ClassVar[str] = "kubernetes.variables"

    def __init__(self, expressions: Mapping[str, Expression], values: Mapping[str, Any]) -> None:
        self._expressions = expressions
        self._values = values
        self._known: dict[str, Outcome] = {}
        self._cost = 0

    def cel_fields(self, name: Any) -> Any:
        outcome = self._known.get(name)
        if outcome is None:
            expression = self._expressions.get(name)
            if expression is None:
                raise no_such_key(name)
            if expression.program is None:
                raise EvalError(
                    f'composited variable "{name}" fails to compile: {expression.problem}'
                )
            outcome = _evaluated(expression.program, self._values)
            self._known[name] = outcome
            self._cost += outcome.cost
        if outcome.error is not None:
            raise EvalError(f'composited variable "{name}" fails to evaluate: {outcome.error}')
        return outcome.value

    def taken(self) -> int:
        """What variables have cost since this was asked last."""
        cost, self._cost = self._cost, 0
        return cost


# -- match conditions -----------------------------------------------------------------------------


class ConditionsFailed(Exception):
    """Match conditions that could not be evaluated, where that refuses the request."""


@dataclass(slots=True)
class Tally:
    """What became of match conditions, for metrics."""

    errors: int = 0
    excluded: bool = False


async def conditions_hold(
    conditions: Sequence[Expression], scene: Scene, *, refuses: bool, tally: Tally | None = None
) -> bool:
    """Whether all are true. One that is false decides whatever the others are; where some fail,
    the failure policy does: `refuses` raises ConditionsFailed, otherwise it is no.
    """
    run = scene.begin(CONDITIONS_BUDGET)
    problems: list[str] = []
    try:
        for condition in conditions:
            result = await run.run(condition)
            if result.error:
                problems.append(result.error)
                if tally is not None:
                    tally.errors += 1
            elif result.value is not True:
                if tally is not None:
                    tally.excluded = True
                return False
    except OutOfBudget as e:
        problems = [str(e)]
    if problems and refuses:
        raise ConditionsFailed(access.aggregate(problems))
    return not problems
