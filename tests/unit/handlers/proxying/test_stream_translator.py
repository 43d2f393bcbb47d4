"""Words of the stream translator: the end of a command, refusals, sizes of a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kapi.handlers.proxying import stream_translator as translator
from kapi.handlers.proxying.stream_translator import (
    V5,
    Sizes,
    Wanted,
    exit_code,
    internal_error,
    status_of,
)

SUCCESS = {"metadata": {}, "status": "Success"}


def failed(**more: Any) -> bytes:
    return json.dumps({"status": "Failure", **more}).encode()


def coded(message: str) -> bytes:
    causes = [{"reason": "Other"}, {"reason": "ExitCode", "message": message}]
    return failed(reason="NonZeroExitCode", details={"causes": causes})


PROTOCOL = "error stream protocol error: "


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b'{"status":"Success","more":1}', SUCCESS),
        (coded("7"), exit_code(7)),
        (coded("256"), internal_error(PROTOCOL + 'invalid exit code value "256"')),
        (coded("-1"), internal_error(PROTOCOL + 'invalid exit code value "-1"')),
        (failed(reason="NonZeroExitCode"), internal_error(PROTOCOL + "details must be set")),
        (
            failed(reason="NonZeroExitCode", details={}),
            internal_error(PROTOCOL + "no ExitCode cause given"),
        ),
        (failed(message="no disk"), internal_error("no disk")),
        (b"{}", internal_error(PROTOCOL + "unknown error")),
        (b"[]", internal_error(PROTOCOL + "unknown error")),
    ],
)
def test_what_the_error_stream_says(said: bytes, status: dict[str, Any]) -> None:
    assert status_of(said, V5) == status


def test_what_is_no_status() -> None:
    message = status_of(b"bang" * 3, "v4.channel.k8s.io")["message"]
    assert message.startswith("Internal error occurred: " + PROTOCOL)
    assert message.endswith('in "bangbangbang"')
    assert status_of(b"[" * 60_000, V5)["code"] == 500
    older = status_of(b"bang", "v2.channel.k8s.io")
    assert older["message"] == "Internal error occurred: error executing remote command: bang"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"message":" gone "}', "gone"),
        (b'{"message":"","error":"bad"}', "bad"),
        (b'{"code":1}', '{"code":1}'),
        (b" plain\n", "plain"),
        (b"[" * 60_000, "[" * 60_000),
        (b"", ""),
    ],
)
def test_why_a_kubelet_refuses(body: bytes, text: str) -> None:
    assert translator.refusal_text(body) == text


def test_sizes() -> None:
    sizes = Sizes()
    assert sizes.feed(b'{"Width":1,') == []
    assert sizes.feed(b'"HEIGHT":2} null {"x":1}{') == [
        b'{"Width":1,"Height":2}\n',
        b'{"Width":0,"Height":0}\n',
        b'{"Width":0,"Height":0}\n',
    ]


@pytest.mark.parametrize("bad", [b'{"Width":65536}', b'{"Width":true}', b"[1]", b"[" * 5000])
def test_after_a_bad_size_there_are_no_more(bad: bytes) -> None:
    sizes = Sizes()
    assert sizes.feed(bad) == []
    assert sizes.feed(b'{"Width":1,"Height":2}') == []


def test_streams_in_the_order_in_which_they_are_opened() -> None:
    everything = Wanted(stdin=True, stdout=True, stderr=True, tty=False)
    assert everything.types() == ["error", "stdin", "stdout", "stderr"]
    terminal = Wanted(stdin=True, stdout=True, stderr=True, tty=True)
    assert terminal.types() == ["error", "stdin", "stdout", "resize"]
