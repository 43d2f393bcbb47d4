"""READ FIRST: the filter chain, outermost first. A request meets the filters top down, its answer
bottom up.

A filter that is switched off is absent. Called by `server.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kapi.authentication.authenticator import Authenticator
from kapi.authentication.request_header import HeaderNames
from kapi.authorization.authorizer import Authorizer
from kapi.clock import Clock, Entropy
from kapi.codec.negotiate import offered
from kapi.filters.audit import with_audit, with_audit_id, with_refusals_audited
from kapi.filters.authentication import with_authentication
from kapi.filters.authorization import with_authorization
from kapi.filters.cors import with_cors
from kapi.filters.flow_control import with_flow_control
from kapi.filters.impersonation import with_impersonation
from kapi.filters.max_in_flight import with_max_in_flight
from kapi.filters.panic_recovery import with_panic_recovery
from kapi.filters.request_info import with_request_info
from kapi.filters.response_headers import with_response_headers
from kapi.filters.timeout import with_timeout
from kapi.filters.wait_group import WaitGroup, with_wait_group
from kapi.filters.warning import with_warnings
from kapi.flowcontrol.levels import FlowControl
from kapi.messages import Handler
from kapi.metrics import Metrics
from kapi.options.table import Options

if TYPE_CHECKING:
    from kapi.audit.auditor import Auditor


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    options: Options
    clock: Clock
    entropy: Entropy
    metrics: Metrics
    requests: WaitGroup
    authenticator: Authenticator
    anonymous: Authenticator | None
    proxy_headers: HeaderNames
    authorizer: Authorizer
    flow_control: FlowControl | None
    draining: Callable[[], bool]
    auditor: Auditor | None


def build_chain(handler: Handler, d: Dependencies) -> Handler:
    """The handler behind all filters."""
    options, control, auditor = d.options, d.flow_control, d.auditor
    offer = offered(options.gates)
    filters: list[Callable[[Handler], Handler] | None] = [
        lambda h: with_panic_recovery(h, offer),
        with_request_info,
        lambda h: with_audit_id(h, d.entropy),
        lambda h: with_response_headers(
            h,
            options.strict_transport_security_directives,
            d.draining if options.shutdown_send_retry_after else None,
        ),
        lambda h: with_wait_group(h, d.requests),
        (lambda h: with_refusals_audited(h, auditor)) if auditor is not None else None,
        lambda h: with_timeout(h, d.clock, options.request_timeout, d.metrics),
        with_warnings,
        (lambda h: with_cors(h, options.cors_allowed_origins))
        if options.cors_allowed_origins
        else None,
        lambda h: with_authentication(h, d.authenticator, d.anonymous, d.proxy_headers),
        (lambda h: with_audit(h, auditor)) if auditor is not None else None,
        lambda h: with_impersonation(
            h, d.authorizer, constrained=options.gates["ConstrainedImpersonation"]
        ),
        (lambda h: with_flow_control(h, control, d.metrics)) if control is not None else None,
        (
            lambda h: with_max_in_flight(
                h,
                reading=options.max_requests_inflight,
                mutating=options.max_mutating_requests_inflight,
                metrics=d.metrics,
            )
        )
        if control is None
        else None,
        lambda h: with_authorization(h, d.authorizer),
    ]
    for make in reversed(filters):
        if make is not None:
            handler = make(handler)
    return handler
