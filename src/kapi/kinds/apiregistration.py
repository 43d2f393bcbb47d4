"""apiregistration.k8s.io: APIService."""

from __future__ import annotations

from collections.abc import Mapping

from kapi.registry import names
from kapi.registry.strategy import Strategy


class ApiServiceStrategy(Strategy):
    name_rule = staticmethod(names.path_segment)


STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    ("apiregistration.k8s.io", "apiservices"): ApiServiceStrategy(),
}
