"""Sets of indexes of a job, as text (`0,3-5`), and the success policy that names them.

Called by `job_validation.py` for specs and by `job_status.py` for what a status reports.
https://kubernetes.io/docs/concepts/workloads/controllers/job/#success-policy
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import checks, go_view

Json = dict[str, Any]
Findings = list[FieldError]
Interval = tuple[int, int]

_POLICY = "io.k8s.api.batch.v1.SuccessPolicy"
_RULES_MAX = 20
_INDEXES_CHARACTERS_MAX = 65536
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}\Z")


class Malformed(Exception):
    """What is wrong with a set of indexes."""


def _number(text: str, completions: int) -> int:
    if not _INTEGER.match(text):
        raise Malformed(f"cannot convert string to integer for index: {errors.quote(text)}")
    number = int(text)
    if number >= completions:
        raise Malformed(f"too large index: {errors.quote(text)}")
    return number


def _interval(text: str, completions: int) -> Interval:
    ends = text.split("-")
    if len(ends) > 2:
        raise Malformed(
            f"the fragment {errors.quote(text)} violates the requirement that an index interval "
            "can have at most two parts separated by '-'"
        )
    first = last = _number(ends[0], completions)
    if len(ends) > 1:
        last = _number(ends[1], completions)
        if first >= last:
            raise Malformed(f"non-increasing order, previous: {first}, current: {last}")
    return first, last


def count_indexes(text: str, completions: int) -> int:
    """How many indexes a set has. Raises Malformed."""
    total, previous = 0, None
    for part in text.split(",") if text else ():
        first, last = _interval(part, completions)
        if previous is not None and previous >= first:
            raise Malformed(f"non-increasing order, previous: {previous}, current: {first}")
        total += last - first + 1
        previous = last
    return total


def _readable(text: str, completions: int) -> Iterator[Interval]:
    """The intervals but for those that are malformed; they are found elsewhere."""
    for part in text.split(",") if text else ():
        try:
            yield _interval(part, completions)
        except Malformed:
            continue


def first_shared_index(one: str, other: str, completions: int) -> int | None:
    """The first index that two ordered sets share."""
    ours, theirs = _readable(one, completions), _readable(other, completions)
    a, b = next(ours, None), next(theirs, None)
    while a is not None and b is not None:
        if a[0] <= b[1] and b[0] <= a[1]:
            return max(a[0], b[0])
        if a[0] <= b[0]:
            a = next(ours, None)
        else:
            b = next(theirs, None)
    return None


def validate_success_policy(spec: Json, path: str) -> Findings:
    """The policy of a job spec that has one."""
    policy = spec["successPolicy"]
    if spec.get("completionMode") != "Indexed":
        shown = go_view.struct(_POLICY, policy)
        return [errors.invalid_value(path, shown, "requires indexed completion mode")]
    out: Findings = []
    rules = policy.get("rules") or ()
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        out.append(errors.required(f"{path}.rules", text))
    if len(rules) > _RULES_MAX:
        out.append(errors.too_many(f"{path}.rules", len(rules), _RULES_MAX))
    completions = spec.get("completions") or 0
    for i, rule in enumerate(rules):
        out += _rule(rule, completions, f"{path}.rules[{i}]")
    return out


def _rule(rule: Json, completions: int, path: str) -> Findings:
    out: Findings = []
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        out.append(errors.required(path, text))
    total = 0
    if indexes is not None:
        where = f"{path}.succeededIndexes"
        if len(indexes.encode()) > _INDEXES_CHARACTERS_MAX:
            out.append(errors.too_long(where, _INDEXES_CHARACTERS_MAX))
        try:
            total = count_indexes(indexes, completions)
        except Malformed as wrong:
            text = f"error parsing succeededIndexes: {wrong}"
            out.append(errors.invalid_value(where, indexes, text))
    if count is not None:
        where = f"{path}.succeededCount"
        out += checks.non_negative(count, where)
        if count > completions:
            text = (
                f"must be less than or equal to {completions} (the number of specified completions)"
            )
            out.append(errors.invalid_value(where, count, text))
        if indexes is not None and count > total:
            text = (
                f"must be less than or equal to {total} (the number of indexes in the specified "
                "succeededIndexes field)"
            )
            out.append(errors.invalid_value(where, count, text))
    return out
