"""HTML pages that pass a proxy: read as a whole, unpacked, their links rewritten, packed again.

Used by `forward.py`. A page beyond PAGE_BYTES_MAX, or in an encoding that is not known, passes as
it is.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from kapi.handlers.proxying.links import Links
from kapi.messages import AnswerBroken, ResponseBody
from kapi.outgoing.client import Answer
from kapi.outgoing.words import OutgoingError

PAGE_BYTES_MAX = 2 << 20  # packed, and unpacked: it is all held in memory, and read in one turn
_GZIP, _DEFLATE = zlib.MAX_WBITS | 16, -zlib.MAX_WBITS


async def rewritten(answer: Answer, links: Links) -> ResponseBody | None:
    """The body with its links rewritten; None if it must pass as it is, unread."""
    encoding = answer.header("content-encoding").lower()
    forms = {"gzip": _GZIP, "deflate": _DEFLATE}
    declared = answer.header("content-length")
    if encoding and encoding not in forms:
        return None
    if declared.isdecimal() and int(declared) > PAGE_BYTES_MAX:
        return None
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := await answer.chunk():
            chunks.append(chunk)
            size += len(chunk)
            if size > PAGE_BYTES_MAX:
                return _rest(chunks, answer)
    except OutgoingError as error:
        raise AnswerBroken(str(error)) from error
    data = b"".join(chunks)
    if not data:
        return b""
    if not encoding:
        return _page(data, links)
    unpacked = _unpack(data, forms[encoding])
    if unpacked is None:
        return data
    packer = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, forms[encoding])
    return packer.compress(_page(unpacked, links)) + packer.flush()


def _page(data: bytes, links: Links) -> bytes:
    return links.page(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _unpack(data: bytes, form: int) -> bytes | None:
    """None for what is broken, or grows too large."""
    unpacker = zlib.decompressobj(form)
    try:
        out = unpacker.decompress(data, PAGE_BYTES_MAX)
    except zlib.error:
        return None
    return out if unpacker.eof else None


async def _rest(chunks: list[bytes], answer: Answer) -> AsyncIterator[bytes]:
    """What was read already, then the rest as it comes."""
    try:
        for chunk in chunks:
            yield chunk
        while more := await answer.chunk():
            yield more
    except OutgoingError as error:
        raise AnswerBroken(str(error)) from error
    finally:
        answer.close()
