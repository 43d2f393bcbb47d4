"""Reviews and token requests: answers, findings and refusals in the real server's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kapi.authentication.authenticator import InvalidCredentials, TokenAnswer
from kapi.authentication.service_account import Issuer
from kapi.authentication.service_account_keys import Signer
from kapi.authorization.authorizer import Attributes, Decision, Rules
from kapi.clock import Entropy
from kapi.errors import ApiError, not_found
from kapi.kinds.access import authentication, authorization
from kapi.messages import EmptyBody, Headers, Peer, Query, Request, UserInfo

Json = dict[str, Any]
NOW = 1_800_000_000.0
JANE = UserInfo("jane", "7", ("dev",), {"b": ("2",), "a": ("1",)})


class FakeClock:
    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return NOW

    async def sleep(self, seconds: float) -> None: ...


@dataclass
class Place:
    namespace: str = ""
    name: str = ""


def request(user: UserInfo = JANE) -> Request:
    return Request("POST", "/", "/", Query(""), Headers(()), EmptyBody(), Peer(), user=user)


class Grants:
    """Bob may; eve is denied; nobody else is known."""

    def __init__(self) -> None:
        self.asked: list[Attributes] = []

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        self.asked.append(attributes)
        decisions = {"bob": (Decision.ALLOW, "because"), "eve": (Decision.DENY, "")}
        return decisions.get(attributes.user.name, (Decision.NO_OPINION, ""))

    async def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
        return Rules([rule], [], True, ["a", "b"] if namespace == "broken" else [])


async def review(
    resource: str, spec: Json, place: Place | None = None, grants: Grants | None = None, **more: Any
) -> Json:
    grants = grants or Grants()
    answer = authorization.reviews(grants, grants)[(authorization.GROUP, resource)]
    obj = {
        "kind": "X", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": spec, **more
    }  # fmt: skip
    return await answer(request(), place or Place(), obj, None)


async def refused(resource: str, spec: Json, place: Place | None = None, **more: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await review(resource, spec, place, **more)
    return caught.value


PODS = {"namespace": "ns", "verb": "get", "resource": "pods"}
SUBJECT, LOCAL, SELF = (
    "subjectaccessreviews", "localsubjectaccessreviews", "selfsubjectaccessreviews"
)  # fmt: skip


async def test_what_a_subject_may() -> None:
    grants = Grants()
    spec = {"user": "bob", "groups": ["g"], "uid": "1", "extra": {"k": ["v"]}}
    answer = await review(SUBJECT, {**spec, "resourceAttributes": PODS}, grants=grants)
    assert answer["status"] == {"allowed": True, "reason": "because"}
    assert list(answer) == ["kind", "apiVersion", "metadata", "spec", "status"]
    assert grants.asked == [
        Attributes(
            user=UserInfo("bob", "1", ("g",), {"k": ("v",)}), verb="get", is_resource=True,
            version="*", namespace="ns", resource="pods",
        )
    ]  # fmt: skip
    answer = await review(SUBJECT, {"user": "eve", "resourceAttributes": PODS})
    assert answer["status"] == {"allowed": False, "denied": True}
    path = {"path": "/x", "verb": "get"}
    answer = await review(SUBJECT, {"user": "x", "nonResourceAttributes": path}, grants=grants)
    assert answer["status"] == {"allowed": False}
    assert (grants.asked[-1].path, grants.asked[-1].is_resource) == ("/x", False)


async def test_what_i_may() -> None:
    grants = Grants()
    answer = await review(SELF, {"resourceAttributes": PODS}, grants=grants)
    assert answer["status"] == {"allowed": False}
    assert grants.asked[0].user is JANE


ONE = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


@pytest.mark.parametrize(
    ("spec", "findings"),
    [
        ({"user": "a"}, [("spec", f"Invalid value: null: {ONE}")]),
        (
            {"user": "a", "resourceAttributes": {}, "nonResourceAttributes": {"path": "/"}},
            [("spec", f'Invalid value: {{"Path":"/","Verb":""}}: {ONE}')],
        ),
        (
            {"resourceAttributes": {}},
            [("spec.user", 'Invalid value: "": at least one of user or group must be specified')],
        ),
        (
            {"user": "a", "resourceAttributes": {"fieldSelector": {}}},
            [
                (
                    "spec.resourceAttributes.fieldSelector.requirements",
                    "Required value: when spec.resourceAttributes.fieldSelector is specified, "
                    "requirements or rawSelector is required",
                )
            ],
        ),
        (
            {
                "user": "a",
                "resourceAttributes": {
                    "fieldSelector": {
                        "requirements": [{"operator": "In"}, {"key": "a", "operator": "New"}]
                    },
                    "labelSelector": {
                        "rawSelector": "a",
                        "requirements": [{"key": "a", "operator": "Exists", "values": ["!"]}],
                    },
                },
            },
            [
                (
                    "spec.resourceAttributes.fieldSelector.requirements[0].key",
                    "Required value: must be specified",
                ),
                (
                    "spec.resourceAttributes.fieldSelector.requirements[0].values",
                    "Required value: must be specified when `operator` is 'In' or 'NotIn'",
                ),
                (
                    "spec.resourceAttributes.labelSelector.rawSelector",
                    'Invalid value: "a": may not specified at the same time as requirements',
                ),
                (
                    "spec.resourceAttributes.labelSelector.requirements[0].values",
                    "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                ),
            ],
        ),
    ],
)
async def test_findings(spec: Json, findings: list[tuple[str, str]]) -> None:
    error = await refused(SUBJECT, spec)
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.message.startswith('.authorization.k8s.io "" is invalid: ')
    assert error.details is not None
    assert list(error.details) == ["group", "causes"]
    found = [(c["field"], c["message"]) for c in error.details["causes"]]
    assert found[: len(findings)] == findings


async def test_metadata_must_be_empty() -> None:
    spec = {"user": "a", "resourceAttributes": PODS}
    metadata = {"name": "x", "managedFields": [{}]}
    error = await refused(SUBJECT, spec, metadata=metadata)
    assert error.message.endswith('metadata: Invalid value: {"name":"x"}: must be empty')
    assert await review(SUBJECT, spec, metadata={"managedFields": [{}]})


async def test_a_local_review_stays_in_its_namespace() -> None:
    spec = {"user": "bob", "resourceAttributes": PODS}
    answer = await review(LOCAL, spec, Place("ns"))
    assert answer["metadata"] == {"namespace": "ns"}
    assert answer["status"]["allowed"] is True
    error = await refused(LOCAL, spec, Place("other"))
    assert error.message.endswith(
        'spec.resourceAttributes.namespace: Invalid value: "ns": must match metadata.namespace'
    )
    error = await refused(LOCAL, spec, Place("ns"), metadata={"namespace": "other"})
    assert error.code == 400
    error = await refused(LOCAL, {"user": "a", "nonResourceAttributes": {"path": "/"}}, Place("ns"))
    assert "disallowed on this kind of request" in error.message


async def test_selectors_reach_the_authorizer_as_far_as_they_parse() -> None:
    grants = Grants()
    resource = {
        **PODS,
        "fieldSelector": {
            "requirements": [
                {"key": "a", "operator": "In", "values": ["x,y"]},
                {"key": "b", "operator": "NotIn", "values": ["z"]},
                {"key": "c", "operator": "Exists"},
            ]
        },
        "labelSelector": {"rawSelector": "!!"},
    }
    answer = await review(SUBJECT, {"user": "bob", "resourceAttributes": resource}, grants=grants)
    assert answer["status"]["evaluationError"] == (
        "spec.resourceAttributes.fieldSelector partially ignored due to parse error; "
        "spec.resourceAttributes.labelSelector ignored due to parse error"
    )
    asked = grants.asked[0]
    assert (asked.field_selector, asked.label_selector) == (r"a=x\,y,b!=z", "")


async def test_rules_review() -> None:
    answer = await review("selfsubjectrulesreviews", {"namespace": "broken"})
    assert answer == {
        "kind": "SelfSubjectRulesReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": {},
        "status": {
            "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
            "nonResourceRules": [],
            "incomplete": True,
            "evaluationError": "[a, b]",
        },
    }
    error = await refused("selfsubjectrulesreviews", {})
    assert (error.code, error.message) == (400, "no namespace on request")


# -- identity -------------------------------------------------------------------------------------


class Tokens:
    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        if token == "stale":
            raise InvalidCredentials("service account token has expired")
        return (JANE, tuple(audiences)) if token == "good" else None


async def identity(resource: str, obj: Json) -> Json:
    table = authentication.reviews(Tokens(), ("api",), FakeClock())
    whole = {"kind": "X", "apiVersion": "authentication.k8s.io/v1", **obj}
    return await table[(authentication.GROUP, resource)](request(), Place(), whole, None)


async def test_whose_token() -> None:
    answer = await identity("tokenreviews", {"spec": {"token": "good"}})
    assert answer["status"] == {
        "authenticated": True,
        "user": {
            "username": "jane", "uid": "7", "groups": ["dev", "system:authenticated"],
            "extra": {"a": ["1"], "b": ["2"]},
        },
        "audiences": ["api"],
    }  # fmt: skip
    answer = await identity("tokenreviews", {"spec": {"token": "good", "audiences": ["x"]}})
    assert answer["status"]["audiences"] == ["x"]
    for token, error in (
        ("bad", "invalid bearer token"),
        ("stale", "[invalid bearer token, service account token has expired]"),
    ):
        answer = await identity("tokenreviews", {"spec": {"token": token}})
        assert answer["status"] == {"user": {}, "error": error}
    with pytest.raises(ApiError, match="token is required for TokenReview in authentication"):
        await identity("tokenreviews", {"spec": {}})


async def test_who_am_i() -> None:
    answer = await identity("selfsubjectreviews", {})
    assert answer == {
        "kind": "X",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": "2027-01-15T08:00:00Z"},
        "status": {"userInfo": authentication.user_info(JANE)},
    }


# -- new tokens -----------------------------------------------------------------------------------


class Store:
    """Objects of the core group by (resource, namespace, name)."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Json] = {}
        self.put("serviceaccounts", "ns", "sa")

    def put(self, resource: str, namespace: str, name: str, **spec: Any) -> None:
        metadata = {"name": name, "uid": f"{name}-uid"}
        self.objects[(resource, namespace, name)] = {"metadata": metadata, "spec": spec}

    async def get(self, resource: str, namespace: str, name: str) -> Json:
        found = self.objects.get((resource, namespace, name))
        if found is None:
            raise not_found("", resource, name)
        return found


