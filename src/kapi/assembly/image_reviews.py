"""Asks the image policy server, named by a kubeconfig file, about images.

Made by `admission.py` for the admission plugin ImagePolicyWebhook.
"""

from __future__ import annotations

from typing import Any

import orjson

from kapi.admission import kubeconfig
from kapi.admission.pods.image_policy import Review, ReviewError
from kapi.outgoing import words
from kapi.outgoing.client import Call, Client
from kapi.outgoing.words import OutgoingError

Json = dict[str, Any]
TIMEOUT_S = 30.0
ANSWER_BYTES_MAX = 1 << 20
_HEADERS = (("Accept", "application/json, */*"), ("Content-Type", "application/json"))


def reviewer(client: Client, path: str) -> Review:
    """Raises KubeconfigError."""
    server = kubeconfig.load(path)

    async def review(asked: Json) -> Json:
        call = Call(
            method="POST",
            target=server.path,
            endpoint=server.endpoint,
            headers=(*_HEADERS, *server.headers),
            body=orjson.dumps(asked),
            host=server.host,
        )
        try:
            fetched = await client.fetch(call, timeout_s=TIMEOUT_S, limit=ANSWER_BYTES_MAX)
        except OutgoingError as error:
            raise ReviewError(words.url_error("POST", server.url, error)) from error
        if not 200 <= fetched.status <= 206:
            raise ReviewError(f"the image policy server answered with status {fetched.status}")
        try:
            status = orjson.loads(fetched.body).get("status")
        except (orjson.JSONDecodeError, AttributeError) as error:
            raise ReviewError(f"the image policy server sent no ImageReview: {error}") from error
        if not isinstance(status, dict):
            raise ReviewError("the image policy server sent no ImageReview")
        return status

    return review
