"""The ConfigMap `kube-root-ca.crt` in every namespace: by it pods trust this server.

Made again when it goes, put right when it is changed.
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-token-volume
"""

from __future__ import annotations

from typing import Any

from kapi.cacher.event import DELETED, Event, Item
from kapi.errors import ApiError
from kapi.housekeeping.feed import Feed
from kapi.housekeeping.queue import WorkQueue
from kapi.housekeeping.service_accounts import active, unwanted
from kapi.housekeeping.world import World

Json = dict[str, Any]
ACCOUNT = "root-ca-cert-publisher"
CONFIG_MAP = "kube-root-ca.crt"
DESCRIPTION = "kubernetes.io/description"
_TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)


class RootCa:
    """Keys are names of namespaces."""

    name = "root-ca"
    workers = 4

    def __init__(self, world: World, feed: Feed, bundle: str) -> None:
        """`bundle`: certificates in PEM."""
        self._world = world
        self._data = {"ca.crt": bundle}
        self._namespaces = world.resource("", "namespaces")
        self._maps = world.resource("", "configmaps")
        self.queue: WorkQueue[str] = WorkQueue(world.timers)
        feed.on(self._namespaces.storage_prefix, self._namespace)
        feed.on(self._maps.storage_prefix, self._config_map)

    def _namespace(self, item: Item, event: Event | None) -> None:
        gone = event is not None and event.type == DELETED
        if not gone and self._world.item(self._maps, item.name, CONFIG_MAP) is None:
            self.queue.add(item.name)

    def _config_map(self, item: Item, event: Event | None) -> None:
        if item.name == CONFIG_MAP:
            self.queue.add(item.namespace)

    async def sync(self, key: str) -> float | None:
        """Make the map, or put it right."""
        namespace = self._world.item(self._namespaces, "", key)
        if namespace is None or not active(namespace):
            return None
        item = self._world.item(self._maps, key, CONFIG_MAP)
        try:
            if item is None:
                await self._world.objects.create("", "configmaps", key, self._wanted(key))
            elif not self._right(item.peek()):
                await self._world.objects.edit(self._maps, key, CONFIG_MAP, self._put_right)
        except ApiError as error:
            if not unwanted(error):
                raise
        return None

    def _wanted(self, namespace: str) -> Json:
        return {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {
                "name": CONFIG_MAP,
                "namespace": namespace,
                "annotations": {DESCRIPTION: _TEXT},
            },
            "data": self._data,
        }

    def _right(self, config_map: Json) -> bool:
        annotations = config_map["metadata"].get("annotations") or {}
        return config_map.get("data") == self._data and bool(annotations.get(DESCRIPTION))

    def _put_right(self, config_map: Json) -> None:
        config_map["data"] = dict(self._data)
        annotations = config_map["metadata"].get("annotations") or {}
        config_map["metadata"]["annotations"] = {**annotations, DESCRIPTION: _TEXT}
