"""What handlers note for audit: the object of the request, a patch as it was sent, and how an
answer that is no JSON would be JSON.

Handlers ask `request.audit.level` first, so that a request that is not audited costs nothing. What
is noted is bytes: objects change afterwards.
https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Event
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import orjson

from kapi.audit.objects import compact, without_owners
from kapi.audit.policy import Level
from kapi.codec import json_format
from kapi.codec.negotiate import JSON, Accepted, Patch
from kapi.handlers.aside import Aside
from kapi.messages import Request, Response

Json = dict[str, Any]
_NOTED = ("namespace", "name", "uid", "resourceVersion")


def note_object(
    request: Request, obj: Json, encode: Callable[[Json], bytes] = json_format.dumps
) -> None:
    """The decoded object of a request; `encode`: as answers have it."""
    facts = request.audit
    meta = obj.get("metadata")
    if isinstance(meta, dict):
        facts.noted = {name: meta[name] for name in _NOTED if isinstance(meta.get(name), str)}
    if facts.level >= Level.REQUEST:
        facts.object = encode(without_owners(obj) if facts.omit_managed_fields else obj)


async def note_patch(request: Request, data: bytes, asked: Patch, value: Any, aside: Aside) -> None:
    """A patch: JSON as it was sent, anything else as the JSON of its value, with sorted keys."""
    if request.audit.level >= Level.REQUEST:
        request.audit.object = await aside.run(len(data), lambda: _told(data, asked, value))


def _told(data: bytes, asked: Patch, value: Any) -> bytes:
    if asked.syntax == "json" or (asked.syntax == "yaml" and _is_json(data)):
        return compact(data)
    return json_format.dumps_sorted(value)


def _is_json(data: bytes) -> bool:
    """Most bodies of apply patches are; YAML may begin with a brace, too."""
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def note_answer(
    request: Request,
    accepted: Accepted,
    again: Callable[[Accepted], Response | Awaitable[Response]],
) -> None:
    """How an answer that is no JSON would be JSON, if audit wants to know."""
    if request.audit.level < Level.REQUEST_RESPONSE or accepted.media_type == JSON:
        return
    plain = replace(accepted, media_type=JSON, pretty=False)

    async def answer() -> Response:
        made = again(plain)
        return made if isinstance(made, Response) else await made

    request.audit.answer = answer
