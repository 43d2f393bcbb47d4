"""Profiles and flags on a Unix socket, beside the server's own port."""

import asyncio
from pathlib import Path

from server_process import Process, connected, serving


async def asked(path: Path, line: str, body: str = "") -> str:
    reader, writer = await asyncio.open_unix_connection(str(path))
    head = f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())
    async with asyncio.timeout(10):
        answer = (await reader.read()).decode()
    writer.close()
    return answer


async def test_debug_socket(tmp_path: Path) -> None:
    socket = tmp_path / "debug.sock"
    socket.write_text("what a server left behind")
    async with serving(tmp_path / "data", f"--debug-socket-path={socket}") as process:
        answer = await asked(socket, "PUT /debug/flags/v", "4")
        assert answer.startswith("HTTP/1.1 200 OK\r\n")
        assert answer.endswith("\r\n\r\nsuccessfully set klog.logging.verbosity to 4\n")
        assert "kapi" in await asked(socket, "GET /debug/pprof/cmdline")
        assert " 404 " in await asked(socket, "GET /api")
        async with connected(process.port) as c:
            assert (await c.request("GET", "/statusz"))[0] == 200
            assert (await c.request("GET", "/debug/pprof/cmdline"))[0] == 404
        process.terminate()
        assert await process.ended(30) == 0
        assert "Traceback" not in process.log, process.log


async def test_a_socket_that_cannot_be(tmp_path: Path) -> None:
    process = Process(tmp_path / "data", f"--debug-socket-path={tmp_path}/nowhere/x.sock")
    assert await process.ended(30) == 1
    assert "--debug-socket-path: cannot listen on" in process.log
    process.close()
