"""Who am I, whose token is this, and a new token: kinds that are answered, not stored.

`reviews` makes the table for the create handler, as `authorization.py` does. `TokenRequests`
answers the subresource serviceaccounts/token.
https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kapi import errors
from kapi.authentication.authenticator import (
    AUTHENTICATED_GROUP,
    InvalidCredentials,
    TokenAuthenticator,
)
from kapi.authentication.bearer import INVALID_TOKEN
from kapi.authentication.service_account import (
    EXTENDED_EXPIRATION_S,
    WARN_AFTER_S,
    Issuer,
    Reference,
)
from kapi.clock import Clock, rfc3339
from kapi.kinds.access.authorization import Place, Review, user_of
from kapi.messages import Request, UserInfo
from kapi.registry import names

Json = dict[str, Any]

GROUP = "authentication.k8s.io"
ISSUED = "authentication.kubernetes.io/issued-credential-id"  # an audit annotation
DEFAULT_EXPIRATION_S = 3600
EXPIRATION_MIN_S = 600
EXPIRATION_MAX_S = 1 << 32
# What tokens for webhooks are bound to, and what they attest; behind a gate that is off.
WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
WEBHOOKS_VERSION = "admissionregistration.k8s.io/v1"
ATTESTED_GROUPS = "admissionReviewAPIGroups"
_WEBHOOKS_GATE = "APIServerWebhookAuthenticationToken"

# Go type → defaults, for `kinds/groups.py`.
DEFAULTS: Mapping[str, Any] = {
    "io.k8s.api.authentication.v1.TokenRequestSpec": {"expirationSeconds": DEFAULT_EXPIRATION_S},
}


class Lookup(Protocol):
    async def get(self, resource: str, namespace: str, name: str) -> Json:
        """An object of the core group as the store has it now. Raises ApiError 404."""


def reviews(
    tokens: TokenAuthenticator, audiences: Sequence[str], clock: Clock
) -> Mapping[tuple[str, str], Review]:
    handlers = _Reviews(tokens, audiences, clock)
    return {
        (GROUP, "tokenreviews"): handlers.token,
        (GROUP, "selfsubjectreviews"): handlers.self_subject,
    }


class _Reviews:
    def __init__(self, tokens: TokenAuthenticator, audiences: Sequence[str], clock: Clock) -> None:
        self._tokens = tokens
        self._audiences = tuple(audiences)
        self._clock = clock

    async def token(self, request: Request, place: Place, obj: Json, options: object) -> Json:
        spec = obj.get("spec") or {}
        token = spec.get("token") or ""
        if not token:
            raise errors.bad_request("token is required for TokenReview in authentication")
        audiences = tuple(spec.get("audiences") or self._audiences)
        return {**obj, "status": await self._status(token, audiences)}

    async def _status(self, token: str, audiences: tuple[str, ...]) -> Json:
        try:
            answer = await self._tokens.authenticate_token(token, audiences)
        except InvalidCredentials as e:
            return {"user": {}, "error": str(InvalidCredentials(INVALID_TOKEN, *e.texts))}
        if answer is None:
            return {"user": {}, "error": INVALID_TOKEN}
        user, good_for = answer
        status: Json = {"authenticated": True, "user": user_info(_with_group(user))}
        if good_for:
            status["audiences"] = list(good_for)
        return status

    async def self_subject(
        self, request: Request, place: Place, obj: Json, options: object
    ) -> Json:
        metadata = {
            k: v for k, v in (obj.get("metadata") or {}).items() if k != "creationTimestamp"
        }
        return {
            "kind": obj["kind"],
            "apiVersion": obj["apiVersion"],
            "metadata": {"creationTimestamp": rfc3339(self._clock.now()), **metadata},
            "status": {"userInfo": user_info(user_of(request))},
        }


def _with_group(user: UserInfo) -> UserInfo:
    if AUTHENTICATED_GROUP in user.groups:
        return user
    return UserInfo(user.name, user.uid, (*user.groups, AUTHENTICATED_GROUP), user.extra)


def user_info(user: UserInfo) -> Json:
    """authentication.k8s.io UserInfo."""
    out: Json = {}
    if user.name:
        out["username"] = user.name
    if user.uid:
        out["uid"] = user.uid
    if user.groups:
        out["groups"] = list(user.groups)
    if user.extra:
        out["extra"] = {key: list(user.extra[key]) for key in sorted(user.extra)}
    return out


class TokenRequests:
    """POST serviceaccounts/NAME/token."""

    def __init__(
        self,
        issuer: Issuer,
        audiences: Sequence[str],
        lookup: Lookup,
        clock: Clock,
        *,
        max_expiration_s: int = 0,
        extend_expiration: bool = True,
    ) -> None:
        """`max_expiration_s`: longer wishes are shortened to it; 0: no limit but the format's."""
        self._issuer = issuer
        self._audiences = tuple(audiences)
        self._lookup = lookup
        self._clock = clock
        self._max_expiration_s = max_expiration_s
        self._extend_expiration = extend_expiration

    async def create(self, request: Request, place: Place, obj: Json, options: object) -> Json:
        """The TokenRequest with its status. Raises ApiError 400, 404, 409, 422."""
        metadata = obj.get("metadata") or {}
        _check_place(metadata, place)
        account = (await self._lookup.get("serviceaccounts", place.namespace, place.name))[
            "metadata"
        ]
        wanted_uid = metadata.get("uid")
        if wanted_uid and wanted_uid != account["uid"]:
            raise errors.conflict(
                GROUP,
                "TokenRequest",
                place.name,
                f"the UID in the token request ({wanted_uid}) does not match the UID of the "
                f"service account ({account['uid']})",
            )
        spec = dict(obj.get("spec") or {})
        audiences = list(spec.get("audiences") or self._audiences)
        lifetime = spec.get("expirationSeconds")
        lifetime = DEFAULT_EXPIRATION_S if lifetime is None else lifetime
        _check_spec(spec, audiences, lifetime)
        bound = await self._bound(place, spec.get("boundObjectRef"))
        if 0 < self._max_expiration_s < lifetime:
            request.warn(
                f"requested expiration of {lifetime} seconds shortened to "
                f"{self._max_expiration_s} seconds"
            )
            lifetime = self._max_expiration_s
        credential = self._issuer.new_id()
        token = self._issue(place, account["uid"], audiences, lifetime, bound, credential)
        request.audit.annotate(ISSUED, f"JTI={credential}")
        now = self._clock.now()
        return {
            "kind": "TokenRequest",
            "apiVersion": obj["apiVersion"],
            "metadata": _metadata(metadata, place, account["uid"], now),
            "spec": {
                **spec,
                "audiences": audiences,
                "expirationSeconds": lifetime,
                "boundObjectRef": spec.get("boundObjectRef"),
            },
            "status": {"token": token, "expirationTimestamp": rfc3339(now + lifetime)},
        }

    def _issue(
        self, place: Place, uid: str, audiences: list[str], lifetime: int,
        bound: Mapping[str, Reference], credential: str,
    ) -> str:  # fmt: skip
        warn_after = 0
        if (
            self._extend_expiration
            and "pod" in bound
            and lifetime == WARN_AFTER_S
            and set(audiences) <= set(self._audiences)
        ):
            warn_after, lifetime = lifetime, EXTENDED_EXPIRATION_S
        return self._issuer.issue(
            place.namespace,
            Reference(place.name, uid),
            audiences,
            lifetime,
            pod=bound.get("pod"),
            secret=bound.get("secret"),
            node=bound.get("node"),
            warn_after_s=warn_after,
            credential=credential,
        )

    async def _bound(self, place: Place, reference: Json | None) -> dict[str, Reference]:
        """What the token is bound to, by the name of its claim."""
        if reference is None:
            return {}
        kind, name = reference.get("kind", ""), reference.get("name", "")
        group, version = _group_version(reference.get("apiVersion", ""))
        if group or kind not in _BINDABLE:
            text = f"cannot bind token to object of type {group}/{version}, Kind={kind}"
            if kind in WEBHOOKS and f"{group}/{version}" == WEBHOOKS_VERSION:
                text += f" (feature gate {_WEBHOOKS_GATE} is disabled)"
            raise errors.bad_request(text)
        resource, claim = _BINDABLE[kind]
        if not name:
            raise errors.bad_request("Name parameter required.")
        namespace = "" if kind == "Node" else place.namespace
        found = await self._lookup.get(resource, namespace, name)
        bound = {claim: Reference(name, found["metadata"]["uid"])}
        if kind == "Pod":
            bound.update(await self._node_of(place, found))
        wanted = reference.get("uid")
        if wanted and wanted != bound[claim].uid:
            raise errors.conflict(
                "",
                kind,
                name,
                f"the UID in the bound object reference ({wanted}) does not match the UID in "
                "record. The object might have been deleted and then recreated",
            )
        return bound

    async def _node_of(self, place: Place, pod: Json) -> dict[str, Reference]:
        spec = pod.get("spec") or {}
        if spec.get("serviceAccountName", "") != place.name:
            raise errors.bad_request(
                f"cannot bind token for serviceaccount {errors.quote(place.name)} to pod running "
                "with different serviceaccount name."
            )
        name = spec.get("nodeName")
        if not name:
            return {}
        try:
            node = await self._lookup.get("nodes", "", name)
        except errors.ApiError as e:
            if e.code != 404:
                raise
            return {"node": Reference(name)}  # still says where the pod should be
        return {"node": Reference(name, node["metadata"]["uid"])}


