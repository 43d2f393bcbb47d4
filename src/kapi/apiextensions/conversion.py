"""How objects of a custom kind get from one of its versions to another: by name alone, or by the
webhook that the definition names.

`serving.py` asks for a `Convert` per target version and prunes what it gives. A converter that
cannot convert raises `ConversionFailed`.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kapi.registry.conversion import ConversionFailed

Json = dict[str, Any]
Exists = Callable[[str, str], bool]  # whether there is a Service: namespace, name
TIMEOUT_S = 30  # that the real server gives a webhook; part of the address that it shows


class Webhooks(Protocol):
    """Asks the webhook of a definition."""

    def convert(self, client: Json, obj: Json, api_version: str) -> Json:
        """The object in another version, a new one. `client`: the clientConfig of the definition.
        Raises ConversionFailed."""
        ...


class NoWebhooks:
    """Says of every webhook why it is not reached."""

    def __init__(self, exists: Exists) -> None:
        self._exists = exists

    def convert(self, client: Json, obj: Json, api_version: str) -> Json:
        raise failed(client, obj, self._why(client))

    def _why(self, client: Json) -> str:
        service = client.get("service")
        if service is not None and not self._exists(service["namespace"], service["name"]):
            return f'service "{service["name"]}" not found'
        return "this server calls no conversion webhooks"


def failed(client: Json, obj: Json, why: str) -> ConversionFailed:
    """A call to a webhook that did not come about."""
    kind = f"{obj.get('apiVersion', '')}, Kind={obj.get('kind', '')}"
    return ConversionFailed(
        f'conversion webhook for {kind} failed: Post "{address(client)}": {why}'
    )


def address(client: Json) -> str:
    """Where the webhook of a definition is, as the real server calls it."""
    service = client.get("service")
    if service is None:
        return f"{client.get('url', '')}?timeout={TIMEOUT_S}s"
    host = f"{service['name']}.{service['namespace']}.svc:{service.get('port', 443)}"
    path = service.get("path") or ""
    if not path.startswith("/"):
        path = f"/{path}"
    return f"https://{host}{path}?timeout={TIMEOUT_S}s"
