"""Puts audit into a server: the policy, the backends that the flags name, and what joins them.

Called by `server.py` if a flag asks for audit; nothing of it is imported otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

from kapi import log
from kapi.admission import kubeconfig
from kapi.admission.kubeconfig import KubeconfigError
from kapi.audit import log_sink, policy_file, settings
from kapi.audit.auditor import Auditor, Run
from kapi.audit.batches import BatchedSink
from kapi.audit.log_file import LogFile, Rotation, Stdout, ensure
from kapi.audit.record import Record
from kapi.audit.settings import BackendSettings
from kapi.audit.sink import Sink
from kapi.audit.truncation import TruncatingSink
from kapi.audit.webhook_sink import Delivery, Post, PostError, WebhookSink
from kapi.clock import Clock, Entropy
from kapi.metrics import Metrics
from kapi.options.table import Options
from kapi.outgoing import words
from kapi.outgoing.client import Call, Client
from kapi.outgoing.words import OutgoingError

STDOUT = "-"
MEGABYTE = 1024 * 1024
POST_TIMEOUT_S = 30.0  # the real server's, for its webhooks
ANSWER_BYTES_MAX = 1 << 20  # nobody reads it
_HEADERS = (
    ("Accept", "application/json, */*"),
    ("Content-Type", "application/json"),
    ("User-Agent", "kube-apiserver"),
)

_log = log.get("audit")


class AuditError(OSError):
    """Audit cannot begin; the text is one line."""


def build_audit(
    options: Options, clock: Clock, entropy: Entropy, metrics: Metrics, client: Client, run: Run
) -> Auditor | None:
    """None if there is no policy, or nowhere for events to go. Raises AuditError."""
    try:
        policy = policy_file.load(options.audit_policy_file) if options.audit_policy_file else None
        post = _post(client, options.audit_webhook_config_file)
        if options.audit_log_path and options.audit_log_path != STDOUT:
            ensure(options.audit_log_path)
    except (policy_file.PolicyError, KubeconfigError) as error:
        raise AuditError(str(error)) from error
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise AuditError(f"ensureLogFile: open {options.audit_log_path}: {why}") from error
    if policy is None:
        _log.info("no audit policy file provided, no events will be recorded")
        return None
    sinks: list[Sink] = []
    if options.audit_log_path:
        sinks.append(_log_backend(options, clock, metrics))
    if post is not None:
        sinks.append(_webhook_backend(options, clock, entropy, metrics, post))
    return Auditor(policy, sinks, clock, metrics, run) if sinks else None


def _log_backend(options: Options, clock: Clock, metrics: Metrics) -> Sink:
    wanted = settings.backend(options, "log")
    rotation = Rotation(
        options.audit_log_maxsize * MEGABYTE,
        options.audit_log_maxbackup,
        options.audit_log_maxage,
        options.audit_log_compress,
    )
    path = options.audit_log_path
    writer = Stdout() if path == STDOUT else LogFile(path, rotation, clock)
    form: Callable[[Record], bytes] = log_sink.json_line
    if options.audit_log_format == "legacy":
        form = log_sink.legacy_line
    strict = wanted.mode == "blocking-strict"
    batches = wanted.batches
    if wanted.mode == "batch" and batches.size == 1 and not batches.qps:
        # One by one and unthrottled: batches of a file that nobody could tell apart.
        queued = log_sink.LogSink(writer, form, metrics, queue=batches.buffer)
        return _cut(queued, wanted, metrics)
    sink = log_sink.LogSink(writer, form, metrics, strict=strict)
    if wanted.mode != "batch":
        return _cut(sink, wanted, metrics)
    batched = BatchedSink(
        sink.deliver,
        batches,
        clock,
        metrics,
        sequential=True,
        closing=sink.close,
    )
    return _cut(batched, wanted, metrics)


def _webhook_backend(
    options: Options, clock: Clock, entropy: Entropy, metrics: Metrics, post: Post
) -> Sink:
    wanted = settings.backend(options, "webhook")
    deliver = Delivery(
        post,
        clock,
        entropy,
        metrics,
        backoff_s=settings.initial_backoff_s(options),
        batch_max=wanted.truncation.batch if wanted.truncation is not None else 0,
    )
    if wanted.mode == "batch":
        return _cut(BatchedSink(deliver, wanted.batches, clock, metrics), wanted, metrics)
    strict = wanted.mode == "blocking-strict"
    return _cut(WebhookSink(deliver, metrics, strict=strict), wanted, metrics)


def _cut(sink: Sink, wanted: BackendSettings, metrics: Metrics) -> Sink:
    if wanted.truncation is None:
        return sink
    return TruncatingSink(sink, wanted.truncation.event, metrics)


def _post(client: Client, path: str) -> Post | None:
    """Raises KubeconfigError."""
    if not path:
        return None
    try:
        server = kubeconfig.load(path)
    except KubeconfigError as error:
        raise KubeconfigError(f"initializing audit webhook: {error}") from error

    async def post(body: bytes) -> None:
        call = Call(
            method="POST",
            target=server.path,
            endpoint=server.endpoint,
            headers=(*_HEADERS, *server.headers),
            body=body,
            host=server.host,
        )
        try:
            fetched = await client.fetch(call, timeout_s=POST_TIMEOUT_S, limit=ANSWER_BYTES_MAX)
        except OutgoingError as error:
            raise PostError(words.url_error("POST", server.url, error)) from error
        if not 200 <= fetched.status <= 206:
            raise PostError(f"the audit webhook answered with status {fetched.status}")

    return post
