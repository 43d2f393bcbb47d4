"""Keys of kapi (`/registry/…`) and keys in etcd (`--etcd-prefix` in the place of `/registry`).

All of kapi's keys lie under one root; what is asked for outside of it does not exist. A prefix
shorter than the root means everything.
"""

from __future__ import annotations

from kapi.storage import keys

_ROOT = keys.ROOT.rstrip("/")
# The range of all keys that etcd has.
EVERYTHING = (b"\0", b"\0")


class KeySpace:
    def __init__(self, prefix: str) -> None:
        """`prefix`: as in `--etcd-prefix`, with or without slashes around it."""
        self._prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
        self.root = self._prefix.encode() + b"/"

    def outer(self, key: str) -> bytes | None:
        """The key in etcd; None for one that cannot be there."""
        if not key.startswith(keys.ROOT) or "\0" in key:
            return None
        try:
            return (self._prefix + key[len(_ROOT) :]).encode()
        except UnicodeEncodeError:
            return None

    def inner(self, key: bytes) -> str | None:
        """The key in kapi; None for one of somebody else."""
        if not key.startswith(self.root):
            return None
        try:
            return _ROOT + key[len(self.root) - 1 :].decode()
        except UnicodeDecodeError:
            return None

    def span(self, prefix: str, start_after: str = "") -> tuple[bytes, bytes] | None:
        """The range of the keys under a prefix that follow `start_after`; None if there are
        none.
        """
        if keys.ROOT.startswith(prefix):
            start = self.root
        else:
            found = self.outer(prefix)
            if found is None:
                return None
            start = found
        end = after(start)
        if start_after:
            first = self._first_after(start_after)
            if first is None or first >= end:
                return None
            start = max(start, first)
        return start, end

    def _first_after(self, key: str) -> bytes | None:
        found = self.outer(key)
        if found is not None:
            return found + b"\0"
        if "\0" in key or not _clean(key):
            # Not a key, but it has its place among them.
            return self._place(key)
        return self.root if key < keys.ROOT else None

    def _place(self, key: str) -> bytes | None:
        data = key.encode("utf-8", "surrogatepass")
        root = keys.ROOT.encode()
        if data.startswith(root):
            return self.root + data[len(root) :] + b"\0"
        return self.root if data < root else None


def after(prefix: bytes) -> bytes:
    """The first key that does not start with the prefix any more."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def _clean(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
