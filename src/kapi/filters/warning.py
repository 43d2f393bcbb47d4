"""Sends what was warned of (`request.warn`) as `Warning` headers, with errors as well as with
successes.

RFC 7234 form, code 299, agent `-`. All texts together hold 4,096 characters; if they would not
fit, each is cut to 256 and those past the bound are left out, as the real server does."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from kapi.messages import Handler, Request, Response

TOTAL_CHARS_MAX = 4096
TRUNCATED_CHARS = 256


def with_warnings(handler: Handler) -> Handler:
    async def filtered(request: Request) -> Response:
        try:
            return await handler(request)
        finally:
            if request.warnings:
                request.reply_headers.extend(
                    ("Warning", value) for value in header_values(request.warnings)
                )

    return filtered


def header_values(texts: Sequence[str]) -> list[str]:
    """The values of the Warning headers; a text with control characters cannot be sent."""
    out: list[str] = []
    written = 0
    truncating = False
    seen: list[str] = []
    for text in texts:
        if truncating and written >= TOTAL_CHARS_MAX:
            break
        seen.append(text)
        if not _sendable(text):
            continue
        if not truncating and written + len(text) > TOTAL_CHARS_MAX:
            truncating = True
            out = [_header(t[:TRUNCATED_CHARS]) for t in seen if _sendable(t)]
            written = sum(min(len(t), TRUNCATED_CHARS) for t in seen if _sendable(t))
            continue
        shown = text[:TRUNCATED_CHARS] if truncating else text
        written += len(shown)
        out.append(_header(shown))
    return out


def _sendable(text: str) -> bool:
    return text.isprintable() or not any(unicodedata.category(c) == "Cc" for c in text)


def _header(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'
