"""Words about bodies that cannot be what they should be. Used where bodies are read: `decode.py`,
`delete.py`."""

from __future__ import annotations

from kapi import errors
from kapi.registry.resource import GroupVersionKind

SUMMARY_BYTES = 30  # how much of an unreadable body an error shows


def summarize(data: bytes) -> str:
    """A body as an error shows it: text if it looks like an object, else hexadecimal."""
    if not data:
        return "<empty>"
    head = data[:SUMMARY_BYTES]
    text = head.decode("utf-8", "replace") if data[:1] == b"{" else head.hex()
    return text if len(data) <= SUMMARY_BYTES else text + " ..."


def not_registered(kind: GroupVersionKind) -> str:
    return (
        f"no kind {errors.quote(kind.kind)} is registered for version "
        f'{errors.quote(kind.api_version)} in scheme "pkg/runtime/scheme.go:111"'
    )


def internal_package(kind: GroupVersionKind) -> str:
    return kind.group.partition(".")[0] or "core"


def no_message(go_type: str) -> str:
    return (
        f"object *{go_type} does not implement the protobuf marshalling interface and cannot be "
        "encoded to a protobuf message"
    )
