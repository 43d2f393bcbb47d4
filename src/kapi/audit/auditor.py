"""Audits requests: asks the policy, makes the events of a request and gives them to the backends.

One per server, made by `assembly/audit.py`; the filters of `filters/audit.py` call it at the stages
of a request. In the modes that block, an answer goes out when all events of its request are kept or
lost; only a `blocking-strict` backend makes a request wait for its first event.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from kapi.audit.event import AuditEvent, Stamps
from kapi.audit.objects import compact, owners_removed
from kapi.audit.policy import LEVEL_NAMES, Level, Policy, Stage, Verdict
from kapi.audit.sink import Sink
from kapi.clock import Clock
from kapi.codec import json_format
from kapi.errors import ApiError
from kapi.messages import Request, Response
from kapi.metrics import Metrics

Json = dict[str, Any]
Run = Callable[
    [int, Callable[[], bytes]], Awaitable[bytes]
]  # work over so many bytes, perhaps aside
LATENCY = "apiserver.latency.k8s.io/total"
SLOW_S = 0.5  # from here on an event says how long its request took
_OWNERS = b'"managedFields":'
_PANIC_REASON = "InternalError"


class Auditor:
    def __init__(
        self, policy: Policy, sinks: Sequence[Sink], clock: Clock, metrics: Metrics, run: Run
    ) -> None:
        self._policy = policy
        self.sinks = tuple(sinks)
        self.clock = clock
        self.run = run
        self.stamps = Stamps()
        levels = metrics.metric("apiserver_audit_level_total")
        self._levels = {level: levels.cell(name) for level, name in LEVEL_NAMES.items()}
        self.events = metrics.metric("apiserver_audit_event_total").cell()
        self.rejected = metrics.metric("apiserver_audit_requests_rejected_total").cell()

    def begin(self, request: Request) -> Audited | None:
        """None for a request that is not audited."""
        verdict = self._policy.verdict(request.info, request.user)
        self._levels[verdict.level].value += 1
        if verdict.level is Level.NONE:
            return None
        request.audit.level = verdict.level
        request.audit.omit_managed_fields = verdict.omit_managed_fields
        return Audited(self, request, verdict)

    async def close(self) -> None:
        """Give on what waits, and end. After the last request."""
        await asyncio.gather(*(sink.close() for sink in self.sinks))


class Audited:
    """One request on its way."""

    def __init__(self, auditor: Auditor, request: Request, verdict: Verdict) -> None:
        self._auditor = auditor
        self._request = request
        clock = auditor.clock
        received = clock.now() - (clock.monotonic() - request.received_at)
        self._event = AuditEvent(request, verdict, received, auditor.stamps)
        self._waiting: list[Future[bool]] = []
        self._over = False

    async def received(self) -> bool:
        """The first stage. False: a strict backend could not keep it, and the request must not
        go on.
        """
        for kept in self._put(Stage.REQUEST_RECEIVED):
            if not await kept:
                self._auditor.rejected.value += 1
                return False
        return True

    async def answered(self, response: Response, *, long_running: bool) -> None:
        """There is an answer. What is streamed is complete when the last byte is out."""
        facts = self._request.audit
        if facts.status is None:
            self._event.status = {"metadata": {}, "code": response.status}
        else:
            self._event.status = _bounded(facts.status, response.status)
        streamed = response.upgrade is not None or not isinstance(
            response.body, (bytes, list, tuple)
        )
        if self._event.level >= Level.REQUEST_RESPONSE and not streamed:
            self._event.response = await self._answer(response)
        if long_running:
            self._put(Stage.RESPONSE_STARTED)
        if streamed:
            await self._wait()
            self._request.exit.append(self._complete)
            return
        self._complete(slow=not long_running)
        await self._wait()

    async def failed(self, error: ApiError, *, long_running: bool) -> None:
        """The answer is the Status of an error."""
        self._refused(error)
        if long_running:
            self._put(Stage.RESPONSE_STARTED)
        self._complete(slow=not long_running)
        await self._wait()

    async def panicked(self, error: Exception) -> None:
        status = {
            "metadata": {},
            "status": "Failure",
            "message": f"APIServer panic'd: {error}",
            "reason": _PANIC_REASON,
            "code": 500,
        }
        self._event.status = status
        self._over = True
        self._put(Stage.PANIC)
        await self._wait()

    def cut_off(self, error: ApiError) -> None:
        """Nobody waits for the answer any more; the request ends with this error."""
        if not self._over:
            self._refused(error)
            self._complete()

    async def refused_early(self, error: ApiError) -> None:
        """Refused before it was known who asks: there is this one event."""
        self._refused(error)
        self._put(Stage.RESPONSE_STARTED)
        await self._wait()

    # -- inside -----------------------------------------------------------------------------------

    def _refused(self, error: ApiError) -> None:
        status = error.status()
        self._event.status = _bounded(status, error.code)
        if self._event.level >= Level.REQUEST_RESPONSE:
            self._event.response = (json_format.dumps(status),)

    def _complete(self, *, slow: bool = False) -> None:
        if self._over:
            return
        self._over = True
        clock = self._auditor.clock
        taken = clock.monotonic() - self._request.received_at
        if slow and taken > SLOW_S:
            self._request.audit.annotate(LATENCY, _go_duration(taken))
        self._put(Stage.RESPONSE_COMPLETE)

    def _put(self, stage: Stage) -> list[Future[bool]]:
        """Give the event to all backends; those that a request must wait for are returned."""
        if self._event.omits(stage):
            return []
        auditor = self._auditor
        auditor.events.value += 1
        record = self._event.record(stage, auditor.clock.now())
        strict: list[Future[bool]] = []
        for sink in auditor.sinks:
            kept = sink.put(record)
            if kept is not None:
                self._waiting.append(kept)
                if sink.strict:
                    strict.append(kept)
        return strict

    async def _wait(self) -> None:
        """Until every event so far is kept or lost."""
        waiting, self._waiting = self._waiting, []
        for kept in waiting:
            await kept

    async def _answer(self, response: Response) -> Sequence[bytes]:
        """The object of an answer as JSON, in pieces; nothing for what is no object."""
        facts = self._request.audit
        if facts.answer is not None:
            try:
                response = await facts.answer()
            except ApiError:  # there is no such form: the event goes without
                return ()
        elif not self._is_object(response):
            return ()
        body = response.body
        if isinstance(body, bytes):
            pieces = [body]
        elif isinstance(body, (list, tuple)):
            pieces = list(body)
        else:
            return ()
        if pieces and pieces[-1].endswith(b"\n"):
            pieces[-1] = pieces[-1][:-1]
        if pieces and pieces[0][:2] == b"{\n":
            text = b"".join(pieces)
            pieces = [await self._auditor.run(len(text), lambda: compact(text))]
        if facts.omit_managed_fields and any(_OWNERS in piece for piece in pieces):
            whole = b"".join(pieces)
            pieces = [await self._auditor.run(len(whole), lambda: owners_removed(whole))]
        return pieces

    def _is_object(self, response: Response) -> bool:
        """JSON of the API, and not of whom a proxy leads to."""
        info = self._request.info
        if info.verb == "proxy" or info.subresource in ("proxy", "log"):
            return False
        if not info.is_resource and info.path.split("/")[1] not in ("api", "apis"):
            return False
        # Discovery has parameters behind it.
        found = next((v for name, v in response.headers if name == "Content-Type"), "")
        return found.partition(";")[0] == "application/json"


def _go_duration(seconds: float) -> str:
    """As Go's `Duration.String`, to a microsecond."""
    if seconds < 1:
        return f"{seconds * 1000:.3f}".rstrip("0").rstrip(".") + "ms"
    minutes, rest = divmod(round(seconds, 6), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:.6f}".rstrip("0").rstrip(".") + "s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def _bounded(status: Any, code: int) -> Json:
    """The fields of a Status that an event has."""
    names = ("metadata", "status", "message", "reason", "details")
    out: Json = {name: status[name] for name in names if name in status}
    out["metadata"] = {}
    out["code"] = code
    return out
