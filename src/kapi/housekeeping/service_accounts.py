"""The service account `default` in every namespace, made with it and made again when it goes.

https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
"""

from __future__ import annotations

from kapi.cacher.event import DELETED, Event, Item
from kapi.errors import ApiError
from kapi.housekeeping.feed import Feed
from kapi.housekeeping.queue import WorkQueue
from kapi.housekeeping.world import World

ACCOUNT = "service-account-controller"
DEFAULT = "default"


class ServiceAccounts:
    """Keys are names of namespaces."""

    name = "serviceaccount"
    workers = 4

    def __init__(self, world: World, feed: Feed) -> None:
        self._world = world
        self._namespaces = world.resource("", "namespaces")
        self._accounts = world.resource("", "serviceaccounts")
        self.queue: WorkQueue[str] = WorkQueue(world.timers)
        feed.on(self._namespaces.storage_prefix, self._namespace)
        feed.on(self._accounts.storage_prefix, self._account)

    def _namespace(self, item: Item, event: Event | None) -> None:
        gone = event is not None and event.type == DELETED
        if not gone and self._world.item(self._accounts, item.name, DEFAULT) is None:
            self.queue.add(item.name)

    def _account(self, item: Item, event: Event | None) -> None:
        if item.name == DEFAULT and event is not None and event.type == DELETED:
            self.queue.add(item.namespace)

    async def sync(self, key: str) -> float | None:
        """Make the account, unless the namespace is on its way out."""
        namespace = self._world.item(self._namespaces, "", key)
        if namespace is None or not active(namespace):
            return None
        if self._world.item(self._accounts, key, DEFAULT) is not None:
            return None
        account = {
            "kind": "ServiceAccount",
            "apiVersion": "v1",
            "metadata": {"name": DEFAULT, "namespace": key},
        }
        try:
            await self._world.objects.create("", "serviceaccounts", key, account)
        except ApiError as error:
            if not unwanted(error):
                raise
        return None


def active(namespace: Item) -> bool:
    return bool((namespace.object().get("status") or {}).get("phase") == "Active")


def unwanted(error: ApiError) -> bool:
    """Whether a creation failed because it is there already, or its namespace goes or is gone."""
    if error.code == 404 or error.reason == "AlreadyExists":
        return True
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
