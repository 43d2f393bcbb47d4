"""Audit: the id of a request, and the events at the stages of its life.

`with_audit_id` stands near the outside and queues the id on `request.reply_headers`, so that every
answer carries it. `with_audit` stands behind authentication; `with_refusals_audited` around it and
the deadline, for the requests that never get a user. Both are absent as long as nothing is audited.
https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kapi import log
from kapi.clock import Entropy
from kapi.errors import ApiError
from kapi.filters.long_running import is_long_running
from kapi.filters.request_info import internal_server_error
from kapi.filters.timeout import too_late
from kapi.messages import AuditFacts, Handler, Request, Response

if TYPE_CHECKING:
    from kapi.audit.auditor import Auditor

HEADER = "Audit-Id"


def with_audit_id(handler: Handler, entropy: Entropy) -> Handler:
    """Gives each request the id of its Audit-ID header or a new one, and sends it back."""

    async def filtered(request: Request) -> Response:
        audit_id = request.headers.get("audit-id") or entropy.uid()
        request.audit = AuditFacts(audit_id)
        log.bind_audit_id(audit_id)
        request.reply_headers.append((HEADER, audit_id))
        return await handler(request)

    return filtered


def with_audit(handler: Handler, auditor: Auditor) -> Handler:
    """Events of a request whose user is known."""

    async def filtered(request: Request) -> Response:
        audited = auditor.begin(request)
        if audited is None:
            return await handler(request)
        if not await audited.received():
            return internal_server_error(request, "failed to store audit event")
        long_running = is_long_running(request.info)
        try:
            response = await handler(request)
            await audited.answered(response, long_running=long_running)
        except ApiError as e:
            await audited.failed(e, long_running=long_running)
            raise
        except asyncio.CancelledError:  # past its deadline, or the client is gone
            audited.cut_off(too_late(request.info))
            raise
        except Exception as e:
            await audited.panicked(e)
            raise
        return response

    return filtered


def with_refusals_audited(handler: Handler, auditor: Auditor) -> Handler:
    """Around all that refuses before there is a user: credentials that do not hold, a deadline
    that is none.
    """

    async def filtered(request: Request) -> Response:
        try:
            return await handler(request)
        except ApiError as e:
            if request.user is None and (audited := auditor.begin(request)) is not None:
                await audited.refused_early(e)
            raise

    return filtered
