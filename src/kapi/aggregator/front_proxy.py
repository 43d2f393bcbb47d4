"""How the aggregator tells other servers who it is, and who asks.

Used for requests (`proxy.py`), checks and documents.
https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
"""

from __future__ import annotations

from dataclasses import dataclass

from kapi.messages import UserInfo

# Who asks when nobody does: the aggregator, for discovery and OpenAPI.
AGGREGATOR = UserInfo("system:kube-aggregator", groups=("system:masters",))
_TOKEN = frozenset("!#$&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files of the front proxy's certificate and key; "" for none."""

    certificate: str = ""
    key: str = ""


def user_headers(user: UserInfo) -> list[tuple[str, str]]:
    """Who asks, as a front proxy says it."""
    out = [("X-Remote-User", user.name)]
    if user.uid:
        out.append(("X-Remote-Uid", user.uid))
    out += [("X-Remote-Group", group) for group in user.groups]
    for key, values in user.extra.items():
        out += [(f"X-Remote-Extra-{_escaped(key)}", value) for value in values]
    return [(name, _one_line(value)) for name, value in out]


def _escaped(key: str) -> str:
    """A key as part of a header's name: what is no token character, and %, as %XX."""
    return "".join(
        c if c in _TOKEN else "".join(f"%{byte:02X}" for byte in c.encode()) for c in key
    )


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ").replace("\0", " ")
