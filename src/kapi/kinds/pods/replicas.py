"""Counts of replicas in the status of controllers: none below zero, none above the whole.

Called by the strategies of ReplicationController, ReplicaSet, Deployment and StatefulSet for their
status subresource.
"""

from __future__ import annotations

from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import checks

Json = dict[str, Any]


def counts(status: Json, *fields: str) -> list[FieldError]:
    """Findings about counts that are negative, in the order given."""
    return [
        errors.invalid_value(f"status.{field}", status[field], checks.NEGATIVE)
        for field in fields
        if status.get(field, 0) < 0
    ]


def at_most(status: Json, field: str, whole: str, text: str) -> list[FieldError]:
    """A finding where a part is larger than the whole."""
    value = status.get(field, 0)
    if value > status.get(whole, 0):
        return [errors.invalid_value(f"status.{field}", value, text)]
    return []


def validate_replica_status(status: Json) -> list[FieldError]:
    """The status of replica sets and replication controllers."""
    out = counts(
        status,
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
    )
    more = "cannot be greater than status.replicas"
    out += at_most(status, "fullyLabeledReplicas", "replicas", more)
    out += at_most(status, "readyReplicas", "replicas", more)
    out += at_most(status, "availableReplicas", "replicas", more)
    return out + at_most(
        status, "availableReplicas", "readyReplicas", "cannot be greater than readyReplicas"
    )
