"""Authentication, impersonation, authorization and audit ids around one handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import orjson
import pytest

from kapi.audit.auditor import Auditor
from kapi.audit.policy import Level, Policy, Rule, Verdict
from kapi.audit.record import Record
from kapi.authentication.anonymous import Anonymous
from kapi.authentication.authenticator import InvalidCredentials
from kapi.authentication.request_header import HeaderNames
from kapi.authorization.authorizer import Attributes, Decision
from kapi.clock import Entropy, SystemClock
from kapi.errors import ApiError, not_found
from kapi.filters.audit import with_audit, with_audit_id, with_refusals_audited
from kapi.filters.authentication import with_authentication
from kapi.filters.authorization import with_authorization
from kapi.filters.impersonation import with_impersonation
from kapi.filters.request_info import parse
from kapi.messages import EmptyBody, Headers, Peer, Query, Request, Response, UserInfo
from kapi.metrics import Metrics

Header = tuple[str, str]
PODS = "/api/v1/namespaces/ns/pods"


def request(*headers: Header, method: str = "GET", path: str = PODS) -> Request:
    made = Request(method, path, path, Query(""), Headers(headers), EmptyBody(), Peer())
    made.info = parse(method, path, made.query)
    return made


async def ok(request: Request) -> Response:
    return Response(200)


async def refused(handler: Callable[[Request], Any], asked: Request) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await handler(asked)
    return caught.value


class ByHeader:
    """The user that `x-test` names; `bad` is wrong."""

    async def authenticate(self, request: Request) -> UserInfo | None:
        name = request.headers.get("x-test")
        if name == "bad":
            raise InvalidCredentials("no")
        return UserInfo(name, groups=("dev",)) if name else None


# -- authentication -------------------------------------------------------------------------------


async def test_a_user_is_found_and_his_credentials_stay_here() -> None:
    handler = with_authentication(
        ok, ByHeader(), Anonymous(), HeaderNames(users=("X-Custom-User",))
    )
    asked = request(
        ("x-test", "jane"), ("authorization", "Bearer x"), ("x-remote-group", "g"),
        ("x-remote-extra-a", "b"), ("x-custom-user", "u"), ("accept", "*/*"),
    )  # fmt: skip
    await handler(asked)
    assert asked.user == UserInfo("jane", groups=("dev", "system:authenticated"))
    assert asked.headers.items == [("x-test", "jane"), ("accept", "*/*")]


async def test_without_credentials_one_is_anonymous_if_that_is_allowed() -> None:
    asked = request(("authorization", "Basic x"))
    await with_authentication(ok, ByHeader(), Anonymous())(asked)
    assert asked.user == UserInfo("system:anonymous", groups=("system:unauthenticated",))
    assert "authorization" not in asked.headers
    error = await refused(with_authentication(ok, ByHeader(), None), request())
    assert error.status() == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "Unauthorized", "reason": "Unauthorized", "code": 401,
    }  # fmt: skip


async def test_wrong_credentials_are_never_anonymous() -> None:
    handler = with_authentication(ok, ByHeader(), Anonymous())
    assert (await refused(handler, request(("x-test", "bad")))).code == 401


# -- authorization --------------------------------------------------------------------------------


class Grants:
    """Allows (verb, resource or path, name) that were granted; remembers what was asked."""

    def __init__(self, *grants: tuple[str, str, str]) -> None:
        self._grants = grants
        self.asked: list[str] = []

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        a = attributes
        what = a.resource or a.path
        if a.subresource:
            what += f"/{a.subresource}"
        self.asked.append(f"{a.verb} {what} {a.name}".strip())
        allowed = any(
            verb == a.verb and granted in ("*", what) and name in ("*", a.name)
            for verb, granted, name in self._grants
        )
        return (Decision.ALLOW, "granted") if allowed else (Decision.NO_OPINION, "")


async def test_authorization_allows_or_refuses() -> None:
    asked = request()
    asked.user = UserInfo("jane")
    await with_authorization(ok, Grants(("list", "pods", "")))(asked)
    assert asked.audit.annotations == {
        "authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": "granted",
    }
    error = await refused(with_authorization(ok, Grants()), asked)
    assert error.message == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" '
        'in the namespace "ns"'
    )
    assert error.details == {"kind": "pods"}
    assert error.headers == (("X-Content-Type-Options", "nosniff"),)
    assert asked.audit.annotations["authorization.k8s.io/decision"] == "forbid"


async def test_an_unknown_method_has_no_verb() -> None:
    asked = request(method="OPTIONS")
    asked.user = UserInfo("system:anonymous")
    error = await refused(with_authorization(ok, Grants()), asked)
    assert error.message == (
        'pods is forbidden: User "system:anonymous" cannot  resource "pods" in API group "" '
        'in the namespace "ns"'
    )


# -- impersonation --------------------------------------------------------------------------------

ADMIN = Grants(*((v, "*", "*") for v in ("impersonate",)))


async def act_as(authorizer: Grants, *headers: Header, by: UserInfo | None = None) -> Request:
    asked = request(*headers)
    asked.user = by or UserInfo("admin", groups=("system:masters",))
    await with_impersonation(ok, authorizer)(asked)
    return asked


async def test_without_headers_nothing_is_asked() -> None:
    grants = Grants()
    asked = await act_as(grants)
    assert asked.user == UserInfo("admin", groups=("system:masters",))
    assert grants.asked == []
    assert asked.audit.impersonator is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("impersonate-user", "bob")], UserInfo("bob", groups=("system:authenticated",))),
        (
            [
                ("impersonate-user", "bob"), ("impersonate-group", "a"), ("impersonate-group", "b"),
                ("impersonate-uid", "7"), ("impersonate-extra-acme.com%2fx", "1"),
                ("impersonate-extra-acme.com%2fx", "2"),
            ],
            UserInfo("bob", "7", ("a", "b", "system:authenticated"), {"acme.com/x": ("1", "2")}),
        ),
        (
            [("impersonate-user", "bob"), ("impersonate-group", "system:unauthenticated")],
            UserInfo("bob", groups=("system:unauthenticated",)),
        ),
        (
            [("impersonate-user", "system:anonymous")],
            UserInfo("system:anonymous", groups=("system:unauthenticated",)),
        ),
        (
            [("impersonate-user", "system:serviceaccount:ns:sa")],
            UserInfo(
                "system:serviceaccount:ns:sa",
                groups=(
                    "system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated",
                ),
            ),
        ),
        (
            [("impersonate-user", "nobody"), ("impersonate-group", "system:masters")],
            UserInfo("nobody", groups=("system:masters", "system:authenticated")),
        ),
        (
            [("impersonate-user", "system:node:n")],
            UserInfo("system:node:n", groups=("system:authenticated",)),
        ),
    ],
)  # fmt: skip
async def test_the_plain_verb_gives_what_the_headers_ask(
    headers: Sequence[Header], expected: UserInfo
) -> None:
    asked = await act_as(ADMIN, *headers, ("accept", "*/*"))
    assert asked.user == expected
    assert asked.headers.items == [("accept", "*/*")]
    assert asked.audit.impersonator == UserInfo("admin", groups=("system:masters",))


async def test_each_thing_is_asked_for() -> None:
    grants = Grants(("impersonate", "*", "*"))
    await act_as(
        grants, ("impersonate-user", "bob"), ("impersonate-uid", "7"),
        ("impersonate-group", "a"), ("impersonate-extra-acme.com%2fx", "1"),
    )  # fmt: skip
    assert grants.asked == [
        "impersonate-on:user-info:list pods",
        "impersonate users bob",
        "impersonate uids 7",
        "impersonate groups a",
        "impersonate userextras/acme.com/x 1",
    ]


async def test_a_narrow_right_is_enough_for_what_it_is_for() -> None:
    narrow = Grants(
        ("impersonate-on:user-info:list", "pods", ""), ("impersonate:user-info", "users", "bob")
    )
    asked = await act_as(narrow, ("impersonate-user", "bob"))
    assert asked.user == UserInfo("bob", groups=("system:authenticated",))
    with pytest.raises(ApiError) as caught:
        await act_as(narrow, ("impersonate-user", "eve"))
    assert caught.value.message == (
        'users.authentication.k8s.io "eve" is forbidden: User "admin" cannot '
        'impersonate:user-info resource "users" in API group "authentication.k8s.io" '
        "at the cluster scope"
    )


async def test_with_the_gate_off_the_plain_verb_alone_is_asked_for() -> None:
    narrow = Grants(
        ("impersonate-on:user-info:list", "pods", ""), ("impersonate:user-info", "users", "bob")
    )
    asked = request(("impersonate-user", "bob"))
    asked.user = UserInfo("admin")
    error = await refused(with_impersonation(ok, narrow, constrained=False), asked)
    assert error.message == (
        'users "bob" is forbidden: User "admin" cannot impersonate resource "users" '
        'in API group "" at the cluster scope'
    )
    assert narrow.asked == ["impersonate users bob"]


async def test_a_node_is_impersonated_with_its_group() -> None:
    grants = Grants(
        ("impersonate-on:arbitrary-node:list", "pods", ""),
        ("impersonate:arbitrary-node", "nodes", "n"),
    )
    asked = await act_as(grants, ("impersonate-user", "system:node:n"))
    assert asked.user == UserInfo("system:node:n", groups=("system:nodes", "system:authenticated"))


async def test_an_agent_may_act_as_its_own_node() -> None:
    grants = Grants(
        ("impersonate-on:associated-node:list", "pods", ""),
        ("impersonate:associated-node", "nodes", "*"),
    )
    agent = UserInfo(
        "system:serviceaccount:ns:agent", extra={"authentication.kubernetes.io/node-name": ("n",)}
    )
    asked = await act_as(grants, ("impersonate-user", "system:node:n"), by=agent)
    assert asked.user is not None
    assert asked.user.name == "system:node:n"
    with pytest.raises(ApiError):
        await act_as(grants, ("impersonate-user", "system:node:m"), by=agent)


async def test_the_first_refusal_is_the_answer() -> None:
    with pytest.raises(ApiError) as caught:
        await act_as(Grants(), ("impersonate-user", "bob"), by=UserInfo("jane"))
    assert caught.value.code == 403
    assert caught.value.message == (
        'pods is forbidden: User "jane" cannot impersonate-on:user-info:list resource "pods" '
        'in API group "" in the namespace "ns"'
    )


async def test_headers_without_a_user_are_refused() -> None:
    with pytest.raises(ApiError) as caught:
        await act_as(ADMIN, ("impersonate-group", "a"), ("impersonate-extra-k", "v"))
    assert (caught.value.code, caught.value.message) == (
        400,
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"a"}, '
        'Extra:map[string][]string{"k":[]string{"v"}}} without impersonating a user name',
    )


# -- audit ----------------------------------------------------------------------------------------


async def test_an_id_is_taken_or_made_and_sent_back() -> None:
    handler = with_audit_id(ok, Entropy(1))
    asked = request(("audit-id", "my-own-id"))
    await handler(asked)
    assert asked.audit.id == "my-own-id"
    assert asked.reply_headers == [("Audit-Id", "my-own-id")]
    one, two = request(), request()
    await handler(one)
    await handler(two)
    assert len(one.audit.id) == 36
    assert one.audit.id != two.audit.id


class Journal:
    """A backend that notes what is told: stage and code. `good`: whether it could keep it."""

    def __init__(self, *, strict: bool = False, good: bool = True) -> None:
        self.strict = strict
        self.good = good
        self.events: list[dict[str, Any]] = []

    def put(self, record: Record) -> asyncio.Future[bool]:
        self.events.append(orjson.loads(record.line()))
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(self.good)
        return done

    async def close(self) -> None:
        return

    @property
    def lines(self) -> list[tuple[str, int]]:
        codes = [(event.get("responseStatus") or {}).get("code", 0) for event in self.events]
        return [(event["stage"], code) for event, code in zip(self.events, codes, strict=True)]


async def inline(size: int, work: Callable[[], bytes]) -> bytes:
    return work()


def auditor(
    journal: Journal, level: Level = Level.METADATA, metrics: Metrics | None = None
) -> Auditor:
    policy = Policy([Rule(verdict=Verdict(level))])
    return Auditor(policy, [journal], SystemClock(), metrics or Metrics(), inline)


async def test_stages_of_an_answer() -> None:
    journal = Journal()
    asked = request()
    await with_audit(ok, auditor(journal))(asked)
    assert journal.lines == [("RequestReceived", 0), ("ResponseComplete", 200)]
    assert asked.exit == []


async def test_what_is_not_audited_is_not_touched() -> None:
    journal, metrics = Journal(), Metrics()
    asked = request()
    await with_audit(ok, auditor(journal, Level.NONE, metrics))(asked)
    assert journal.lines == []
    assert asked.audit.level == 0
    assert metrics.metric("apiserver_audit_level_total").cell("None").value == 1


async def test_stages_of_a_watch() -> None:
    async def stream(request: Request) -> Response:
        async def frames() -> AsyncIterator[bytes]:
            yield b"{}"

        return Response(200, body=frames())

    journal = Journal()
    asked = request(path="/api/v1/watch/pods")
    await with_audit(stream, auditor(journal))(asked)
    assert journal.lines == [("RequestReceived", 0), ("ResponseStarted", 200)]
    for callback in asked.exit:
        callback()
    assert journal.lines[2:] == [("ResponseComplete", 200)]


async def test_stages_of_failures() -> None:
    async def fail(request: Request) -> Response:
        raise not_found("", "pods", "p")

    async def crash(request: Request) -> Response:
        raise RuntimeError("oh")

    async def hang(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    journal = Journal()
    assert (await refused(with_audit(fail, auditor(journal)), request())).code == 404
    assert journal.lines == [("RequestReceived", 0), ("ResponseComplete", 404)]
    journal = Journal()
    watched = request(path="/api/v1/watch/pods")
    await refused(with_audit(fail, auditor(journal)), watched)
    assert [stage for stage, _ in journal.lines[1:]] == ["ResponseStarted", "ResponseComplete"]
    journal = Journal()
    with pytest.raises(RuntimeError):
        await with_audit(crash, auditor(journal))(request())
    assert journal.lines == [("RequestReceived", 0), ("Panic", 500)]
    assert journal.events[1]["responseStatus"]["message"] == "APIServer panic'd: oh"
    journal = Journal()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await with_audit(hang, auditor(journal))(request())
    assert journal.lines == [("RequestReceived", 0), ("ResponseComplete", 504)]


async def test_a_strict_backend_refuses_what_it_cannot_keep() -> None:
    journal, metrics = Journal(strict=True, good=False), Metrics()
    answer = await with_audit(ok, auditor(journal, metrics=metrics))(request())
    assert (answer.status, answer.body) == (
        500,
        f'Internal Server Error: "{PODS}": failed to store audit event\n'.encode(),
    )
    assert metrics.metric("apiserver_audit_requests_rejected_total").cell().value == 1
    assert journal.lines == [("RequestReceived", 0)]
    journal = Journal(good=False)
    assert (await with_audit(ok, auditor(journal))(request())).status == 200


async def test_failed_authentication_is_noted() -> None:
    journal = Journal()
    inner = with_authentication(ok, ByHeader(), None)
    await refused(with_refusals_audited(inner, auditor(journal)), request(("x-test", "bad")))
    assert journal.lines == [("ResponseStarted", 401)]
    assert journal.events[0]["user"] == {}


async def test_a_slow_request_says_how_long_it_took() -> None:
    journal = Journal()
    asked = request()
    asked.received_at = SystemClock().monotonic() - 61.5
    await with_audit(ok, auditor(journal))(asked)
    assert journal.events[-1]["annotations"]["apiserver.latency.k8s.io/total"].startswith("1m1.5")
