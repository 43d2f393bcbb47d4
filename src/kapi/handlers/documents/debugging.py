"""`/debug/flags` and `/debug/pprof`: the verbosity of logs while the server runs, and profiles.

`routing/front.py` serves them behind authentication where `--profiling` is on, `serving.py` on the
socket of `--debug-socket-path` without. Paths and words are those of Go's net/http/pprof. What
Python cannot tell is an empty profile (heap, allocs, block, mutex) or a failure (trace); what it
can is in `profiles.py`, which is loaded with the first question.

https://pkg.go.dev/net/http/pprof
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from kapi import log
from kapi.clock import Clock
from kapi.handlers.documents.answers import TEXT, plain_not_found
from kapi.messages import Handler, Request, Response

PROFILES = ("allocs", "block", "goroutine", "heap", "mutex", "threadcreate")
_OTHERS = ("cmdline", "profile", "symbol", "trace")
PROFILE_S = 30  # of CPU time, where nobody says how long
PROFILE_S_MAX = 600  # a client that goes away ends it before
LEVEL_BYTES_MAX = 64  # of a body that is a number
INT32_MAX = (1 << 31) - 1
UINT32_MAX = (1 << 32) - 1
_NOSNIFF = ("X-Content-Type-Options", "nosniff")


@dataclass(frozen=True, slots=True)
class DebugPaths:
    """Handlers by path, and by prefixes that end in a slash; `/` does not list them."""

    exact: Mapping[str, Handler]
    prefixes: Mapping[str, Handler]


def debug_paths(clock: Clock, *, command_line: bool = False) -> DebugPaths:
    """`command_line`: tell it, which is for those on this machine only."""
    pages = _Pprof(clock)
    exact: dict[str, Handler] = {
        "/debug/flags": _flags_index,
        "/debug/flags/v": _set_verbosity,
        "/debug/pprof": _to_pprof,
        "/debug/pprof/profile": pages.cpu,
        "/debug/pprof/symbol": _symbol,
        "/debug/pprof/trace": _trace,
    }
    if command_line:
        exact["/debug/pprof/cmdline"] = _command_line
    return DebugPaths(exact, {"/debug/flags/": _flags_index, "/debug/pprof/": pages.index})


def on_socket(paths: DebugPaths) -> Handler:
    """The handler of a socket that serves nothing else, and asks nobody who they are."""

    async def handle(request: Request) -> Response:
        found = paths.exact.get(request.path)
        if found is None:
            fits = (h for prefix, h in paths.prefixes.items() if request.path.startswith(prefix))
            found = next(fits, None)
        return plain_not_found() if found is None else await found(request)

    return handle


# -- /debug/flags ---------------------------------------------------------------------------------


async def _flags_index(request: Request) -> Response:
    page = (
        "<html>\n<head>\n<title>/debug/flags/</title>\n</head>\n<body>\n/debug/flags/<br>\n<br>\n"
        "flags:<br>\n<table>\n\n<tr>v<br>\n\n</table>\n<br>\nfull flags configurable<br>\n"
        "</body>\n</html>\n"
    )
    return Response(200, [("Content-Type", "text/html; charset=utf-8")], page.encode())


async def _set_verbosity(request: Request) -> Response:
    """PUT a number: the `--v` of this process from now on."""
    if request.method != "PUT":
        return _line(406, "unsupported http method")
    said = (await request.body.read(LEVEL_BYTES_MAX)).decode("utf-8", "replace")
    if not re.fullmatch("[0-9]+", said):
        return _line(400, f'strconv.ParseUint: parsing "{said}": invalid syntax')
    level = int(said)
    if level > UINT32_MAX:
        return _line(400, f'strconv.ParseUint: parsing "{said}": value out of range')
    if level > INT32_MAX:
        cause = f'strconv.ParseInt: parsing "{said}": value out of range'
        return _line(400, f"failed set klog.logging.verbosity {said}: {cause}")
    log.set_verbosity(level)
    return _line(200, f"successfully set klog.logging.verbosity to {said}")


def _line(status: int, words: str) -> Response:
    return Response(status, [("Content-Type", "text/plain")], f"{words}\n".encode())


# -- /debug/pprof ---------------------------------------------------------------------------------


async def _to_pprof(request: Request) -> Response:
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Location", "/debug/pprof/")]
    return Response(302, headers, b'<a href="/debug/pprof/">Found</a>.\n\n')


async def _command_line(request: Request) -> Response:
    return Response(200, [("Content-Type", TEXT), _NOSNIFF], "\0".join(sys.argv).encode())


async def _symbol(request: Request) -> Response:
    """Profiles name their functions themselves: no address means anything."""
    return Response(200, [("Content-Type", TEXT), _NOSNIFF], b"num_symbols: 1\n")


async def _trace(request: Request) -> Response:
    return _refusal(500, "Could not enable tracing: not supported")


def _refusal(status: int, words: str) -> Response:
    headers = [("Content-Type", TEXT), ("X-Go-Pprof", "1"), _NOSNIFF]
    return Response(status, headers, f"{words}\n".encode())


class _Pprof:
    """Profiles of this process. Of CPU time one is made at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._measuring = False

    async def index(self, request: Request) -> Response:
        name = request.path.removeprefix("/debug/pprof/")
        if name:
            return self._named(request, name)
        from kapi.handlers.documents import profiles

        counts = dict.fromkeys((*PROFILES, *_OTHERS), 0) | profiles.counts()
        rows = "".join(
            f"<tr><td>{counts[name]}</td><td><a href='{name}?debug=1'>{name}</a></td></tr>\n"
            for name in sorted(counts)
        )
        page = (
            "<html>\n<head>\n<title>/debug/pprof/</title>\n</head>\n<body>\n/debug/pprof/\n<br>\n"
            "<p>Set debug=1 as a query parameter to read a profile as text</p>\n<br>\n"
            "Types of profiles available:\n<table>\n"
            f"<thead><td>Count</td><td>Profile</td></thead>\n{rows}</table>\n"
            '<a href="goroutine?debug=2">all stacks</a>\n</body>\n</html>\n'
        )
        return Response(200, [("Content-Type", "text/html; charset=utf-8"), _NOSNIFF],
                        page.encode())  # fmt: skip

    def _named(self, request: Request, name: str) -> Response:
        if name not in PROFILES:
            return _refusal(404, "Unknown profile")
        if said := request.query.get("seconds"):
            if not re.fullmatch("[+]?0*[1-9][0-9]{0,17}", said):
                words = 'invalid value for "seconds" - must be a positive integer'
                return _refusal(400, words)
            return _refusal(500, "failed to collect profile")  # nothing to subtract from
        from kapi.handlers.documents import profiles

        said = request.query.get("debug")
        debug = int(said) if re.fullmatch("[0-9]{1,9}", said) else 0
        if debug:
            text = profiles.as_text(name, stacks=debug > 1)
            return Response(200, [("Content-Type", TEXT), _NOSNIFF], text.encode())
        return _file(name, profiles.as_file(name, self._clock.now()))

    async def cpu(self, request: Request) -> Response:
        """What the threads of this process do, looked at a hundred times a second."""
        said = request.query.get("seconds")
        seconds = int(said) if re.fullmatch("[0-9]{1,9}", said) else 0
        if self._measuring:
            return _refusal(500, "Could not enable CPU profiling: cpu profiling already in use")
        from kapi.handlers.documents import profiles

        self._measuring = True
        try:
            wanted = min(seconds or PROFILE_S, PROFILE_S_MAX)
            data = await profiles.cpu(wanted, self._clock)
        finally:
            self._measuring = False
        return _file("profile", data)


def _file(name: str, data: bytes) -> Response:
    headers = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Disposition", f'attachment; filename="{html.escape(name)}"'),
        _NOSNIFF,
    ]
    return Response(200, headers, data)