class Requests:
    def __init__(self, **more: Any) -> None:
        self.store = Store()
        signer = Signer(ec.generate_private_key(ec.SECP256R1()))
        issuer = Issuer("https://i", signer, FakeClock(), Entropy(1))
        self.requests = authentication.TokenRequests(
            issuer, ("api",), self.store, FakeClock(), **more
        )
        self.request = request()

    async def create(self, spec: Json, name: str = "sa", **metadata: Any) -> Json:
        obj = {
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": metadata, "spec": spec,
        }  # fmt: skip
        return await self.requests.create(self.request, Place("ns", name), obj, None)

    async def claims(self, spec: Json) -> Json:
        token = (await self.create(spec))["status"]["token"]
        claims: Json = jwt.decode(token, options={"verify_signature": False})
        return claims

    async def refused(self, spec: Json, name: str = "sa", **metadata: Any) -> tuple[int, str]:
        with pytest.raises(ApiError) as caught:
            await self.create(spec, name, **metadata)
        return caught.value.code, caught.value.message


async def test_a_token_request_is_completed() -> None:
    answer = await Requests().create({}, managedFields=[{"manager": "m"}])
    assert answer["status"].pop("token").count(".") == 2
    assert answer == {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": "sa", "namespace": "ns", "uid": "sa-uid",
            "creationTimestamp": "2027-01-15T08:00:00Z", "managedFields": [{"manager": "m"}],
        },
        "spec": {"audiences": ["api"], "expirationSeconds": 3600, "boundObjectRef": None},
        "status": {"expirationTimestamp": "2027-01-15T09:00:00Z"},
    }  # fmt: skip
    assert list(answer["metadata"])[:4] == ["name", "namespace", "uid", "creationTimestamp"]
    assert list(answer["spec"]) == ["audiences", "expirationSeconds", "boundObjectRef"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (599, "may not specify a duration less than 10 minutes"),
        (-1, "may not specify a duration less than 10 minutes"),
        (2**32 + 1, "may not specify a duration larger than 2^32 seconds"),
    ],
)
async def test_lifetimes_have_bounds(seconds: int, words: str) -> None:
    assert await Requests().refused({"expirationSeconds": seconds}) == (
        422,
        f'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: '
        f"Invalid value: {seconds}: {words}",
    )
    # An account that does not exist is found first.
    assert await Requests().refused({"expirationSeconds": seconds}, "x") == (
        404,
        'serviceaccounts "x" not found',
    )


