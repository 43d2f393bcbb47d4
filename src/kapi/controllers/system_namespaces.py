"""The namespaces that are always there. They come first: others of the fixed objects live in them.

https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#initial-namespaces
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kapi.controllers.objects import Fixed

Json = dict[str, Any]

SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
RESYNC_S = 60  # how often the real server looks whether one is missing


def fixed_objects(bootstrap: Mapping[str, Sequence[Json]]) -> list[Fixed]:
    return [
        Fixed(
            group="", resource="namespaces", object={"kind": "Namespace", "apiVersion": "v1", **obj}
        )
        for obj in bootstrap["namespaces"]
    ]
