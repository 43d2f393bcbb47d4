"""Structured logging: every module takes `get("its name")` and logs an event with fields.

    _log = log.get("edge")
    _log.warning("connection cut", peer=address)

Loggers are structlog over the standard library's `kapi.<name>`, so a program that embeds kapi
keeps its own handlers. `setup()` is for the command only: it sends everything to a stream as text
or JSON lines. The audit id of the request at hand is added to each event; secrets are never
passed to a logger."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from typing import TextIO

import structlog
from structlog.stdlib import BoundLogger

FIELDS = "kapi_fields"  # the attribute of a log record that holds the fields
FORMATS = ("text", "json")
VALUE_CHARS_MAX = 2000  # of one field in a line; longer ones are cut

_audit_id: ContextVar[str] = ContextVar("audit_id", default="")
Event = MutableMapping[str, object]


def get(name: str) -> BoundLogger:
    """The logger of a module; cheap enough to call at import."""
    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(f"kapi.{name}"),
        processors=[structlog.stdlib.filter_by_level, _add_audit_id, _to_record],
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger


def bind_audit_id(audit_id: str) -> Token[str]:
    """Every event of the current task carries this audit id from now on."""
    return _audit_id.set(audit_id)


def audit_id() -> str:
    """The bound audit id, or the empty text."""
    return _audit_id.get()


def _add_audit_id(_logger: object, _method: str, event: Event) -> Event:
    bound = _audit_id.get()
    if bound:
        event.setdefault("auditID", bound)
    return event


def _to_record(_logger: object, _method: str, event: Event) -> dict[str, object]:
    """The arguments of a standard-library call; the fields become one attribute."""
    message = str(event.pop("event", ""))
    record: dict[str, object] = {"msg": message}
    for name in ("exc_info", "stack_info", "stacklevel"):
        if name in event:
            record[name] = event.pop(name)
    record["extra"] = {FIELDS: dict(event)}
    return record


class TextFormatter(logging.Formatter):
    """`2026-11-24T05:46:00.123Z WARN  edge  connection cut  peer=127.0.0.1`"""

    def format(self, record: logging.LogRecord) -> str:
        level = "WARN" if record.levelno == logging.WARNING else record.levelname
        name = record.name.removeprefix("kapi.")
        parts = [f"{_time(record)} {level:5} {name}: {record.getMessage()}"]
        for key, value in _fields(record).items():
            parts.append(f"{key}={_quoted(value)}")
        line = "  ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One object a line, with the names of Kubernetes' JSON logs: ts, level, logger, msg."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix("kapi."),
            "msg": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["stacktrace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, FIELDS, {})
    return fields


def _quoted(value: object) -> str:
    text = str(value)
    if len(text) > VALUE_CHARS_MAX:
        text = text[:VALUE_CHARS_MAX] + "…"
    plain = text.isprintable() and text and " " not in text and '"' not in text
    return text if plain else json.dumps(text, ensure_ascii=False)


def setup(*, form: str = "text", verbosity: int = 0, stream: TextIO | None = None) -> None:
    """Send every log of this process to a stream (stderr). From verbosity (`--v`) 4 on, debug."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.getLogger().handlers[:] = [handler]
    set_verbosity(verbosity)


def set_verbosity(verbosity: int) -> None:
    """What is logged from now on, in the whole process: the meaning of `--v`."""
    root = logging.getLogger()
    root.setLevel(logging.INFO if verbosity >= 1 else logging.WARNING)
    logging.getLogger("kapi").setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO)
    # The HTTP server logs what clients do wrong and failures that the edge has logged already.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbosity >= 6 else logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.INFO if verbosity >= 4 else logging.ERROR)