def pod(name: str = "p", **more: str) -> Json:
    return {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": name, **more}}


async def test_a_token_is_bound() -> None:
    requests = Requests()
    requests.store.put("pods", "ns", "p", serviceAccountName="sa", nodeName="n")
    claims = (await requests.claims(pod()))["kubernetes.io"]
    assert claims["pod"] == {"name": "p", "uid": "p-uid"}
    assert claims["node"] == {"name": "n"}
    requests.store.put("nodes", "", "n")
    claims = (await requests.claims(pod(uid="p-uid")))["kubernetes.io"]
    assert claims["node"] == {"name": "n", "uid": "n-uid"}
    node = {"boundObjectRef": {"kind": "Node", "apiVersion": "v1", "name": "n"}}
    assert (await requests.claims(node))["kubernetes.io"]["node"]["uid"] == "n-uid"


async def test_refused_bindings() -> None:
    requests = Requests()
    requests.store.put("pods", "ns", "p", serviceAccountName="sa")
    requests.store.put("pods", "ns", "q", serviceAccountName="other")
    assert await requests.refused(pod("none")) == (404, 'pods "none" not found')
    assert await requests.refused(pod("")) == (400, "Name parameter required.")
    assert await requests.refused(pod("q")) == (
        400,
        'cannot bind token for serviceaccount "sa" to pod running with different '
        "serviceaccount name.",
    )
    assert await requests.refused(pod(uid="no")) == (
        409,
        'Operation cannot be fulfilled on Pod "p": the UID in the bound object reference (no) '
        "does not match the UID in record. The object might have been deleted and then recreated",
    )
    for version, kind, named in (
        ("v1", "ConfigMap", "/v1, Kind=ConfigMap"),
        ("apps/v1", "Pod", "apps/v1, Kind=Pod"),
        ("a/b/c", "ConfigMap", "/, Kind=ConfigMap"),
        ("apps/", "Pod", "apps/, Kind=Pod"),
    ):
        reference = {"kind": kind, "apiVersion": version, "name": "x"}
        assert await requests.refused({"boundObjectRef": reference}) == (
            400,
            f"cannot bind token to object of type {named}",
        )


async def test_a_version_that_is_none_is_as_good_as_the_core_group() -> None:
    requests = Requests()
    requests.store.put("pods", "ns", "p", serviceAccountName="sa")
    for version in ("", "v1", "v7", "/v1", "a/b/c"):
        spec = {"boundObjectRef": {"kind": "Pod", "apiVersion": version, "name": "p"}}
        assert (await requests.claims(spec))["kubernetes.io"]["pod"]["uid"] == "p-uid"


HOOK = {
    "kind": "ValidatingWebhookConfiguration",
    "apiVersion": "admissionregistration.k8s.io/v1",
    "name": "w",
}
ATTESTED = "admissionReviewAPIGroups"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"attestations": {ATTESTED: ["apps"]}},
            'spec.attestations: Invalid value: {"admissionReviewAPIGroups":["apps"]}: '
            "attestations may only be specified with a webhook bound object reference",
        ),
        (
            {"attestations": {"x": []}, "expirationSeconds": 1},
            'spec.attestations: Invalid value: {"x":[]}: attestations may only be specified with '
            "a webhook bound object reference",
        ),
        (
            {"boundObjectRef": HOOK},
            "spec.attestations: Invalid value: null: webhook bound requests require exactly one "
            "admissionReviewAPIGroups attestation",
        ),
        (
            {"boundObjectRef": HOOK, "attestations": {"x": ["a"]}},
            'spec.attestations[x]: Unsupported value: "x": supported values: '
            '"admissionReviewAPIGroups"',
        ),
        (
            {"boundObjectRef": HOOK, "attestations": {ATTESTED: ["a", "b"]}},
            f'spec.attestations[{ATTESTED}]: Invalid value: ["a","b"]: must specify a single value',
        ),
        (
            {"boundObjectRef": HOOK, "attestations": {ATTESTED: [""]}},
            f'spec.attestations[{ATTESTED}]: Invalid value: "": may not be an empty string',
        ),
        (
            {"boundObjectRef": HOOK, "attestations": {ATTESTED: ["*"]}, "audiences": ["a", "b"]},
            'spec.audiences: Invalid value: ["a","b"]: must be length 1 when bound to a webhook '
            "config",
        ),
    ],
)
async def test_what_a_token_may_attest(spec: Json, words: str) -> None:
    assert await Requests().refused(spec) == (
        422,
        f'TokenRequest.authentication.k8s.io "" is invalid: {words}',
    )


