"""Audit ids, and the hook points of audit: a backend is called at each stage of a request.

`with_audit_id` stands near the outside and queues the id on `request.reply_headers`, so that every
answer carries it. `with_audit` is made to stand after authentication, `with_failed_authentication`
around that, for the requests that never get a user; both are absent from the chain as long as there
is no backend.
https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from kapi import log
from kapi.clock import Entropy
from kapi.errors import ApiError
from kapi.messages import AuditFacts, Handler, Request, Response

HEADER = "Audit-Id"


class Stage(Enum):
    REQUEST_RECEIVED = "RequestReceived"
    RESPONSE_STARTED = "ResponseStarted"  # the head of a long-running answer is out
    RESPONSE_COMPLETE = "ResponseComplete"
    PANIC = "Panic"


class Backend(Protocol):
    def process(self, stage: Stage, request: Request, status: int) -> None:
        """Take note; never blocks, never raises. `status` is 0 before there is one."""


def with_audit_id(handler: Handler, entropy: Entropy) -> Handler:
    """Gives each request the id of its Audit-ID header or a new one, and sends it back."""

    async def filtered(request: Request) -> Response:
        audit_id = request.headers.get("audit-id") or entropy.uid()
        request.audit = AuditFacts(audit_id)
        log.bind_audit_id(audit_id)
        request.reply_headers.append((HEADER, audit_id))
        return await handler(request)

    return filtered


def with_audit(handler: Handler, backend: Backend) -> Handler:
    async def filtered(request: Request) -> Response:
        backend.process(Stage.REQUEST_RECEIVED, request, 0)
        try:
            response = await handler(request)
        except ApiError as e:
            backend.process(Stage.RESPONSE_COMPLETE, request, e.code)
            raise
        except Exception:
            backend.process(Stage.PANIC, request, 500)
            raise
        status = response.status
        if request.info.verb in ("watch", "proxy") or response.upgrade is not None:
            backend.process(Stage.RESPONSE_STARTED, request, status)
        request.exit.append(lambda: backend.process(Stage.RESPONSE_COMPLETE, request, status))
        return response

    return filtered


def with_failed_authentication(handler: Handler, backend: Backend) -> Handler:
    """Around authentication: a 401 from it is an event, too. What has a user is left to
    `with_audit`.
    """

    async def filtered(request: Request) -> Response:
        try:
            return await handler(request)
        except ApiError as e:
            if request.user is None:
                backend.process(Stage.RESPONSE_STARTED, request, e.code)
            raise

    return filtered
