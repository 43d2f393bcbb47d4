"""A file that is rotated: lines go to its end, and before it grows beyond its size it is set aside
under a name with the time.

Names and rules are lumberjack's, which the real server uses: `audit.log` becomes
`audit-2026-11-24T05-46-00.123.log`, with `.gz` behind if compressed; of those set aside the newest
are kept, as long as they are not too old. Belongs to one thread, that of `log_sink.py`; old files
are looked after in another, so that nothing waits for compression.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import re
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kapi import log
from kapi.clock import Clock

MEGABYTE = 1024 * 1024
FILE_MODE = 0o600
FOLDER_MODE = 0o700
DAY_S = 86400.0
_TIME = "%Y-%m-%dT%H-%M-%S"
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}\.\d{3}")
_GZ = ".gz"

_log = log.get("audit")


@dataclass(frozen=True, slots=True)
class Rotation:
    """`size`: bytes of a file, 0 for no bound. `keep`: files set aside, `days`: how long; 0 for no
    bound.
    """

    size: int = 0
    keep: int = 0
    days: int = 0
    compress: bool = False


def ensure(path: str) -> None:
    """Make the file, with its folders, if it is not there. Raises OSError."""
    _make_folder(Path(path).parent)
    os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, FILE_MODE))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


class Stdout:
    """Lines go to standard output."""

    def write(self, lines: Sequence[bytes]) -> list[str]:
        """As `LogFile.write`."""
        return [_written_all(1, line) for line in lines]

    def close(self) -> None:
        return


def _written_all(descriptor: int, data: bytes) -> str:
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError as error:
        return f"write: {(error.strerror or str(error)).lower()}"
    return ""


class LogFile:
    def __init__(self, path: str, rotation: Rotation, clock: Clock) -> None:
        self._path = Path(path)
        self._rotation = rotation
        self._clock = clock
        self._descriptor = -1
        self._size = 0
        self._lock = threading.Lock()  # of the two below
        self._tidying: threading.Thread | None = None
        self._untidy = False

    def write(self, lines: Sequence[bytes]) -> list[str]:
        """Write lines, each whole or not at all. What went wrong with each; empty: nothing."""
        out: list[str] = []
        at = 0
        while at < len(lines):
            try:
                count = self._room(lines[at:])
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                out.append(f"can't open new logfile: open {self._path}: {why}")
                at += 1
                continue
            if not count:
                length, limit = len(lines[at]), self._rotation.size
                out.append(f"write length {length} exceeds maximum file size {limit}")
                at += 1
                continue
            out += self._append(lines[at : at + count])
            at += count
        return out

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with self._lock:
            tidying = self._tidying
        if tidying is not None:
            tidying.join()

    def _room(self, lines: Sequence[bytes]) -> int:
        """How many of the lines go into the file as it is now; 0: the first is too long for any.

        Raises OSError.
        """
        limit = self._rotation.size
        if limit and len(lines[0]) > limit:
            return 0
        if self._descriptor < 0:
            self._open(len(lines[0]))
        if not limit:
            return len(lines)
        if self._size + len(lines[0]) > limit:
            self._rotate()
        size, count = self._size, 0
        for line in lines:
            size += len(line)
            if size > limit:
                break
            count += 1
        return count

    def _append(self, lines: Sequence[bytes]) -> list[str]:
        data = b"".join(lines)
        done = 0
        try:
            while done < len(data):
                done += os.write(self._descriptor, memoryview(data)[done:])
        except OSError as error:
            return self._cut(lines, done, f"write {self._path}: {_words(error)}")
        self._size += len(data)
        return [""] * len(lines)

    def _cut(self, lines: Sequence[bytes], done: int, error: str) -> list[str]:
        """After a failed write: half a line must not be there when the next one comes."""
        out: list[str] = []
        kept = 0
        for line in lines:
            whole = kept + len(line) <= done and not any(out)
            out.append("" if whole else error)
            kept += len(line) if whole else 0
        self._size += kept
        with contextlib.suppress(OSError):  # the file may be shorter than we know: others cut logs
            there = os.fstat(self._descriptor).st_size
            os.ftruncate(self._descriptor, max(there - (done - kept), 0))
        return out

    # -- rotation ---------------------------------------------------------------------------------

    def _open(self, length: int) -> None:
        """Raises OSError."""
        limit = self._rotation.size
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            self._open_new()
            return
        if limit and size + length >= limit:
            self._rotate()
            return
        flags = os.O_APPEND | os.O_WRONLY
        self._descriptor = os.open(self._path, flags, FILE_MODE)
        self._size = size

    def _open_new(self) -> None:
        _make_folder(self._path.parent)
        mode, owner = FILE_MODE, None
        if self._path.exists():
            found = self._path.stat()
            mode, owner = found.st_mode & 0o777, (found.st_uid, found.st_gid)
            self._path.rename(self._aside())
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_TRUNC
        self._descriptor = os.open(self._path, flags, mode)
        if owner is not None:
            with contextlib.suppress(OSError):  # only the superuser may give files away
                os.fchown(self._descriptor, *owner)
        self._size = 0

    def _rotate(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._open_new()
        with self._lock:
            self._untidy = True
            if self._tidying is not None:
                return  # it looks again before it ends
            # A daemon: a stop that has waited long enough does not wait for compression.
            thread = threading.Thread(target=self._tidy, name="kapi-audit-files", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads: at the next rotation
                _log.warning("old audit logs cannot be looked after", error=str(error))
            else:
                self._tidying = thread

    def _aside(self) -> Path:
        """A name with the time that is free: two rotations of one millisecond must not meet."""
        moment = int(self._clock.now() * 1000)
        while True:
            stamp = datetime.fromtimestamp(moment / 1000, UTC)
            text = f"{stamp.strftime(_TIME)}.{moment % 1000:03d}"
            found = self._path.with_name(f"{self._path.stem}-{text}{self._path.suffix}")
            if not found.exists() and not Path(f"{found}{_GZ}").exists():
                return found
            moment += 1

    # -- old files, in a thread of their own ------------------------------------------------------

    def _tidy(self) -> None:
        while True:
            with self._lock:
                if not self._untidy:
                    self._tidying = None
                    return
                self._untidy = False
            self._look_after()

    def _look_after(self) -> None:
        try:
            for path in self._too_many():
                path.unlink(missing_ok=True)
            if self._rotation.compress:
                for _, path in self._old():
                    if path.suffix != _GZ:
                        _compress(path)
        except OSError as error:
            _log.warning("old audit logs cannot be looked after", error=str(error))

    def _old(self) -> list[tuple[str, Path]]:
        """Files set aside, newest first, by the time in their names."""
        found: list[tuple[str, Path]] = []
        head, tail = f"{self._path.stem}-", self._path.suffix
        for path in self._path.parent.iterdir():
            name = path.name.removesuffix(_GZ)
            stamp = name[len(head) : len(name) - len(tail)]
            if name.startswith(head) and name.endswith(tail) and _STAMP.fullmatch(stamp):
                found.append((stamp, path))
        return sorted(found, reverse=True)

    def _too_many(self) -> list[Path]:
        old, rotation = self._old(), self._rotation
        stamps = sorted({stamp for stamp, _ in old}, reverse=True)
        kept = set(stamps[: rotation.keep] if rotation.keep else stamps)
        if rotation.days:
            seconds = max(self._clock.now() - rotation.days * DAY_S, 0)  # flags may say any number
            oldest = datetime.fromtimestamp(seconds, UTC)
            limit = f"{oldest.strftime(_TIME)}.{oldest.microsecond // 1000:03d}"
            kept = {stamp for stamp in kept if stamp >= limit}
        return [path for stamp, path in old if stamp not in kept]


def _compress(path: Path) -> None:
    target = Path(f"{path}{_GZ}")
    mode = path.stat().st_mode & 0o777
    try:
        descriptor = os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode)
        with (
            path.open("rb") as source,
            os.fdopen(descriptor, "wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb") as packed,
        ):
            shutil.copyfileobj(source, packed)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    path.unlink()


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
