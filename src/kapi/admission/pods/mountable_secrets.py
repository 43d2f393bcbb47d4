"""Which secrets a pod may use, where its service account limits that by an annotation.

Pure; called by `service_account.py`.
https://kubernetes.io/docs/concepts/security/service-accounts/#enforce-mountable-secrets
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
ANNOTATION = "kubernetes.io/enforce-mountable-secrets"
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_KINDS = {
    "initContainers": "init container",
    "containers": "container",
    "ephemeralContainers": "ephemeral container",
}


def limits(account: Json) -> bool:
    return (account["metadata"].get("annotations") or {}).get(ANNOTATION) in _TRUE


def problem(account: Json, spec: Json, *, ephemeral: bool = False) -> str:
    """What of a pod is not allowed, in words; empty: nothing. `ephemeral`: only those containers
    are looked at, else all but them.
    """
    name = account["metadata"]["name"]
    mountable = {s.get("name", "") for s in account.get("secrets") or ()}
    ending = f"is not allowed because service account {name} does not reference that"
    for where, secret in _references(spec, ephemeral=ephemeral):
        if secret not in mountable:
            return f'{where} secret.secretName="{secret}" {ending} secret'
    pullable = {s.get("name", "") for s in account.get("imagePullSecrets") or ()}
    for index, pull in enumerate(() if ephemeral else spec.get("imagePullSecrets") or ()):
        if pull.get("name", "") not in pullable:
            secret = pull.get("name", "")
            return f'imagePullSecrets[{index}].name="{secret}" {ending} imagePullSecret'
    return ""


def _references(spec: Json, *, ephemeral: bool) -> Iterator[tuple[str, str]]:
    """Where a secret is named, and its name."""
    for volume in () if ephemeral else spec.get("volumes") or ():
        if volume.get("secret") is not None:
            yield "volume with", volume["secret"].get("secretName", "")
    for field, kind in _KINDS.items():
        if (field == "ephemeralContainers") is not ephemeral:
            continue
        for container in spec.get(field) or ():
            who = f"{kind} {container.get('name', '')} with"
            for variable in container.get("env") or ():
                key = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if key is not None:
                    where = f"{who} envVar {variable.get('name', '')} referencing"
                    yield where, key.get("name", "")
            for source in container.get("envFrom") or ():
                if source.get("secretRef") is not None:
                    yield f"{who} envFrom referencing", source["secretRef"].get("name", "")
