"""Front proxy: a trusted proxy, known by its client certificate, says in headers who asks.

Headers count only with a certificate of the request-header CA and, if names are configured, one of
these as its common name. A certificate of another CA is not an error here: it may be that of a
plain client.
https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from kapi.authentication.authenticator import InvalidCredentials
from kapi.authentication.x509 import CertificateAuthority, common_name
from kapi.clock import Clock
from kapi.messages import Request, UserInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderNames:
    """Which headers speak; the flags' lists. Names are compared without regard to case."""

    users: tuple[str, ...] = ("x-remote-user",)
    uids: tuple[str, ...] = ("x-remote-uid",)
    groups: tuple[str, ...] = ("x-remote-group",)
    extra_prefixes: tuple[str, ...] = ("x-remote-extra-",)

    def lowered(self) -> HeaderNames:
        return HeaderNames(
            users=tuple(n.lower() for n in self.users),
            uids=tuple(n.lower() for n in self.uids),
            groups=tuple(n.lower() for n in self.groups),
            extra_prefixes=tuple(n.lower() for n in self.extra_prefixes),
        )

    def owns(self, name: str) -> bool:
        """True for a lower-case header name that this configuration reads."""
        return (
            name in self.users
            or name in self.uids
            or name in self.groups
            or name.startswith(self.extra_prefixes)
        )


# What is always taken out of a request before it travels on, configured or not.
STANDARD = HeaderNames()


class RequestHeader:
    def __init__(
        self,
        authority: CertificateAuthority,
        allowed_names: Sequence[str],
        headers: HeaderNames,
        clock: Clock,
    ) -> None:
        self._authority = authority
        self._allowed = frozenset(allowed_names)
        self._headers = headers.lowered()
        self._clock = clock

    async def authenticate(self, request: Request) -> UserInfo | None:
        chain = request.peer.certificates
        if not chain or not self._authority.vouches_for(chain, self._clock.now()):
            return None
        proxy = common_name(chain[0])
        if self._allowed and proxy not in self._allowed:
            raise InvalidCredentials(f"x509: subject with cn={proxy} is not in the allowed list")
        names = self._headers
        found = request.headers
        name = next((v for n in names.users if (v := found.get(n))), "")
        if not name:
            return None
        return UserInfo(
            name=name,
            uid=next((v for n in names.uids if (v := found.get(n))), ""),
            groups=tuple(v for n in names.groups for v in found.all(n) if v),
            extra=_extra(found.items, names.extra_prefixes),
        )


def _extra(
    items: Sequence[tuple[str, str]], prefixes: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    extra: dict[str, tuple[str, ...]] = {}
    for prefix in prefixes:
        for header, value in items:
            if header.startswith(prefix):
                key = unquote(header[len(prefix) :])
                extra[key] = (*extra.get(key, ()), value)
    return extra