_BINDABLE = {
    "Pod": ("pods", "pod"),
    "Secret": ("secrets", "secret"),
    "Node": ("nodes", "node"),
}


def _group_version(api_version: str) -> tuple[str, str]:
    """Neither of them where there are more than two."""
    if api_version.count("/") > 1:
        return "", ""
    group, _, version = api_version.rpartition("/")
    return group, version


def _check_place(metadata: Json, place: Place) -> None:
    for field, wanted in (("name", place.name), ("namespace", place.namespace)):
        given = metadata.get(field)
        if given and given != wanted:
            words = f"must match the service account {field} if specified"
            found = [errors.invalid_value(f"metadata.{field}", given, words)]
            raise errors.invalid(GROUP, "TokenRequest", place.name, found)


def _check_spec(spec: Json, audiences: Sequence[str], lifetime: int) -> None:
    found: list[errors.FieldError] = []
    where = "spec.expirationSeconds"
    if lifetime < EXPIRATION_MIN_S:
        words = "may not specify a duration less than 10 minutes"
        found.append(errors.invalid_value(where, lifetime, words))
    elif lifetime > EXPIRATION_MAX_S:
        words = "may not specify a duration larger than 2^32 seconds"
        found.append(errors.invalid_value(where, lifetime, words))
    attested, reference = spec.get("attestations") or {}, spec.get("boundObjectRef") or {}
    if reference.get("kind") in WEBHOOKS and reference.get("apiVersion") == WEBHOOKS_VERSION:
        if len(audiences) != 1:
            words = "must be length 1 when bound to a webhook config"
            found.append(errors.invalid_value("spec.audiences", audiences, words))
        found += _attestations(attested, "spec.attestations")
    elif attested:
        words = "attestations may only be specified with a webhook bound object reference"
        found = [errors.invalid_value("spec.attestations", attested, words)]
    if found:
        raise errors.invalid(GROUP, "TokenRequest", "", found)


def _attestations(given: Json, path: str) -> list[errors.FieldError]:
    if len(given) != 1:
        words = "webhook bound requests require exactly one admissionReviewAPIGroups attestation"
        return [errors.invalid_value(path, given or None, words)]
    ((key, values),) = given.items()
    where = f"{path}[{key}]"
    if key != ATTESTED_GROUPS:
        return [errors.not_supported(where, key, (ATTESTED_GROUPS,))]
    if len(values or ()) != 1:
        return [errors.invalid_value(where, values, "must specify a single value")]
    group = values[0]
    if not group:
        return [errors.invalid_value(where, group, "may not be an empty string")]
    if group == "*":
        return []
    words = "must specify a valid API Group: "
    return [errors.invalid_value(where, group, words + c) for c in names.dns_subdomain(group)]


_FIRST = ("name", "generateName", "namespace", "uid", "creationTimestamp")


def _metadata(given: Json, place: Place, uid: str, now: float) -> Json:
    ours = {"name": place.name, "namespace": place.namespace, "uid": uid}
    merged = {**given, **ours, "creationTimestamp": rfc3339(now)}
    first = {key: merged.pop(key) for key in _FIRST if key in merged}
    return {**first, **merged}
