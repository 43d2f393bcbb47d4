"""The strategy that most kinds start from, and the field paths that a status write leaves alone."""

from __future__ import annotations

from typing import Any

from kapi.registry.strategy import Context, Path, Strategy

Json = dict[str, Any]

SPEC_ONLY: tuple[Path, ...] = (("spec",),)
# What metav1.ResetObjectMetaForStatus puts back.
METADATA: tuple[Path, ...] = (
    ("metadata", "labels"),
    ("metadata", "annotations"),
    ("metadata", "finalizers"),
    ("metadata", "ownerReferences"),
)
SPEC_AND_METADATA: tuple[Path, ...] = (("spec",), *METADATA)


class Plain(Strategy):
    """A kind whose status subresource may change labels and annotations, but not the spec."""

    reset_status = SPEC_ONLY


class FirstGeneration(Plain):
    """A kind whose metadata.generation is 1 for ever."""

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is not None:
            return
        metadata: Json = {}
        for name, value in obj["metadata"].items():
            if name == "creationTimestamp":
                metadata["generation"] = 1
            metadata[name] = value
        obj["metadata"] = metadata
