"""Audit of `kapi serve` as a process: no event is lost at a stop, and what stops a start is said in
one line.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest
from server_process import Connection, Process, connected, serving

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
STOP_S = 10
REQUESTS = 50
WATCHES = 5


def policy(folder: Path, text: str = "rules: [{level: Metadata}]") -> str:
    path = folder / "policy.yaml"
    path.write_text(f"apiVersion: audit.k8s.io/v1\nkind: Policy\n{text}\n")
    return str(path)


@pytest.mark.parametrize("mode", ["blocking", "batch"])
async def test_a_stop_writes_what_waits(tmp_path: Path, mode: str) -> None:
    log = tmp_path / "audit.log"
    flags = (
        f"--audit-policy-file={policy(tmp_path)}",
        f"--audit-log-path={log}",
        f"--audit-log-mode={mode}",
        "--audit-log-batch-max-size=1000",
        "--audit-log-batch-max-wait=1h",
    )
    async with serving(tmp_path / "data", *flags) as process:
        watching = [await Connection.open(process.port) for _ in range(WATCHES)]

        seen = asyncio.Semaphore(0)  # a watch has shown something

        async def watch(connection: Connection) -> None:
            first = True
            async for _ in connection.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion=0"):
                if first:
                    seen.release()
                first = False

        async with asyncio.TaskGroup() as group:
            for connection in watching:
                group.create_task(watch(connection))
            async with connected(process.port) as c:
                for i in range(REQUESTS):
                    body = {"metadata": {"name": f"m{i}"}}
                    assert (await c.request("POST", CONFIG_MAPS, body))[0] == 201
            for _ in watching:
                await seen.acquire()
            process.terminate()
            assert await process.ended(STOP_S) == 0
        for connection in watching:
            await connection.close()
        assert "Traceback" not in process.log, process.log
    found = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    told = [(e["verb"], e["stage"]) for e in found]
    assert told.count(("create", "ResponseComplete")) == REQUESTS
    assert told.count(("watch", "ResponseStarted")) == WATCHES
    assert told.count(("watch", "ResponseComplete")) == WATCHES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: [{level: All}]", 'rules[0].level: Unsupported value: "All"'),
        ("rules: []", "loaded illegal policy with 0 rules"),
    ],
)
async def test_a_policy_that_is_wrong_stops_the_start(
    tmp_path: Path, text: str, words: str
) -> None:
    process = Process(tmp_path / "data", f"--audit-policy-file={policy(tmp_path, text)}")
    assert await process.ended(STOP_S) != 0
    (line,) = [line for line in process.log.splitlines() if line.strip()]
    process.close()
    assert line.startswith("kapi: loading audit policy file: ")
    assert words in line
