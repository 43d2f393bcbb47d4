"""Small records for tests of what takes them."""

from __future__ import annotations

from kapi.audit.policy import Level
from kapi.audit.record import Record


def record(
    name: str = "a",
    *,
    level: Level = Level.METADATA,
    request: bytes = b"",
    response: bytes = b"",
    annotations: bytes = b"",
) -> Record:
    return Record(
        level,
        name,
        b'"auditID":"%b"' % name.encode(),
        request,
        (response,) if response else (),
        b',"stageTimestamp":"now"',
        annotations,
        lambda: f"AUDIT: {name}",
    )
