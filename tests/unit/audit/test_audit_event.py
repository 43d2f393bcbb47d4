"""The fields of audit events, in both forms."""

from __future__ import annotations

import orjson
import pytest

from kapi.audit.event import AuditEvent, Stamps, parsed_ip, source_ips
from kapi.audit.policy import Level, Stage, Verdict
from kapi.filters.request_info import parse
from kapi.messages import AuditFacts, EmptyBody, Headers, Peer, Query, Request, UserInfo

PODS = "/api/v1/namespaces/ns/pods"
NOON = 1764000000.25


def request(
    *headers: tuple[str, str], path: str = PODS, query: str = "", user: UserInfo | None = None
) -> Request:
    raw = path.encode().decode("latin-1")
    made = Request("POST", raw, path, Query(query), Headers(headers), EmptyBody(), Peer("10.0.0.9"))
    made.info = parse("POST", path, made.query)
    made.audit = AuditFacts("the-id")
    made.user = user
    return made


def event(asked: Request, level: Level = Level.REQUEST_RESPONSE) -> AuditEvent:
    return AuditEvent(asked, Verdict(level), NOON, Stamps())


def test_every_field_in_its_place() -> None:
    jane = UserInfo("jane", "u-1", ("dev", "ops"), {"b": ("2",), "a": ("1", "<")})
    asked = request(("user-agent", "kubectl/v1"), query="dryRun=All&x=%41", user=jane)
    made = event(asked)
    asked.user = UserInfo("bob", groups=("g",))
    asked.audit.constraint = "impersonate:user-info"
    asked.audit.noted = {"name": "p", "uid": "u", "resourceVersion": "7", "namespace": "other"}
    asked.audit.object = b'{"kind":"Pod"}'
    asked.audit.annotate("b", "2")
    asked.audit.annotate("a", "1")
    asked.audit.annotate("a", "too late")
    made.status = {"metadata": {}, "code": 201}
    made.response = (b'{"kind":', b'"Pod"}')
    line = made.record(Stage.RESPONSE_COMPLETE, NOON + 0.5).line()
    assert line.endswith(b"}\n")
    assert line.decode() == (
        '{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse",'
        '"auditID":"the-id","stage":"ResponseComplete",'
        '"requestURI":"/api/v1/namespaces/ns/pods?dryRun=All\\u0026x=%41","verb":"create",'
        '"user":{"username":"jane","uid":"u-1","groups":["dev","ops"],'
        '"extra":{"a":["1","\\u003c"],"b":["2"]}},'
        '"impersonatedUser":{"username":"bob","groups":["g"]},'
        '"authenticationMetadata":{"impersonationConstraint":"impersonate:user-info"},'
        '"sourceIPs":["10.0.0.9"],"userAgent":"kubectl/v1",'
        '"objectRef":{"resource":"pods","namespace":"ns","name":"p","uid":"u",'
        '"apiVersion":"v1","resourceVersion":"7"},'
        '"responseStatus":{"metadata":{},"code":201},"requestObject":{"kind":"Pod"},'
        '"responseObject":{"kind":"Pod"},'
        '"requestReceivedTimestamp":"2025-11-24T16:00:00.250000Z",'
        '"stageTimestamp":"2025-11-24T16:00:00.750000Z","annotations":{"a":"1","b":"2"}}\n'
    )
    assert made.record(Stage.RESPONSE_COMPLETE, NOON).size() == len(line)


def test_nothing_is_said_of_what_is_not_known() -> None:
    asked = request(path="/metrics")
    found = orjson.loads(event(asked, Level.METADATA).record(Stage.RESPONSE_STARTED, NOON).line())
    assert found["user"] == {}
    for name in ("userAgent", "objectRef", "responseStatus", "requestObject", "annotations"):
        assert name not in found


def test_the_first_stage_is_at_the_time_of_the_request() -> None:
    found = orjson.loads(event(request()).record(Stage.REQUEST_RECEIVED, NOON + 9).line())
    assert found["stageTimestamp"] == found["requestReceivedTimestamp"]


def test_objects_need_their_level() -> None:
    asked = request()
    asked.audit.object = b"{}"
    assert (
        b"requestObject"
        not in event(asked, Level.METADATA).record(Stage.RESPONSE_COMPLETE, NOON).line()
    )
    assert (
        b"requestObject" in event(asked, Level.REQUEST).record(Stage.RESPONSE_COMPLETE, NOON).line()
    )


def test_long_agents_are_cut_and_odd_paths_escaped() -> None:
    asked = request(("user-agent", "x" * 1025), path=f"{PODS}/\u00e4")
    found = orjson.loads(event(asked).record(Stage.REQUEST_RECEIVED, NOON).line())
    assert found["userAgent"] == "x" * 1024 + "...TRUNCATED"
    assert found["requestURI"] == f"{PODS}/%C3%A4"


def test_the_legacy_form() -> None:
    asked = request(("user-agent", 'a"b'), user=UserInfo("jane", groups=("dev", "ops")))
    made = event(asked)
    begun = made.record(Stage.REQUEST_RECEIVED, NOON)
    asked.user = UserInfo("bob")
    made.status = {"metadata": {}, "code": 403}
    assert begun.legacy() == (
        '2025-11-24T16:00:00.25Z AUDIT: id="the-id" stage="RequestReceived" ip="10.0.0.9" '
        'method="create" user="jane" groups="\\"dev\\",\\"ops\\"" as="<self>" '
        'asgroups="<lookup>" user-agent="a\\"b" namespace="ns" '
        'uri="/api/v1/namespaces/ns/pods" response="<deferred>"'
    )
    done = made.record(Stage.RESPONSE_COMPLETE, NOON).legacy()
    assert ' as="bob" asgroups="" ' in done
    assert done.endswith('response="403"')


@pytest.mark.parametrize(
    ("forwarded", "real", "remote", "wanted"),
    [
        ("", "", "1.1.1.1", "1.1.1.1"),
        ("2.2.2.2, bad,3.3.3.3", "", "1.1.1.1", "2.2.2.2 3.3.3.3 1.1.1.1"),
        ("2.2.2.2, 1.1.1.1", "", "1.1.1.1", "2.2.2.2 1.1.1.1"),
        ("", "2.2.2.2", "1.1.1.1", "2.2.2.2 1.1.1.1"),
        ("2.2.2.2", "2.2.2.2", "1.1.1.1", "2.2.2.2 1.1.1.1"),
        ("", "1.1.1.1", "1.1.1.1", "1.1.1.1"),
        ("", "nope", "", ""),
    ],
)
def test_sources(forwarded: str, real: str, remote: str, wanted: str) -> None:
    named = (("x-forwarded-for", forwarded), ("x-real-ip", real))
    headers = Headers([(name, value) for name, value in named if value])
    assert source_ips(headers, remote) == wanted.split()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("010.001.0.1", "10.1.0.1"), ("::ffff:1.2.3.4", "1.2.3.4"), ("FE80::1", "fe80::1"),
        ("fe80::1%eth0", ""), ("1.2.3", ""), ("1.2.3.256", ""), ("", ""), ("1.2.3.4:80", ""),
    ],
)  # fmt: skip
def test_addresses(text: str, wanted: str) -> None:
    assert parsed_ip(text) == wanted
