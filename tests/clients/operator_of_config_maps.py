"""An operator as people write them with kopf: for each ConfigMap with a label, a Secret of the same
name that belongs to it. `test_kopf.py` runs it as a process."""

from __future__ import annotations

import base64
from typing import Any

import kopf
from kubernetes import client, config

WATCHED = {"mirror": "yes"}


@kopf.on.startup()
def connect(settings: kopf.OperatorSettings, memo: Any, **_: Any) -> None:
    load: Any = config.load_kube_config
    load()
    memo.core = client.CoreV1Api()
    settings.persistence.finalizer = "example.com/mirror"


def secret(body: Any) -> dict[str, Any]:
    data = {k: base64.b64encode(v.encode()).decode() for k, v in body.get("data", {}).items()}
    made: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "data": data}
    kopf.adopt(made, owner=body)
    made["metadata"]["name"] = body.metadata.name
    return made


@kopf.on.create("configmaps", labels=WATCHED)
def create(body: Any, memo: Any, **_: Any) -> None:
    memo.core.create_namespaced_secret(body.metadata.namespace, secret(body))


@kopf.on.update("configmaps", labels=WATCHED, field="data")
def update(body: Any, memo: Any, **_: Any) -> None:
    meta = body.metadata
    memo.core.replace_namespaced_secret(meta.name, meta.namespace, secret(body))
    kopf.info(body, reason="Mirrored", message="the secret has the new data")


@kopf.on.delete("configmaps", labels=WATCHED)
def delete(body: Any, memo: Any, **_: Any) -> None:
    memo.core.delete_namespaced_secret(body.metadata.name, body.metadata.namespace)


@kopf.on.event("secrets", annotations={"ask": kopf.PRESENT})
def answer(patch: kopf.Patch, **_: Any) -> None:
    patch.metadata.annotations["ask"] = None
    patch.metadata.annotations["answer"] = "42"
