"""ServiceAccount: a pod runs as an account of its namespace and gets a token for it mounted.

https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kapi import errors
from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation, refused
from kapi.admission.pods import mountable_secrets
from kapi.authorization import node_references
from kapi.clock import Clock, Entropy

Json = dict[str, Any]
Live = Callable[[str, str, str], Awaitable[Json | None]]

DEFAULT = "default"
# How long a pod waits for the default account of its namespace: 1.5 s in all, as the real server.
PAUSES_S = (0.005, 0.01, 0.02, 0.04, *(0.095 for _ in range(15)))
MIRROR_POD = "kubernetes.io/config.mirror"
VOLUME_PREFIX = "kube-api-access-"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607  # an hour, and enough to be told from the common one
_FILE_MODE = 0o644
_SUFFIX_LENGTH = 5


class ServiceAccountPlugin:
    name = "ServiceAccount"

    def __init__(
        self,
        accounts: Lister,
        live: Live,
        entropy: Entropy,
        clock: Clock | None = None,
        *,
        expected: bool = False,
    ) -> None:
        """`expected`: a controller of this process makes the default accounts. `clock`: for
        waiting until it has; None: nobody waits."""
        self._clock = clock
        self._expected = expected
        self._accounts = accounts
        self._live = live
        self._entropy = entropy

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (group, resource) == ("", "pods") and (operation, subresource) in (
            ("CREATE", ""),
            ("UPDATE", "ephemeralcontainers"),
        )

    async def admit(self, attributes: Attributes) -> None:
        a = attributes
        if a.subresource:
            return
        pod = a.object
        assert pod is not None
        spec = pod.setdefault("spec", {})
        if MIRROR_POD in (pod["metadata"].get("annotations") or {}):
            self._check_mirror(a, spec)
            return
        name = spec.get("serviceAccountName") or "default"
        account = await self._account(a, name)
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        if _automounts(spec, account):
            self._mount(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            secrets = account["imagePullSecrets"]
            spec["imagePullSecrets"] = [{"name": s.get("name", "")} for s in secrets]
        self._limit(a, account, spec)

    async def validate(self, attributes: Attributes) -> None:
        """Webhooks may have changed the pod since."""
        a = attributes
        pod = a.object or {}
        spec = pod.get("spec") or {}
        if MIRROR_POD in ((pod.get("metadata") or {}).get("annotations") or {}):
            if not a.subresource:
                self._check_mirror(a, spec)
            return
        name = spec.get("serviceAccountName", "")
        if not name:
            if not a.subresource:
                where = f"{a.namespace}/{pod.get('metadata', {}).get('name', '')}"
                raise refused(a, f"no service account specified for pod {where}")
            return
        self._limit(a, await self._account(a, name), spec)

    def _limit(self, a: Attributes, account: Json, spec: Json) -> None:
        if mountable_secrets.limits(account):
            problem = mountable_secrets.problem(account, spec, ephemeral=bool(a.subresource))
            if problem:
                raise refused(a, problem)

    async def _account(self, a: Attributes, name: str) -> Json:
        account = self._accounts.get(a.namespace, name)
        if account is None:
            account = await self._live("serviceaccounts", a.namespace, name)
        if account is None and name == DEFAULT:
            account = await self._wait_for_default(a.namespace)
        if account is None:
            text = (
                f"error looking up service account {a.namespace}/{name}: "
                f"serviceaccount {errors.quote(name)} not found"
            )
            raise refused(a, text)
        return account

    async def _wait_for_default(self, namespace: str) -> Json | None:
        """The default account of a new namespace, if somebody makes them and will in a moment.

        That somebody does shows by the account in the namespace `default`.
        """
        if self._clock is None:
            return None
        if not self._expected and self._accounts.get(DEFAULT, DEFAULT) is None:
            return None
        for pause in PAUSES_S:
            await self._clock.sleep(pause)
            account = self._accounts.get(namespace, DEFAULT)
            if account is not None:
                return account
        return None

    def _check_mirror(self, a: Attributes, spec: Json) -> None:
        """A pod that mirrors a file of a node has nothing to do with accounts."""
        if spec.get("serviceAccountName"):
            raise refused(a, "a mirror pod may not reference service accounts")
        if any(kind == "secrets" for kind, _ in node_references.of_pod(a.object or {})):
            raise refused(a, "a mirror pod may not reference secrets")
        for volume in spec.get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                if source.get("serviceAccountToken") is not None:
                    text = "a mirror pod may not use ServiceAccountToken volume projections"
                    raise refused(a, text)

    def _mount(self, spec: Json) -> None:
        volumes = spec.get("volumes") or []
        name = next((v["name"] for v in volumes if v["name"].startswith(VOLUME_PREFIX)), "")
        present = bool(name)
        if not present:
            name = VOLUME_PREFIX + self._entropy.name_suffix(_SUFFIX_LENGTH)
        needed = False
        for field in ("initContainers", "containers"):
            for container in spec.get(field) or ():
                mounts = container.get("volumeMounts") or []
                if all(m.get("mountPath") != MOUNT_PATH for m in mounts):
                    mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
                    container["volumeMounts"] = [*mounts, mount]
                    needed = True
        if needed and not present:
            spec["volumes"] = [*volumes, token_volume(name)]


def _automounts(spec: Json, account: Json) -> bool:
    for said in (spec, account):
        choice = said.get("automountServiceAccountToken")
        if choice is not None:
            return bool(choice)
    return True


def token_volume(name: str) -> Json:
    """A token, the certificate to trust the server by, and the name of the namespace."""
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {
                    "configMap": {
                        "name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
            ],
            "defaultMode": _FILE_MODE,
        },
    }
