"""The bytes of answers on their way out: joined, compressed, closed. Used by `asgi.py` and
`upgrade.py`."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from kapi.messages import ResponseBody

GZIP_LEVEL = 1  # the real server's: speed over ratio
GZIP_SLICE_BYTES = 256 * 1024  # compressed between two turns of the loop; about 2 ms
WRITE_BYTES = 128 * 1024  # small slices are joined up to this before they are written


async def close_body(body: ResponseBody) -> None:
    """Let a stream clean up, also one that was never read."""
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()


def joined(slices: Sequence[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of about WRITE_BYTES: small slices do not cost a write each."""
    pending: list[bytes] = []
    size = 0
    for piece in slices:
        pending.append(piece)
        size += len(piece)
        if size >= WRITE_BYTES:
            yield b"".join(pending)
            pending.clear()
            size = 0
    if pending:
        yield b"".join(pending)


def compress(slices: Sequence[bytes]) -> Iterator[bytes]:
    """The slices as one gzip stream, in steps of bounded work; a step may yield no bytes."""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for piece in joined(slices):
        for start in range(0, len(piece), GZIP_SLICE_BYTES):
            yield packer.compress(piece[start : start + GZIP_SLICE_BYTES])
    yield packer.flush()
