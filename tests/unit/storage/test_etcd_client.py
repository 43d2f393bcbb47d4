"""Which members a client of etcd speaks to, and how: what needs no etcd."""

from __future__ import annotations

import pytest

from kapi.clock import SystemClock
from kapi.storage.etcd_client import EtcdFiles, Member

FILES = EtcdFiles("/ca.crt", "/a.crt", "/a.key")


@pytest.mark.parametrize(
    ("url", "files", "secure"),
    [
        ("http://127.0.0.1:1", FILES, False),
        ("https://127.0.0.1:1", EtcdFiles(), True),
        ("127.0.0.1:1", EtcdFiles(), False),
        ("127.0.0.1:1", FILES, True),
        ("127.0.0.1:1", EtcdFiles(ca="/ca.crt"), True),
    ],
)
async def test_who_is_spoken_to_over_tls(url: str, files: EtcdFiles, secure: bool) -> None:
    seen: list[bool] = []

    class Seen(EtcdFiles):
        def context(self) -> None:  # type: ignore[override]
            seen.append(True)
            raise OSError

    member = Member(url, Seen(*files.paths), SystemClock())
    with pytest.raises(OSError):
        await member.connect(0)
    assert bool(seen) is secure
