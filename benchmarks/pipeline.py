"""What one create of a 3 KB pod costs inside the server, without sockets and without a disk.

Run by `run.py` in a process of its own with the source tree to measure on PYTHONPATH; prints one
JSON object: microseconds per step. The parts are timed in the running pipeline by wrapping the
functions that do them, so they add up to less than the whole. All are medians: what else the
machine does can only take away.
"""

from __future__ import annotations

import asyncio
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import objects
import orjson

PODS = 1500
WARM = 300


class Timed:
    """Time spent in wrapped functions, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def wrap(self, owner: Any, method: str, name: str) -> None:
        inner: Callable[..., Any] = getattr(owner, method)
        self.seconds[name] = 0.0

        @functools.wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                self.seconds[name] += time.perf_counter() - begin

        setattr(owner, method, timed)


async def measure() -> dict[str, float]:
    from kapi.clock import Entropy, SystemClock
    from kapi.handlers.decode import Decoder
    from kapi.managedfields.manager import FieldManager
    from kapi.messages import BytesBody, Headers, Peer, Query, Request, UserInfo
    from kapi.registry.write import Writer
    from kapi.schema.defaulting import Defaulters
    from kapi.server import Server

    try:
        from kapi.options import parser
    except ImportError:  # a commit that is compared with, from before the options had a package
        from kapi import option_parser as parser

    arguments = ["--data-dir", ":memory:", "--authorization-mode", "AlwaysAllow"]
    arguments += ["--disable-admission-plugins", "ServiceAccount"]
    options = parser.parse(arguments, {})
    clock = SystemClock()
    server = Server(options, clock, Entropy())
    await server.start()
    path = "/api/v1/namespaces/default/pods"
    headers = Headers([("content-type", "application/json"), ("user-agent", "bench")])
    peer = Peer("127.0.0.1", 1, True)
    timed = Timed()

    async def create(number: int) -> float:
        body = objects.encoded(objects.pod(number))
        query = Query("")
        begin = time.perf_counter()
        request = Request("POST", path, path, query, headers, BytesBody(body), peer)
        request.user = UserInfo("admin")
        request.received_at = clock.monotonic()
        answer = await server.handler(request)
        assert answer.status == 201, answer.body
        while request.exit:
            request.exit.pop()()
        return time.perf_counter() - begin

    for number in range(WARM):
        await create(number)
    whole = [await create(number) for number in range(WARM, WARM + PODS)]
    timed.wrap(Decoder, "decode", "decode")
    timed.wrap(Defaulters, "default", "default")
    timed.wrap(FieldManager, "updated", "managedFields")
    timed.wrap(Writer, "_validate", "validate")
    each: list[dict[str, float]] = []  # seconds by step, of one create
    for number in range(WARM + PODS, WARM + 2 * PODS):
        timed.seconds = timed.seconds.fromkeys(timed.seconds, 0.0)
        await create(number)
        each.append(timed.seconds)
    body = objects.encoded(objects.pod(1))
    begin = time.perf_counter()
    for _ in range(PODS):
        orjson.loads(body)
    parse = time.perf_counter() - begin
    await server.stop()
    messages = measure_messages()
    result = {n: statistics.median(one[n] for one in each) * 1e6 for n in timed.seconds}
    both = statistics.median(one["default"] + one["validate"] for one in each)
    result["default and validate"] = both * 1e6  # the aim is 400
    result["json"] = parse / PODS * 1e6
    result.update(messages)
    result["create"] = statistics.median(whole) * 1e6
    return result


def measure_messages() -> dict[str, float]:
    """A pod to and from Protocol Buffers and CBOR, and decoded from JSON; the best of many, in
    µs of CPU.
    """
    from kapi.codec import cbor_format
    from kapi.kinds.shared.types import TypeTable
    from kapi.schema.decoding import Decoders
    from kapi.schema.protobuf_reading import Readers
    from kapi.schema.protobuf_writing import Writers

    schema = TypeTable().schema("io.k8s.api.core.v1.Pod")
    decoders, writers = Decoders(), Writers()
    readers = Readers(decoders)
    text = objects.encoded(objects.pod(1))
    obj, _ = decoders.decode(schema, orjson.loads(text))
    message = writers.write(schema, obj)
    cbor = cbor_format.tagged(cbor_format.dumps(obj))
    steps: dict[str, Callable[[], Any]] = {
        "JSON to object": lambda: decoders.decode(schema, orjson.loads(text)),
        "message to object": lambda: readers.read(schema, message),
        "object to message": lambda: writers.write(schema, obj),
        "CBOR to object": lambda: decoders.decode(schema, cbor_format.loads(cbor)),
        "object to CBOR": lambda: cbor_format.dumps(obj),
    }
    return {name: best(step) * 1e6 for name, step in steps.items()}


def best(step: Callable[[], Any]) -> float:
    """Seconds of CPU of the fastest of many runs."""
    found = []
    for _ in range(60):
        begin = time.process_time()
        for _ in range(50):
            step()
        found.append((time.process_time() - begin) / 50)
    return min(found)


if __name__ == "__main__":
    json.dump(asyncio.run(measure()), sys.stdout)
