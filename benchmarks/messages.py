"""The same pods in Protocol Buffers, as clients of Go send and want them.

The rows run after those of `rows.py`, on the same servers; the rows `create`, `get` and `list` are
what they are compared with, in one run. The messages are made by this tree's codec before the load
begins.
"""

from __future__ import annotations

from collections.abc import Iterator

import objects
from client import once
from rows import NAMESPACE, PODS, ROUNDS, Result, Round, Row, _load, _same
from targets import Target

PROTOBUF = "application/vnd.kubernetes.protobuf"
NAMESPACES = "/api/v1/namespaces"
CREATED = PODS // 2


def _pods(numbers: range) -> list[bytes]:
    """Bodies: the pods of these numbers in their envelopes."""
    from kapi.codec.protobuf_format import sealed
    from kapi.kinds.shared.types import TypeTable
    from kapi.schema.decoding import Decoders
    from kapi.schema.protobuf_writing import Writers

    schema = TypeTable().schema("io.k8s.api.core.v1.Pod")
    decoders, writers = Decoders(), Writers()
    made = (decoders.decode(schema, objects.pod(number))[0] for number in numbers)
    return [sealed("v1", "Pod", writers.write(schema, obj)) for obj in made]


async def create_messages(target: Target, now: Round) -> Result:
    """Create in a namespace of its own; sent and answered as messages."""
    address = target.address
    if not now.number:
        body = objects.encoded({"metadata": {"name": "messages"}})
        await once(address, address.request("POST", NAMESPACES, body))
    share = CREATED // ROUNDS
    bodies = iter(_pods(range(now.number * share, (now.number + 1) * share)))

    def creations() -> Iterator[bytes]:
        for body in bodies:
            path = f"{NAMESPACES}/messages/pods"
            yield address.request("POST", path, body, accept=PROTOBUF, content=PROTOBUF)

    return await _load(target, [creations() for _ in range(8)])


async def get_message(target: Target, now: Round) -> Result:
    path = f"{NAMESPACE}/pods/shop-000007"
    sources = [_same(target.address, path, now.seconds, PROTOBUF) for _ in range(16)]
    return await _load(target, sources)


async def list_messages(target: Target, now: Round) -> Result:
    path = f"{NAMESPACE}/pods"
    sources = [_same(target.address, path, now.seconds, PROTOBUF) for _ in range(4)]
    return await _load(target, sources)


MESSAGE_ROWS: tuple[tuple[str, str, Row, bool], ...] = (
    ("create-pb", "create pods of 3 KB, Protocol Buffers", create_messages, True),
    ("get-pb", "GET a pod, Protocol Buffers", get_message, True),
    ("list-pb", "LIST 2,000 pods, Protocol Buffers", list_messages, True),
)
