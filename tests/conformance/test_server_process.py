"""The server as its users run it: start, stop, what it keeps, what it refuses to share."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
from pathlib import Path

from server_process import Connection, Gone, Process, connected, serving

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
STOP_S = 30  # at once, on a busy machine; who waits for the watches waits a minute
WATCHES = 20
FILE_BYTES = 6 * 1024 * 1024  # what the disk of the test holds


async def test_stops_at_once_with_open_watches(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as process:
        connections = [await Connection.open(process.port) for _ in range(WATCHES)]
        ended = []

        async def watch(connection: Connection) -> None:
            async for _ in connection.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion=0"):
                pass
            ended.append(connection)

        async with asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(watch(connection))
            async with connected(process.port) as c:
                assert (await c.request("GET", "/readyz?verbose"))[0] == 200
                status, _ = await c.request("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})
                assert status == 201
            process.terminate()
            assert await process.ended(STOP_S) == 0
        assert len(ended) == WATCHES
        for connection in connections:
            await connection.close()
        assert "Traceback" not in process.log, process.log


async def test_a_second_start_finds_everything(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    async with serving(directory) as process:
        async with connected(process.port) as c:
            made = (await c.request("POST", CONFIG_MAPS, {"metadata": {"name": "a"}}))[1]
            namespaces = (await c.request("GET", "/api/v1/namespaces"))[1]
        certificate = (directory / "pki").glob("*")
        before = {path.name: path.read_bytes() for path in certificate}
        process.terminate()
        assert await process.ended(STOP_S) == 0
    async with serving(directory) as process, connected(process.port) as c:
        assert (await c.request("GET", f"{CONFIG_MAPS}/a"))[1] == made
        again = (await c.request("GET", "/api/v1/namespaces"))[1]
        assert again["items"] == namespaces["items"]
        version = int(again["metadata"]["resourceVersion"])
        assert version >= int(namespaces["metadata"]["resourceVersion"])
        after = {path.name: path.read_bytes() for path in (directory / "pki").glob("*")}
        assert after == before
        assert "Traceback" not in process.log


async def refused(process: Process, *words: str) -> None:
    """The process ends with code 1 and one line that has the words."""
    assert await process.ended(STOP_S) == 1
    lines = [line for line in process.log.splitlines() if line.strip()]
    process.close()
    assert len(lines) == 1, process.log
    for word in words:
        assert word in lines[0]


async def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        await refused(Process(tmp_path / "data", f"--secure-port={port}"), str(port))


async def test_a_directory_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    async with serving(directory) as process, connected(process.port) as c:
        process.log_file.unlink()
        await refused(Process(directory), str(directory))
        assert (await c.request("GET", "/readyz"))[0] == 200


async def test_a_body_cut_short_is_no_request(tmp_path: Path) -> None:
    """Chunked bodies that end early, or say that they are longer than they are."""
    begun = b'{"metadata":{"name":"cut"}'
    async with serving(tmp_path / "data") as process:
        for headers, sent in (
            (["Transfer-Encoding: chunked"], b"1a\r\n" + begun),
            (["Transfer-Encoding: chunked"], b"ff\r\n" + begun),
            (["Transfer-Encoding: chunked"], b"1b\r\n" + begun + b"}\r\n"),
            (["Transfer-Encoding: chunked"], b"zz\r\n" + begun),
            (["Transfer-Encoding: chunked"], b""),
            (["Content-Length: 100"], begun + b"}"),
            (["Content-Length: x"], begun + b"}"),
            (["Content-Length: 27", "Content-Length: 28"], begun + b"}"),
            (["Content-Length: 27", "Transfer-Encoding: chunked"], begun + b"}"),
        ):
            async with connected(process.port) as c:
                await c.send("POST", CONFIG_MAPS, sent, headers)
                try:
                    async with asyncio.timeout(0.1):
                        status, _ = await c.head()
                        assert 400 <= status < 500, (headers, sent)
                except (Gone, TimeoutError):
                    pass  # it waits for the rest, or hung up
        async with connected(process.port) as c:
            assert (await c.request("GET", f"{CONFIG_MAPS}/cut"))[0] == 404
            assert (await c.request("GET", "/readyz"))[0] == 200
        assert "Traceback" not in process.log


def limit_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, resource.RLIM_INFINITY))


async def test_a_full_disk_refuses_writes_until_there_is_room(tmp_path: Path) -> None:
    data = {"a": "x" * 200_000}
    async with serving(tmp_path / "data", before=limit_files) as process:
        async with connected(process.port) as c:
            kept = []
            for number in range(100):
                body = {"metadata": {"name": f"n{number}"}, "data": data}
                status, answer = await c.request("POST", CONFIG_MAPS, body)
                if status != 201:
                    break
                kept.append(answer)
            assert 500 <= status < 600
            assert answer["kind"] == "Status"
            assert kept
            assert (await c.request("GET", f"{CONFIG_MAPS}/n0"))[1] == kept[0]
            resource.prlimit(
                process.popen.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2
            )
            async with asyncio.timeout(15):
                while True:
                    body = {"metadata": {"name": "after"}, "data": data}
                    status, answer = await c.request("POST", CONFIG_MAPS, body)
                    if status in (201, 409):  # 409: the failed attempt was made after all
                        break
                    await asyncio.sleep(0.05)
            found = (await c.request("GET", CONFIG_MAPS))[1]["items"]
            names = {item["metadata"]["name"] for item in found}
            assert {obj["metadata"]["name"] for obj in kept} | {"after"} <= names
        process.terminate()
        assert await process.ended(STOP_S) == 0
        assert "Traceback" not in process.log, process.log
