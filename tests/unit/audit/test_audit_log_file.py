"""The audit log on disk: lines, rotation by size, what is kept, and disks that fail."""

from __future__ import annotations

import errno
import gzip
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kapi.audit.log_file import DAY_S, LogFile, Rotation, ensure

START = datetime(2026, 11, 24, 5, 46, 0, 123000, UTC).timestamp()


class HandClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def line(text: str, size: int = 10) -> bytes:
    return text.encode().ljust(size - 1, b".") + b"\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_lines_are_appended_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.log"
    ensure(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(line("before"))
    file = LogFile(str(path), Rotation(size=100), HandClock())
    assert file.write([line("one"), line("two")]) == ["", ""]
    file.close()
    assert path.read_bytes() == line("before") + line("one") + line("two")


def test_a_file_is_set_aside_before_it_grows_too_large(tmp_path: Path) -> None:
    path, clock = tmp_path / "audit.log", HandClock()
    file = LogFile(str(path), Rotation(size=25), clock)
    assert file.write([line(str(i)) for i in range(5)]) == [""] * 5
    file.close()
    assert names(tmp_path) == [
        "audit-2026-11-24T05-46-00.123.log",
        "audit-2026-11-24T05-46-00.124.log",
        "audit.log",
    ]
    whole = b"".join((tmp_path / name).read_bytes() for name in names(tmp_path))
    assert whole == b"".join(line(str(i)) for i in range(5))
    assert path.read_bytes() == line("4")


def test_what_stood_there_is_rotated_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"x" * 20)
    path.chmod(0o640)
    file = LogFile(str(path), Rotation(size=25), HandClock())
    assert file.write([line("a")]) == [""]
    file.close()
    assert (tmp_path / "audit-2026-11-24T05-46-00.123.log").read_bytes() == b"x" * 20
    assert path.stat().st_mode & 0o777 == 0o640  # the mode goes on


def test_without_a_size_nothing_is_rotated(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "a.log"), Rotation(), HandClock())
    assert file.write([line("x", 1000)] * 50) == [""] * 50
    file.close()
    assert names(tmp_path) == ["a.log"]


def test_a_line_that_no_file_holds_is_lost(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "a.log"), Rotation(size=25), HandClock())
    found = file.write([line("a"), line("b", 26), line("c")])
    file.close()
    assert found == ["", "write length 26 exceeds maximum file size 25", ""]
    assert (tmp_path / "a.log").read_bytes() == line("a") + line("c")


def test_the_newest_are_kept(tmp_path: Path) -> None:
    clock = HandClock()
    (tmp_path / "a-old.log").write_text("no time in its name")
    for i in range(6):
        file = LogFile(str(tmp_path / "a.log"), Rotation(size=10, keep=2), clock)
        file.write([line(str(i))])
        file.close()
        clock.time += 1
    assert names(tmp_path) == [
        "a-2026-11-24T05-46-04.123.log",
        "a-2026-11-24T05-46-05.123.log",
        "a-old.log",
        "a.log",
    ]


def test_the_old_go_and_the_rest_is_compressed(tmp_path: Path) -> None:
    clock = HandClock()
    rotation = Rotation(size=10, days=3, compress=True)
    ancient = tmp_path / "a-2026-11-20T05-46-00.123.log"
    ancient.write_text("old")
    young = tmp_path / "a-2026-11-23T05-46-00.123.log"
    young.write_text("young")
    clock.time += 0.2 * DAY_S
    file = LogFile(str(tmp_path / "a.log"), rotation, clock)
    file.write([line("1")])
    file.write([line("2")])
    file.close()
    assert names(tmp_path) == [
        "a-2026-11-23T05-46-00.123.log.gz",
        "a-2026-11-24T10-34-00.123.log.gz",
        "a.log",
    ]
    packed = tmp_path / "a-2026-11-24T10-34-00.123.log.gz"
    assert gzip.decompress(packed.read_bytes()) == line("1")
    assert packed.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.log"
    file = LogFile(str(path), Rotation(), HandClock())
    file.write([line("a")])
    real, room = os.write, [15]

    def full(descriptor: int, data: bytes) -> int:
        taken = min(room[0], len(data))
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= taken
        return real(descriptor, bytes(data)[:taken])

    monkeypatch.setattr(os, "write", full)
    found = file.write([line("b"), line("c"), line("d")])
    assert found[0] == ""
    assert found[1:] == [f"write {path}: no space left on device"] * 2
    room[0] = 1000
    assert file.write([line("e")]) == [""]
    file.close()
    assert path.read_bytes() == line("a") + line("b") + line("e")


def test_a_file_that_others_cut_has_no_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.log"
    file = LogFile(str(path), Rotation(), HandClock())
    file.write([line("a"), line("b")])
    os.truncate(path, 0)
    real = os.write

    def fails(descriptor: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, bytes(data)[:13])

    monkeypatch.setattr(os, "write", fails)
    assert [bool(error) for error in file.write([line("c"), line("d")])] == [False, True]
    monkeypatch.undo()
    assert file.write([line("e")]) == [""]
    file.close()
    assert path.read_bytes() == line("c") + line("e")


def test_a_folder_that_is_gone_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    file = LogFile(str(path), Rotation(size=10), HandClock())
    (tmp_path / "logs").write_text("a file in its place")
    assert file.write([line("a")])[0].startswith("can't open new logfile: open ")
    (tmp_path / "logs").unlink()
    assert file.write([line("b")]) == [""]
    file.close()
    assert path.read_bytes() == line("b")


def test_files_may_be_kept_for_any_number_of_days(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "audit.log"), Rotation(size=25, days=10**9, compress=True),
                   HandClock())  # fmt: skip
    assert file.write([line(str(i)) for i in range(5)]) == [""] * 5
    file.close()
    assert names(tmp_path) == [
        "audit-2026-11-24T05-46-00.123.log.gz",
        "audit-2026-11-24T05-46-00.124.log.gz",
        "audit.log",
    ]


def test_without_a_thread_lines_are_kept_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    file = LogFile(str(tmp_path / "audit.log"), Rotation(size=25, keep=1), HandClock())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert file.write([line(str(i)) for i in range(5)]) == [""] * 5
    assert len(names(tmp_path)) == 3
    file.write([line("5"), line("6")])
    file.close()
    assert len(names(tmp_path)) == 2
