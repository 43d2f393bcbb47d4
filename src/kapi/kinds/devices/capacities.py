"""Capacities of devices that several claims share: which amounts may be asked for.

Called by `slices.py`.
https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/5075-dra-consumable-capacity
"""

from __future__ import annotations

from typing import Any

from kapi.errors import FieldError, duplicate, field_forbidden, invalid_value, required, too_many
from kapi.kinds.shared import checks
from kapi.schema import quantity

Json = dict[str, Any]

OPTIONS_MAX = 10
_INT64_MAX = (1 << 63) - 1


def device_capacity(capacity: Json, path: str, *, shared: bool) -> list[FieldError]:
    policy = capacity.get("requestPolicy")
    if policy is None:
        return []
    where = f"{path}.requestPolicy"
    if not shared:
        return [field_forbidden(where, "allowMultipleAllocations must be true")]
    most, default = capacity.get("value", "0"), policy.get("default")
    values, span = policy.get("validValues") or [], policy.get("validRange")
    if values and span is not None:
        text = (
            'exactly one policy can be specified, cannot specify "validValues" and "validRange" '
            "at the same time"
        )
        return [field_forbidden(where, text)]
    name = "validValues" if values else "validRange"
    if not values and span is None:
        return []
    if default is None:
        return [required(f"{where}.default", f"required when {name} is defined")]
    if values:
        return _options(default, most, values, f"{where}.{name}")
    return _range(default, most, span or {}, f"{where}.{name}")


def _options(default: str, most: str, values: list[str], path: str) -> list[FieldError]:
    out: list[FieldError] = []
    amounts = [checks.number(text) for text in values]
    for i in range(1, len(amounts)):
        if amounts[i - 1] > amounts[i]:
            text = "values must be sorted in ascending order"
            out.append(invalid_value(f"{path}[{i}]", values[i], text))
    found = False
    if len(values) > OPTIONS_MAX:
        out.append(too_many(path, len(values), OPTIONS_MAX))
    else:
        for i, amount in enumerate(amounts):
            if amount > checks.number(most):
                text = f"option is larger than capacity value: {most}"
                out.append(invalid_value(f"{path}[{i}]", values[i], text))
            found = found or amount == checks.number(default)
        whole = [str(-(-amount // 1)) for amount in amounts]
        out += [
            duplicate(f"{path}[{i}]", text) for i, text in enumerate(whole) if text in whole[:i]
        ]
    if not found:
        text = "default value is not valid according to the requestPolicy"
        out.append(invalid_value(path, default, text))
    return out


def _range(default: str, most: str, span: Json, path: str) -> list[FieldError]:
    low, high, step = span.get("min"), span.get("max"), span.get("step")
    if low is None:
        return [required(f"{path}.min", "required when validRange is defined")]
    limit, least, wanted = (checks.number(text) for text in (most, low, default))
    top = None if high is None else checks.number(high)
    out: list[FieldError] = []
    rules = [
        (least > limit, "min", low, f"min is larger than capacity value: {most}"),
        (wanted < least, "default", default, f"default is less than min: {low}"),
    ]
    if top is not None:
        rules += [
            (least > top, "max", low, f"min is larger than max: {high}"),
            (top > limit, "max", high, f"max is larger than capacity value: {most}"),
            (wanted > top, "default", default, f"default is more than max: {high}"),
        ]
    out += [invalid_value(f"{path}.{name}", value, text) for bad, name, value, text in rules if bad]
    return out if step is None else out + _steps(default, most, span, path)


def _steps(default: str, most: str, span: Json, path: str) -> list[FieldError]:
    """Whole steps from the least amount to every other."""
    low, high, step = span["min"], span.get("max"), span["step"]
    size, least = checks.number(step), checks.number(low)
    if size <= 0:
        return [invalid_value(f"{path}.step", step, "must be greater than zero")]
    out: list[FieldError] = []
    if least + size > checks.number(most):
        sum_of_both = quantity.spell(least + size, quantity.parse(low)[1])
        text = f"one step {sum_of_both} is larger than capacity value: {most}"
        out.append(invalid_value(f"{path}.step", step, text))
    given = {"default": default, "min": low, "max": high, "step": step}
    odd: list[FieldError] = []
    for name, value in given.items():
        number = None if value is None else checks.number(value)
        if number is not None and number < 0:
            odd.append(invalid_value(f"{path}.{name}", value, checks.NEGATIVE))
        elif number is not None and number > _INT64_MAX:
            text = f"must not be larger than {_INT64_MAX}"
            odd.append(invalid_value(f"{path}.{name}", value, text))
    if odd:
        return out + odd
    for value in (default, high):
        if value is not None and (_whole(value) - _whole(low)) % _whole(step):
            text = f"value is not a multiple of a given step ({step}) from ({low})"
            out.append(invalid_value(f"{path}.step", value, text))
    return out


def _whole(text: str) -> int:
    """An amount as a number without fraction: rounded up."""
    return int(-(-checks.number(text) // 1))
