"""`/statusz` and `/flagz`: what runs here and with which flags, as text for people or as an object.

Text is what a client gets that names nothing else. The object comes for an Accept that names it
whole: `application/json;v=v1beta1;g=config.k8s.io;as=Statusz`, or YAML, or CBOR where that is on;
anything else is 406. The separator in the text changes at random, so that nobody reads it by
program. `routing/front.py` makes both where their gates are on.

https://kubernetes.io/docs/reference/instrumentation/zpages
"""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kapi.clock import Clock, Entropy, rfc3339
from kapi.codec import json_format, yaml_format
from kapi.codec.negotiate import CBOR, JSON, YAML, Clause, matches, parse_accept, wants_pretty
from kapi.errors import not_acceptable
from kapi.handlers.documents.answers import TEXT
from kapi.handlers.documents.version import KUBERNETES, version_info
from kapi.messages import Handler, Request, Response

COMPONENT = "apiserver"
GROUP = "config.k8s.io"
VERSIONS = ("v1alpha1", "v1beta1")
PLAIN_TEXT = "text/plain"
SEPARATORS = (":", ": ", "=", " ")
# Not told of in /statusz: what clients use, not who looks for trouble.
UNTOLD = frozenset(("/apis", "/api", "/openid", "/openapi", "/.well-known"))
_WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility "
    "guarantees and is for debugging purposes only.\n"
)


@dataclass(frozen=True, slots=True)
class _Form:
    """The negotiated form; `version` is empty for text."""

    media_type: str
    version: str = ""
    pretty: bool = False


def statusz(
    clock: Clock, entropy: Entropy, paths: Callable[[], Iterable[str]], *, cbor: bool
) -> Handler:
    """`paths`: all that `/` lists, of which the first part is told."""
    started = clock.now()
    served = _media_types(cbor)

    async def handle(request: Request) -> Response:
        form = _negotiate(request, "Statusz", served)
        up = max(0, int(clock.now() - started))
        version = version_info()
        binary, emulated = ".".join(map(str, KUBERNETES)), ".".join(map(str, KUBERNETES[:2]))
        if form.version:
            document = {
                "startTime": rfc3339(started),
                "uptimeSeconds": up,
                "goVersion": version["goVersion"],
                "binaryVersion": binary,
                "emulationVersion": emulated,
                "paths": _folders(paths()),
            }
            return _structured(form, "Statusz", document)
        between = SEPARATORS[entropy.below(len(SEPARATORS))]
        rows = {
            "Started": time.strftime("%a %b %e %H:%M:%S UTC %Y", time.gmtime(started)),
            "Up": f"{up // 3600} hr {up // 60 % 60:02d} min {up % 60:02d} sec",
            "Go version": version["goVersion"],
            "Binary version": binary,
            "Emulation version": emulated,
            "Paths": " ".join(_folders(paths())),
        }
        lines = "".join(f"{name}{between} {html.escape(value)}\n" for name, value in rows.items())
        text = f"\n{COMPONENT} statusz\n{_WARNING}\n{lines}"
        # Who asks for text by name gets it under that name, as with the real server.
        named = request.headers.get("accept").strip()
        return Response(200, [("Content-Type", PLAIN_TEXT if named else TEXT)], text.encode())

    return handle


def flagz(flags: Mapping[str, str], entropy: Entropy, *, cbor: bool) -> Handler:
    """`flags`: every flag as on the command line, without dashes, and its value."""
    served = _media_types(cbor)
    between = SEPARATORS[entropy.below(len(SEPARATORS))]
    lines = "".join(f"{name}{between}{flags[name]}\n" for name in sorted(flags))
    text = f"\n{COMPONENT} flagz\n{_WARNING}{lines}".encode()

    async def handle(request: Request) -> Response:
        form = _negotiate(request, "Flagz", served)
        if form.version:
            return _structured(form, "Flagz", {"flags": dict(sorted(flags.items()))})
        return Response(200, [("Content-Type", TEXT)], text)

    return handle


def _media_types(cbor: bool) -> tuple[str, ...]:
    return (JSON, YAML, CBOR, PLAIN_TEXT) if cbor else (JSON, YAML, PLAIN_TEXT)


def _negotiate(request: Request, kind: str, served: tuple[str, ...]) -> _Form:
    """Raises ApiError 406."""
    accept = request.headers.get("accept")
    if not accept.strip():
        return _Form(PLAIN_TEXT)
    for clause in parse_accept(accept):
        for media_type in served:
            if matches(clause.media_type, media_type):
                form = _form(clause, media_type, kind)
                if form is not None:
                    pretty = wants_pretty(request.query, request.headers.get("user-agent"))
                    return _Form(media_type, form.version, form.pretty or pretty)
    raise not_acceptable(served)


def _form(clause: Clause, media_type: str, kind: str) -> _Form | None:
    params = dict(clause.params)
    if params.get("stream"):
        return None
    asked = tuple(params.get(name, "") for name in ("as", "g", "v"))
    if media_type == PLAIN_TEXT:
        return None if any(asked) else _Form(media_type)
    if asked[:2] != (kind, GROUP) or asked[2] not in VERSIONS:
        return None
    return _Form(media_type, asked[2], params.get("pretty") == "1")


def _folders(paths: Iterable[str]) -> list[str]:
    """The first parts of paths, each once, sorted."""
    found = {"/" + path.split("/")[1] for path in paths if path[:1] == "/"}
    return sorted(found - UNTOLD - {"/"})


def _structured(form: _Form, kind: str, content: Mapping[str, Any]) -> Response:
    value = {
        "kind": kind,
        "apiVersion": f"{GROUP}/{form.version}",
        "metadata": {"name": COMPONENT},
        **content,
    }
    return Response(200, [("Content-Type", form.media_type)], _encoded(form, value))


def _encoded(form: _Form, value: Any) -> bytes:
    if form.media_type == YAML:
        return yaml_format.dumps(value)
    if form.media_type == CBOR:
        from kapi.codec.cbor_format import dumps_sorted, tagged

        return tagged(dumps_sorted(value))
    if form.pretty:
        return json_format.dumps_pretty(value)
    return json_format.dumps(value) + b"\n"
