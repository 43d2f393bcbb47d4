"""The file of `kapi snapshot`: all records of a store as of one revision.

gzip, of lines of JSON: a head, a line for each record in the order of the keys, and an end with the
number of records and a digest of all lines before it, so that a file that was cut or changed is
refused. Values are the JSON that kapi works with, whatever the store keeps, so that a snapshot goes
from any store into any other; what is encrypted is there as it is, in base64.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from kapi.storage.interface import ENCRYPTED, Record, StorageError

FORMAT: Final = "kapi-snapshot"
VERSION: Final = 1


class BadSnapshot(StorageError):
    """The file cannot be used; the text says why, in a line."""


@dataclass(frozen=True, slots=True)
class Head:
    revision: int  # of the store; every record's is at most this
    version: int = VERSION


def write(path: Path, head: Head, records: Iterable[Record]) -> int:
    """Put the file in place, readable by its owner, whole or not at all; how many records it has.

    Raises OSError.
    """
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    count, digest = 0, hashlib.sha256()
    try:
        with os.fdopen(fd, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:

            def put(line: dict[str, Any]) -> None:
                data = orjson.dumps(line) + b"\n"
                digest.update(data)
                file.write(data)

            put({"format": FORMAT, "version": head.version, "revision": head.revision})
            for record in records:
                put(
                    {
                        "key": record.key,
                        "revision": record.revision,
                        "create_revision": record.create_revision,
                        **_shown(record.value),
                    }
                )
                count += 1
            file.write(orjson.dumps({"records": count, "sha256": digest.hexdigest()}) + b"\n")
            file.close()
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return count


def read_head(path: Path) -> Head:
    """What a file says of itself. Raises BadSnapshot, OSError."""
    try:
        with gzip.open(path, "rb") as file:
            line = orjson.loads(file.readline())
    except (gzip.BadGzipFile, EOFError, zlib.error, orjson.JSONDecodeError):
        raise BadSnapshot(f"{path} is no snapshot of kapi") from None
    if not isinstance(line, dict) or line.get("format") != FORMAT:
        raise BadSnapshot(f"{path} is no snapshot of kapi")
    if line.get("version") != VERSION:
        raise BadSnapshot(
            f"{path} has version {line.get('version')}; this kapi reads version {VERSION}"
        )
    return Head(int(line["revision"]))


def verify(path: Path) -> tuple[Head, int]:
    """Read the whole file: its head and how many records it has. Raises BadSnapshot, OSError."""
    head = read_head(path)
    return head, sum(1 for _ in read(path))


def read(path: Path) -> Iterator[Record]:
    """The records. Raises BadSnapshot, at the end too; so first `verify`."""
    digest, count = hashlib.sha256(), 0
    damaged = BadSnapshot(f"{path} is damaged")
    try:
        with gzip.open(path, "rb") as file:
            digest.update(file.readline())
            for data in file:
                line = orjson.loads(data)
                if "sha256" in line:
                    if line != {"records": count, "sha256": digest.hexdigest()}:
                        raise damaged
                    return
                digest.update(data)
                count += 1
                yield Record(
                    line["key"],
                    _value(line),
                    line["revision"],
                    line["create_revision"],
                )
    except (gzip.BadGzipFile, EOFError, zlib.error, KeyError, ValueError):
        raise damaged from None
    raise damaged


def _shown(value: bytes) -> dict[str, str]:
    if value.startswith(ENCRYPTED):
        return {"encrypted": base64.b64encode(value).decode()}
    return {"value": value.decode()}


def _value(line: dict[str, Any]) -> bytes:
    """Raises KeyError, ValueError."""
    if "encrypted" in line:
        return base64.b64decode(line["encrypted"], validate=True)
    value: str = line["value"]
    return value.encode()