async def test_tokens_for_webhooks_are_switched_off() -> None:
    spec = {"boundObjectRef": HOOK, "attestations": {ATTESTED: ["apps"]}, "audiences": ["a"]}
    assert await Requests().refused(spec) == (
        400,
        "cannot bind token to object of type admissionregistration.k8s.io/v1, "
        "Kind=ValidatingWebhookConfiguration (feature gate APIServerWebhookAuthenticationToken is "
        "disabled)",
    )


async def test_metadata_of_a_request_must_match() -> None:
    requests = Requests()
    code, message = await requests.refused({}, name="sa", namespace="other")
    assert code == 422
    assert message.endswith("must match the service account namespace if specified")
    code, message = await requests.refused({}, uid="x")
    assert (code, "does not match the UID of the service account (sa-uid)" in message) == (
        409,
        True,
    )


async def test_a_mounted_token_lives_longer_than_it_says() -> None:
    requests = Requests()
    requests.store.put("pods", "ns", "p", serviceAccountName="sa")
    mounted = {**pod(), "expirationSeconds": 3607}
    claims = await requests.claims(mounted)
    assert claims["exp"] - NOW == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] - NOW == 3607
    answer = await requests.create(mounted)
    assert answer["status"]["expirationTimestamp"] == "2027-01-15T09:00:07Z"
    for spec in ({**mounted, "audiences": ["x"]}, {"expirationSeconds": 3607}):
        assert (await requests.claims(spec))["exp"] - NOW == 3607


async def test_a_long_wish_is_shortened_with_a_warning() -> None:
    requests = Requests(max_expiration_s=7200)
    answer = await requests.create({"expirationSeconds": 9000})
    assert answer["spec"]["expirationSeconds"] == 7200
    assert requests.request.warnings == [
        "requested expiration of 9000 seconds shortened to 7200 seconds"
    ]
