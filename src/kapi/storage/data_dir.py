"""The data directory: made on first use, owned by one server at a time.

Ownership is an advisory lock on a file in it, so it ends with the process however that ends. The
lock file stays and holds the process id of its last owner, for the error text only.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from kapi.storage.interface import InUse, Unavailable

LOCK_NAME: Final = "lock"


class DataDirLock:
    """Holds the directory from construction until `release`. Raises InUse, Unavailable."""

    def __init__(self, directory: Path) -> None:
        path = directory / LOCK_NAME
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"cannot use {directory}: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
        except BlockingIOError as error:
            owner = os.pread(fd, 32, 0).decode(errors="replace").strip()
            os.close(fd)
            raise InUse(f"{directory} is in use by another kapi (process {owner})") from error
        except OSError as error:
            os.close(fd)
            raise Unavailable(f"cannot lock {path}: {error.strerror}") from error
        self._fd = fd

    def release(self) -> None:
        os.close(self._fd)
