"""Logs: fields, the audit id, both forms."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from kapi import log


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.getLogger("kapi").level)
    yield io.StringIO()
    root.handlers[:], level, kapi_level = before
    root.setLevel(level)
    logging.getLogger("kapi").setLevel(kapi_level)


def test_text(stream: io.StringIO) -> None:
    log.setup(stream=stream)
    log.get("edge").warning("connection cut", peer="127.0.0.1", why='too "slow"')
    line = stream.getvalue()
    assert line.endswith('WARN  edge: connection cut  peer=127.0.0.1  why="too \\"slow\\""\n')


def test_json_with_traceback_and_audit_id(stream: io.StringIO) -> None:
    log.setup(form="json", stream=stream)
    token = log.bind_audit_id("abc")
    try:
        raise KeyError("x")
    except KeyError:
        log.get("edge").exception("failed", path="/ü")
    log._audit_id.reset(token)
    entry = json.loads(stream.getvalue())
    assert entry["level"] == "error"
    assert (entry["logger"], entry["msg"]) == ("edge", "failed")
    assert (entry["path"], entry["auditID"]) == ("/ü", "abc")
    assert "KeyError: 'x'" in entry["stacktrace"]


def test_verbosity(stream: io.StringIO) -> None:
    log.setup(stream=stream)
    log.get("a").debug("hidden")
    assert stream.getvalue() == ""
    log.setup(stream=stream, verbosity=4)
    log.get("a").debug("shown")
    assert "shown" in stream.getvalue()


def test_percent_signs_are_just_text(stream: io.StringIO) -> None:
    log.setup(stream=stream)
    log.get("a").info("100 %s", path="%d")
    assert "a: 100 %s  path=%d" in stream.getvalue()


def test_an_embedding_program_gets_standard_records(caplog: pytest.LogCaptureFixture) -> None:
    log.get("edge").warning("hello", n=1)
    [record] = caplog.records
    assert record.name == "kapi.edge"
    assert record.getMessage() == "hello"
    assert getattr(record, log.FIELDS) == {"n": 1}


def test_long_values_are_cut(stream: io.StringIO) -> None:
    log.setup(stream=stream)
    log.get("a").info("x", value="y" * 10_000)
    assert len(stream.getvalue()) < log.VALUE_CHARS_MAX + 200
