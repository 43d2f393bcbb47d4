"""How many seats each priority level has: by its configuration, and by what levels lend each other.

`levels.py` calls this whenever the configuration changes and every ten seconds. Pure.
https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#priority-levels
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kapi.flowcontrol.occupancy import Demand

Json = dict[str, Any]

# A target of nothing would make the level's share of what is left nothing for ever.
TARGET_MIN = 0.001
_EPSILON = 1e-7
# A level's demand fades by half in five minutes, at one adjustment every ten seconds.
SMOOTHING = 0.977
# Of its nominal seats, what one request of a level may take at most.
WIDEST_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Limits:
    """Seats of a priority level: by its shares, the least and the most of it."""

    nominal: int
    lower: int
    upper: int

    @property
    def initial(self) -> int:
        """Before anything is known of the demand: half of what may be lent is lent."""
        return self.nominal - (self.nominal - self.lower) // 2


@dataclass(frozen=True, slots=True)
class Queuing:
    """How requests of a level wait."""

    queues: int
    hand: int
    length: int


@dataclass(frozen=True, slots=True)
class LevelSpec:
    """A PriorityLevelConfiguration, read once."""

    exempt: bool
    shares: int
    lendable_percent: int
    borrowing_percent: int | None  # None: any number of seats
    queuing: Queuing | None  # None: requests do not wait, they are refused


def read_spec(name: str, spec: Mapping[str, Any]) -> LevelSpec | None:
    """None for one whose parts do not fit together; it is treated as absent."""
    kind, limited, exempt = spec.get("type"), spec.get("limited"), spec.get("exempt")
    if (kind == "Exempt") != (name == "exempt"):
        return None
    if (kind == "Limited") != (limited is not None) or (kind == "Exempt") != (exempt is not None):
        return None
    if exempt is not None:
        shares = exempt.get("nominalConcurrencyShares") or 0
        return LevelSpec(True, shares, exempt.get("lendablePercent") or 0, None, None)
    if limited is None:
        return None
    response = limited.get("limitResponse") or {}
    queuing = response.get("queuing")
    if (response.get("type") == "Reject") != (queuing is None):
        return None
    shares = limited.get("nominalConcurrencyShares")
    return LevelSpec(
        False,
        30 if shares is None else shares,
        limited.get("lendablePercent") or 0,
        limited.get("borrowingLimitPercent"),
        _queuing(queuing) if queuing is not None else None,
    )


def _queuing(queuing: Json) -> Queuing:
    return Queuing(
        queuing.get("queues") or 64,
        queuing.get("handSize") or 8,
        queuing.get("queueLengthLimit") or 50,
    )


def limits(spec: LevelSpec, total: int, shares: int) -> Limits:
    """Of `total` seats of the server, by `shares` of all levels together. Rounded up, so the sum
    of all levels may be a little more than `total`."""
    nominal = math.ceil(total * spec.shares / shares) if shares else 0
    lendable = nearest(nominal * spec.lendable_percent / 100)
    percent = spec.borrowing_percent
    borrowing = total if percent is None else nearest(nominal * percent / 100)
    return Limits(nominal, nominal - lendable, nominal + borrowing)


def widest(nominal: int, queuing: Queuing | None) -> int:
    """The most seats that one request may take; 0: only the bound of its kind of request."""
    if queuing is None:
        return 0
    return max(1, min(math.ceil(nominal * WIDEST_SHARE), nominal // queuing.hand))


@dataclass(slots=True)
class DemandMemory:
    """What is remembered of a level's demand, in seats."""

    average: float = 0.0
    deviation: float = 0.0
    highest: float = 0.0
    smoothed: float = 0.0

    def update(self, seen: Demand) -> None:
        """Take in what was seen since the last time."""
        self.highest = seen.highest
        if seen.seconds <= 0:
            return
        self.average, self.deviation = seen.average, seen.deviation
        envelope = seen.average + seen.deviation
        faded = SMOOTHING * self.smoothed + (1 - SMOOTHING) * envelope
        self.smoothed = max(envelope, faded)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a level wants, and the bounds of what it gets."""

    target: float
    lower: float
    upper: float


def claim(of: Limits, demand: DemandMemory) -> Claim:
    """A level keeps what it used at its busiest, up to its nominal seats."""
    lower = max(float(of.lower), min(float(of.nominal), demand.highest))
    return Claim(max(lower, demand.smoothed), lower, float(of.upper))


def allocate(seats: int, claims: Sequence[Claim]) -> tuple[list[float], float]:
    """Max-min fair: every level gets the same fraction of its target, within its bounds; the sum
    is `seats`. Also that fraction. Raises ValueError if the bounds allow no such sum."""
    targets = [max(c.target, TARGET_MIN) for c in claims]
    _check(seats, claims)
    if seats == 0:
        return [0.0] * len(claims), 0.0
    low = sum(c.lower for c in claims)
    high = sum(c.upper for c in claims)
    lowest = [c.lower / t for c, t in zip(claims, targets, strict=True)]
    highest = [c.upper / t for c, t in zip(claims, targets, strict=True)]
    if low - seats > -_EPSILON:
        return [c.lower for c in claims], min(lowest)
    if seats - high > -_EPSILON:
        return [c.upper for c in claims], max(highest)
    fraction = seats / sum(targets)
    if max(lowest) > fraction or fraction > min(highest):
        fraction = _fraction(seats, low, targets, lowest, highest)
    shares = [
        max(c.lower, min(c.upper, fraction * t)) for c, t in zip(claims, targets, strict=True)
    ]
    return shares, fraction


def _check(seats: int, claims: Sequence[Claim]) -> None:
    if seats < 0:
        raise ValueError("a negative number of seats")
    for c in claims:
        if not (0 <= c.lower <= c.target and c.lower <= c.upper):
            raise ValueError(f"bounds that do not fit: {c}")
    if sum(c.lower for c in claims) - seats > _EPSILON:
        raise ValueError("the lower bounds are more than there is")
    if seats - sum(c.upper for c in claims) > _EPSILON:
        raise ValueError("the upper bounds are less than there is")


def _fraction(
    seats: int,
    low: float,
    targets: Sequence[float],
    lowest: Sequence[float],
    highest: Sequence[float],
) -> float:
    """Raise the fraction from bound to bound: at a level's lower bound its share begins to grow, at
    its upper bound it stops."""
    bounds = [(at, 1, target) for at, target in zip(lowest, targets, strict=True)]
    bounds += [(at, -1, target) for at, target in zip(highest, targets, strict=True)]
    bounds.sort(key=lambda bound: (bound[0], -bound[1]))
    total, rate, growing = low, 0.0, 0
    fraction = bounds[0][0]
    for at, change, target in bounds:
        step = (at - fraction) * rate if growing else 0.0
        if growing and total + step >= seats:
            return fraction + (seats - total) / rate
        total += step
        fraction = at
        growing += change
        rate += change * target
    return fraction


def nearest(value: float) -> int:
    """To the nearest integer, halves upwards, as Go rounds what is not negative."""
    return math.floor(value + 0.5)
