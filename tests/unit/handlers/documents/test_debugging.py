"""Flags that are set while the server runs, and profiles."""

import asyncio
import gzip
import logging
from collections.abc import Iterator

import pytest
from served import ManualClock, settle

from kapi.filters.long_running import is_long_running
from kapi.handlers.documents import profiles
from kapi.handlers.documents.debugging import debug_paths, on_socket
from kapi.messages import (
    BytesBody,
    Handler,
    Headers,
    Peer,
    Query,
    Request,
    RequestInfo,
    Response,
)


def request(path: str, method: str = "GET", body: bytes = b"") -> Request:
    path, _, query = path.partition("?")
    return Request(method, path, path, Query(query), Headers([]), BytesBody(body), Peer())


@pytest.fixture
def serve() -> Handler:
    return on_socket(debug_paths(ManualClock()))


@pytest.fixture
def levels() -> Iterator[None]:
    """The levels of the process's loggers, put back at the end."""
    names = ("", "kapi", "asyncio", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
    before = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def body(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


@pytest.mark.usefixtures("levels")
async def test_verbosity(serve: Handler) -> None:
    for level, known in (("4", logging.DEBUG), ("0", logging.INFO)):
        answer = await serve(request("/debug/flags/v", "PUT", level.encode()))
        assert answer.status == 200
        assert answer.headers == [("Content-Type", "text/plain")]
        assert body(answer) == f"successfully set klog.logging.verbosity to {level}\n"
        assert logging.getLogger("kapi").level == known


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"x", 'strconv.ParseUint: parsing "x": invalid syntax\n'),
        (b"-1", 'strconv.ParseUint: parsing "-1": invalid syntax\n'),
        (b"", 'strconv.ParseUint: parsing "": invalid syntax\n'),
        (b"4294967296", 'strconv.ParseUint: parsing "4294967296": value out of range\n'),
        (b"4294967295", "failed set klog.logging.verbosity 4294967295: "
         'strconv.ParseInt: parsing "4294967295": value out of range\n'),
    ],
)  # fmt: skip
async def test_verbosity_that_is_none(serve: Handler, said: bytes, words: str) -> None:
    answer = await serve(request("/debug/flags/v", "PUT", said))
    assert (answer.status, body(answer)) == (400, words)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/debug/flags/v", 406, "unsupported http method\n"),
        ("/debug/flags", 200, "<tr>v<br>"),
        ("/debug/flags/nope", 200, "<tr>v<br>"),
        ("/debug/pprof", 302, '<a href="/debug/pprof/">Found</a>'),
        ("/debug/pprof/", 200, "<a href='goroutine?debug=1'>"),
        ("/debug/pprof/nope", 404, "Unknown profile\n"),
        ("/debug/pprof/cmdline", 404, "Unknown profile\n"),
        ("/debug/pprof/symbol", 200, "num_symbols: 1\n"),
        ("/debug/pprof/trace", 500, "Could not enable tracing"),
        ("/debug/pprof/heap?debug=1", 200, "heap profile: total 0\n"),
        ("/debug/pprof/heap?seconds=x", 400, 'invalid value for "seconds"'),
        ("/debug/pprof/goroutine?debug=1", 200, "goroutine profile: total "),
        ("/debug/pprof/goroutine?debug=2", 200, "test_debugging.py:"),
        ("/debug", 404, "404 page not found\n"),
    ],
)
async def test_paths(serve: Handler, path: str, status: int, words: str) -> None:
    answer = await serve(request(path))
    assert answer.status == status
    assert words in body(answer)


async def test_the_socket_tells_the_command_line() -> None:
    serve = on_socket(debug_paths(ManualClock(), command_line=True))
    assert "pytest" in body(await serve(request("/debug/pprof/cmdline")))


async def test_one_profile_of_cpu_time_at_a_time() -> None:
    clock = ManualClock()
    serve = on_socket(debug_paths(clock))
    async with asyncio.TaskGroup() as group:

        async def first_asks() -> Response:
            return await serve(request("/debug/pprof/profile?seconds=5"))

        first = group.create_task(first_asks())
        await settle()
        second = await serve(request("/debug/pprof/profile"))
        assert second.status == 500
        assert "already in use" in body(second)
        await clock.advance(5)
    answer = first.result()
    assert dict(answer.headers)["Content-Disposition"] == 'attachment; filename="profile"'
    assert isinstance(answer.body, bytes)
    assert b"nanoseconds" in gzip.decompress(answer.body)


async def test_a_client_that_goes_ends_its_profile() -> None:
    serve = on_socket(debug_paths(ManualClock()))
    for _ in range(2):  # the second finds nobody measuring
        task = asyncio.ensure_future(serve(request("/debug/pprof/profile")))
        await settle()
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_a_profile_byte_by_byte() -> None:
    stack = (("f", "a.py", 1, 300),)
    data = gzip.decompress(profiles.encode((("n", "count"),), [(stack, (2,))], time_ns=0))
    want = (
        "0a040801" "1002"  # sample_type: strings 1 and 2
        "1206" "0a0101" "120102"  # sample: location 1, value 2
        "2209" "0801" "2205" "0801" "10ac02"  # location 1: function 1, line 300
        "2a0a" "0801" "1003" "1803" "2004" "2801"  # function 1: name 3, file 4, line 1
        "3200" "32016e" "3205636f756e74" "320166" "3204612e7079"
        "4800" "5000"
    )  # fmt: skip
    assert data.hex() == want


@pytest.mark.parametrize(
    ("path", "open_end"),
    [("/debug/pprof/profile", True), ("/debug/flags/v", False), ("/metrics", False)],
)
def test_profiles_have_no_deadline(path: str, open_end: bool) -> None:
    info = RequestInfo(is_resource=False, path=path, verb="get")
    assert is_long_running(info) is open_end
