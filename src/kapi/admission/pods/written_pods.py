"""What plugins share that are about pods as clients write them: when they are asked."""

from __future__ import annotations

from kapi.admission.plugin import Operation


class OfWrittenPods:
    """Base of a plugin that is asked when a pod is created or updated, not for subresources."""

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and (group, resource, subresource) == (
            "",
            "pods",
            "",
        )
