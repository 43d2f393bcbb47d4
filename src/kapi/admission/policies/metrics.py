"""Counts what admission policies decide, under the real server's names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kapi.clock import Clock
from kapi.metrics import Metrics

if TYPE_CHECKING:
    from kapi.admission.policies.compiled import Common
    from kapi.admission.requests.evaluation import Scene

_BUDGET = "validation failed due to running out of cost budget"


class PolicyMeter:
    """Of one plugin. `subsystem`: validating_admission_policy or mutating_admission_policy."""

    def __init__(self, metrics: Metrics, clock: Clock, subsystem: str) -> None:
        self._checks = metrics.metric(f"apiserver_{subsystem}_check_total")
        self._seconds = metrics.histogram(f"apiserver_{subsystem}_check_duration_seconds")
        self._errors = metrics.metric("apiserver_admission_match_condition_evaluation_errors_total")
        self._exclusions = metrics.metric("apiserver_admission_match_condition_exclusions_total")
        self._clock = clock

    async def conditions(self, common: Common, scene: Scene, operation: str) -> bool:
        """Whether the match conditions of a policy hold, counted. Raises ConditionsFailed."""
        from kapi.admission.requests.evaluation import Tally, conditions_hold

        tally = Tally()
        labels = (common.name, "policy", "validate", operation)
        try:
            return await conditions_hold(
                common.conditions, scene, refuses=common.refuses, tally=tally
            )
        finally:
            if tally.errors:
                self._errors.cell(*labels).value += tally.errors
            if tally.excluded:
                self._exclusions.cell(*labels).value += 1

    @contextmanager
    def timed(self) -> Iterator[Callable[[], float]]:
        """What is called gives the seconds of the block, once it is over."""
        start = self._clock.monotonic()
        end = [start]
        try:
            yield lambda: end[0] - start
        finally:
            end[0] = self._clock.monotonic()

    def count(self, policy: str, binding: str, action: str, error: str, seconds: float) -> None:
        """`error`: the text of an evaluation that failed."""
        labels = (policy, binding, error_type(error), action)
        self._checks.cell(*labels).value += 1
        self._seconds.cell(*labels).observe(seconds)


def error_type(error: str) -> str:
    if not error:
        return "no_error"
    if error.startswith("compilation"):
        return "compile_error"
    return "out_of_budget" if error.startswith(_BUDGET) else "invalid_error"
