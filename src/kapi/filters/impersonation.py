"""Act as another user (Impersonate-* headers): changes `request.user` after a check.

The kinds of impersonation are tried from the narrowest on: as one's own node, as any node, as a
service account, as another user, each by `impersonate-on:<mode>:<verb>` on what is asked and
`impersonate:<mode>` on whom to be; at last the plain verb `impersonate`. The first success wins;
else the first refusal is the answer.
https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import unquote

from kapi.authentication import service_account
from kapi.authentication.authenticator import (
    ANONYMOUS,
    AUTHENTICATED_GROUP,
    MASTERS_GROUP,
    UNAUTHENTICATED_GROUP,
)
from kapi.authorization.authorizer import Attributes, Authorizer, Decision, allows, decide, refusal
from kapi.errors import ApiError, bad_request, quote
from kapi.filters.authorization import attributes
from kapi.messages import Handler, Headers, Request, Response, UserInfo

USER = "impersonate-user"
UID = "impersonate-uid"
GROUP = "impersonate-group"
EXTRA_PREFIX = "impersonate-extra-"

NODE_PREFIX = "system:node:"
NODES_GROUP = "system:nodes"
MANY_CHECKS = 4  # from so many groups or extra values on, ask once for all of them first
AUTHENTICATION_GROUP = "authentication.k8s.io"
_DOMAIN_PREFIXED = 'must be a domain-prefixed path (such as "acme.io/foo")'


def with_impersonation(
    handler: Handler, authorizer: Authorizer, *, constrained: bool = True
) -> Handler:
    """`constrained`: whether there is more than the plain verb."""
    modes = _modes(authorizer) if constrained else (_plain(authorizer),)

    async def filtered(request: Request) -> Response:
        wanted = wanted_user(request.headers)
        if wanted is None:
            return await handler(request)
        request.headers = Headers(
            [item for item in request.headers.items if not _is_impersonation(item[0])]
        )
        request.audit.impersonator = request.user
        request.user, request.audit.constraint = await _impersonate(
            modes, wanted, attributes(request)
        )
        return await handler(request)

    return filtered


def _is_impersonation(name: str) -> bool:
    return name in (USER, UID, GROUP) or name.startswith(EXTRA_PREFIX)


def wanted_user(headers: Headers) -> UserInfo | None:
    """Whom the headers ask to be. Raises ApiError 400 for headers without a user name."""
    name = headers.get(USER)
    uid = headers.get(UID)
    groups = headers.all(GROUP) if GROUP in headers else []
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in headers.items:
        if header.startswith(EXTRA_PREFIX):
            key = unquote(header[len(EXTRA_PREFIX) :])
            extra[key] = (*extra.get(key, ()), value)
    if name:
        return UserInfo(name, uid, tuple(groups), extra)
    if uid or groups or extra:
        described = _describe(uid, groups, extra)
        raise bad_request(f"requested {described} without impersonating a user name")
    return None


def _describe(uid: str, groups: list[str], extra: dict[str, tuple[str, ...]]) -> str:
    """A user as Go's `%#v` prints it."""
    listed = "[]string{" + ", ".join(map(quote, groups)) + "}" if groups else "[]string(nil)"
    more = "map[string][]string(nil)"
    if extra:
        pairs = (
            f"{quote(k)}:[]string{{{', '.join(map(quote, v))}}}" for k, v in sorted(extra.items())
        )
        more = "map[string][]string{" + ", ".join(pairs) + "}"
    return f'&user.DefaultInfo{{Name:"", UID:{quote(uid)}, Groups:{listed}, Extra:{more}}}'


Applies = Callable[[UserInfo, UserInfo], bool]  # (wanted, requestor)


