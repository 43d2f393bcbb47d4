"""Which requests may stay open: they have no deadline, take no slot, and nobody waits for them at
a stop."""

from __future__ import annotations

from kapi.messages import Request, RequestInfo
from kapi.metrics import Metrics

_VERBS = frozenset(("watch", "proxy"))
_SUBRESOURCES = frozenset(("attach", "exec", "proxy", "log", "portforward"))


def is_long_running(info: RequestInfo) -> bool:
    if info.verb in _VERBS:
        return True
    if info.is_resource:
        return info.subresource in _SUBRESOURCES
    return info.path.startswith("/debug/pprof/")  # a profile takes as long as it is told to


def count_open(request: Request, metrics: Metrics) -> None:
    """Show it as open until its last byte."""
    gauge = metrics.longrunning.cell(*metrics.request_labels(request, 403))
    gauge.value += 1

    def lower() -> None:
        gauge.value -= 1

    request.exit.append(lower)