class _Mode:
    """One kind of impersonation. `name` "" is the plain one."""

    def __init__(self, authorizer: Authorizer, name: str, applies: Applies) -> None:
        self._authorizer = authorizer
        self._name = name
        self.applies = applies
        self._verb = f"impersonate:{name}" if name else "impersonate"
        self._group = AUTHENTICATION_GROUP if name else ""
        self.constraint = self._verb if name else ""

    async def impersonate(self, wanted: UserInfo, asked: Attributes) -> UserInfo:
        """The user to be. Raises ApiError 403."""
        if self._name:
            await self._check(replace(asked, verb=f"impersonate-on:{self._name}:{asked.verb}"))
        requestor = asked.user
        groups = await self._check_name(wanted, requestor)
        if wanted.uid:
            await self._check(self._attributes(requestor, "uids", wanted.uid))
        if wanted.groups:
            await self._check_groups(wanted.groups, requestor)
        if wanted.extra:
            await self._check_extra(wanted, requestor)
        return replace(wanted, groups=_with_authentication(wanted.name, groups))

    async def _check_name(self, wanted: UserInfo, requestor: UserInfo) -> tuple[str, ...]:
        asked = self._attributes(requestor, "users", wanted.name, group=self._group)
        groups = wanted.groups
        account = service_account.split_username(wanted.name)
        if self._name and (node := node_name(wanted.name)):
            name = "*" if self._name == "associated-node" else node
            asked = replace(asked, resource="nodes", name=name)
            groups = (NODES_GROUP,)
        elif account is not None:
            namespace, name = account
            asked = replace(asked, resource="serviceaccounts", namespace=namespace, name=name)
            groups = groups or service_account.groups(namespace)
        await self._check(asked)
        return groups

    async def _check_groups(self, groups: tuple[str, ...], requestor: UserInfo) -> None:
        asked = self._attributes(requestor, "groups", "", group=self._group)
        if self._name:
            if "" in groups:
                raise refusal(asked, "impersonating the empty string group is not allowed")
            if MASTERS_GROUP in groups:
                raise refusal(
                    replace(asked, name=MASTERS_GROUP),
                    "impersonating the system:masters group is not allowed",
                )
            if len(groups) >= MANY_CHECKS and await self._allowed(replace(asked, name="*")):
                return
        for group in groups:
            await self._check(replace(asked, name=group))

    async def _check_extra(self, wanted: UserInfo, requestor: UserInfo) -> None:
        asked = self._attributes(requestor, "userextras", "")
        if self._name:
            if problem := _extra_problem(wanted):
                raise refusal(asked, problem)
            many = sum(len(v) for v in wanted.extra.values()) >= MANY_CHECKS
            if many and await self._allowed(replace(asked, subresource="*", name="*")):
                return
        for key, values in wanted.extra.items():
            for value in values:
                await self._check(replace(asked, subresource=key, name=value))

    def _attributes(
        self, requestor: UserInfo, resource: str, name: str, group: str = AUTHENTICATION_GROUP
    ) -> Attributes:
        return Attributes(
            user=requestor,
            verb=self._verb,
            is_resource=True,
            group=group,
            version="v1",
            resource=resource,
            name=name,
        )

    async def _allowed(self, asked: Attributes) -> bool:
        return await allows(self._authorizer, asked)

    async def _check(self, asked: Attributes) -> None:
        decision, reason, _ = await decide(self._authorizer, asked)
        if decision is not Decision.ALLOW:
            raise refusal(asked, reason)


def _modes(authorizer: Authorizer) -> tuple[_Mode, ...]:
    def is_node(wanted: UserInfo, requestor: UserInfo) -> bool:
        return _only_name(wanted) and bool(node_name(wanted.name))

    def is_own_node(wanted: UserInfo, requestor: UserInfo) -> bool:
        if service_account.split_username(requestor.name) is None:
            return False
        node = node_name(wanted.name)
        mine = requestor.extra.get(service_account.NODE_NAME, ())
        return _only_name(wanted) and bool(node) and tuple(mine) == (node,)

    def is_account(wanted: UserInfo, requestor: UserInfo) -> bool:
        return _only_name(wanted) and service_account.split_username(wanted.name) is not None

    def is_other(wanted: UserInfo, requestor: UserInfo) -> bool:
        return not node_name(wanted.name) and service_account.split_username(wanted.name) is None

    return (
        _Mode(authorizer, "associated-node", is_own_node),
        _Mode(authorizer, "arbitrary-node", is_node),
        _Mode(authorizer, "serviceaccount", is_account),
        _Mode(authorizer, "user-info", is_other),
        _plain(authorizer),
    )


def _plain(authorizer: Authorizer) -> _Mode:
    return _Mode(authorizer, "", lambda wanted, requestor: True)


async def _impersonate(
    modes: tuple[_Mode, ...], wanted: UserInfo, asked: Attributes
) -> tuple[UserInfo, str]:
    """The user to be, and the verb of the narrower kind that allowed it. Raises ApiError 403."""
    first: ApiError | None = None
    for mode in modes:
        if not mode.applies(wanted, asked.user):
            continue
        try:
            return await mode.impersonate(wanted, asked), mode.constraint
        except ApiError as e:
            first = first or e
    assert first is not None, "the last mode applies to everyone"
    raise first


def _only_name(user: UserInfo) -> bool:
    return not (user.uid or user.groups or user.extra)


def node_name(username: str) -> str:
    """The node that a user name is of; "" for other users."""
    name = username.removeprefix(NODE_PREFIX)
    return name if name != username and service_account.is_subdomain(name) else ""


def _with_authentication(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    if name == ANONYMOUS:
        return groups if UNAUTHENTICATED_GROUP in groups else (*groups, UNAUTHENTICATED_GROUP)
    if UNAUTHENTICATED_GROUP in groups or AUTHENTICATED_GROUP in groups:
        return groups
    return (*groups, AUTHENTICATED_GROUP)


def _extra_problem(user: UserInfo) -> str:
    for key, values in user.extra.items():
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        domain, _, rest = key.partition("/")
        if not domain or not rest:
            problem = f"extra.key: Invalid value: {quote(key)}: {_DOMAIN_PREFIXED}"
            return f"impersonating an invalid key in extra is not allowed: {problem}"
        if key != key.lower():
            return f"impersonating a non-lowercase key in extra is not allowed: {quote(key)}"
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""
