"""What is told of one request: an audit.k8s.io/v1 Event, stage by stage.

Made by `auditor.py` when a request has been let in, or refused before. The fields that no stage
changes are encoded once. Fields, their order and what is left out are the real server's, the text
of JSON is Go's.
https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Event
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import orjson

from kapi.audit.policy import LEVEL_NAMES, Level, Stage, Verdict
from kapi.audit.record import Record
from kapi.clock import rfc3339_micro
from kapi.codec import json_format
from kapi.errors import quote
from kapi.messages import Headers, Request, UserInfo

Json = dict[str, Any]
USER_AGENT_CHARS_MAX = 1024  # longer ones are cut, as by the real server
CUT = "...TRUNCATED"


class Stamps:
    """Times as metav1.MicroTime; what a second has in common is spelled once."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def micro(self, seconds: float) -> str:
        whole = int(seconds)
        if whole != self._second:
            self._second, self._text = whole, rfc3339_micro(whole)[:-7]
        return f"{self._text}{int((seconds - whole) * 1_000_000):06d}Z"


class AuditEvent:
    """The event of one request. `status`: the responseStatus, None before there is one."""

    __slots__ = (
        "_agent", "_ips", "_received", "_ref", "_request", "_stamps", "_start", "_uri", "_user",
        "_via", "_who", "level", "response", "status", "verdict",
    )  # fmt: skip

    def __init__(self, request: Request, verdict: Verdict, received: float, stamps: Stamps) -> None:
        """`received`: seconds since the epoch."""
        self.verdict = verdict
        self.level = verdict.level
        self.status: Json | None = None
        self.response: Sequence[bytes] = ()
        self._request = request
        self._user = request.user
        self._stamps = stamps
        self._received = stamps.micro(received)
        self._uri = _uri(request)
        self._ips = source_ips(request.headers, request.peer.address)
        self._agent = _agent(request.headers.get("user-agent"))
        level = LEVEL_NAMES[verdict.level]
        self._start = orjson.dumps({"level": level, "auditID": request.audit.id})[1:-1]
        user = _user(self._user)
        who = {"requestURI": self._uri, "verb": request.info.verb, "user": user}
        self._who = orjson.dumps(who)[1:-1]
        via: Json = {}
        if self._ips:
            via["sourceIPs"] = self._ips
        if self._agent:
            via["userAgent"] = self._agent
        self._via = b"," + orjson.dumps(via)[1:-1] if via else b""
        self._ref = self._object_ref({})

    def omits(self, stage: Stage) -> bool:
        return stage in self.verdict.omit_stages

    def record(self, stage: Stage, now: float) -> Record:
        """The event as it is at a stage. `now`: seconds since the epoch."""
        facts = self._request.audit
        received = self._received
        at = received if stage is Stage.REQUEST_RECEIVED else self._stamps.micro(now)
        parts = [self._start, b',"stage":"%b",' % stage.value.encode(), self._who]
        other = self._impersonated()
        if other is not None:
            parts += (b',"impersonatedUser":', orjson.dumps(_user(other)))
            if facts.constraint:
                meta = {"impersonationConstraint": facts.constraint}
                parts += (b',"authenticationMetadata":', orjson.dumps(meta))
        parts += (self._via, self._object_ref(facts.noted) if facts.noted else self._ref)
        if self.status is not None:
            parts += (b',"responseStatus":', json_format.dumps(self.status))
        said = facts.annotations
        return Record(
            self.level,
            facts.id,
            json_format.as_go(b"".join(parts)),
            facts.object if self.level >= Level.REQUEST else b"",
            self.response,
            f',"requestReceivedTimestamp":"{received}","stageTimestamp":"{at}"'.encode(),
            json_format.dumps_sorted(said) if said else b"",
            partial(self.legacy, stage, other, facts.noted or {}, self.status),
        )

    def _impersonated(self) -> UserInfo | None:
        """Whom the request acts as, once that was allowed."""
        now = self._request.user
        return now if now is not self._user and self._user is not None else None

    def _object_ref(self, noted: Mapping[str, str]) -> bytes:
        """`noted`: of the object that was sent."""
        info = self._request.info
        if not info.is_resource:
            return b""
        found = {
            "resource": info.resource,
            "namespace": info.namespace or noted.get("namespace"),
            "name": info.name or noted.get("name"),
            "uid": noted.get("uid"),
            "apiGroup": info.group,
            "apiVersion": info.version,
            "resourceVersion": noted.get("resourceVersion"),
            "subresource": info.subresource,
        }
        kept = {name: value for name, value in found.items() if value}
        return b',"objectRef":' + orjson.dumps(kept)

    def legacy(
        self,
        stage: Stage,
        other: UserInfo | None,
        noted: Mapping[str, str],
        status: Json | None,
    ) -> str:
        """One line, as the real server's `legacy` format has it."""
        info = self._request.info
        namespace = ""
        if info.is_resource:
            namespace = info.namespace or noted.get("namespace", "")
        code = str(status.get("code", 0)) if status is not None else "<deferred>"
        user, groups = "<none>", "<none>"
        if self._user is not None and self._user.name:
            user = self._user.name
            groups = _listed(self._user.groups) or groups
        as_user, as_groups = "<self>", "<lookup>"
        if other is not None:
            as_user, as_groups = other.name, _listed(other.groups)
        fields = (
            ("id", self._request.audit.id),
            ("stage", stage.value),
            ("ip", self._ips[0] if self._ips else "<unknown>"),
            ("method", self._request.info.verb),
            ("user", user),
            ("groups", groups),
            ("as", as_user),
            ("asgroups", as_groups),
            ("user-agent", self._agent),
            ("namespace", namespace or "<none>"),
            ("uri", self._uri),
        )
        said = " ".join(f"{name}={quote(value)}" for name, value in fields)
        return f'{_nano(self._received)} AUDIT: {said} response="{code}"'


def _listed(texts: Sequence[str]) -> str:
    return ",".join(map(quote, texts))


def _nano(micro: str) -> str:
    """Go's RFC3339Nano leaves out the zeros at the end of the fraction."""
    return micro[:-1].rstrip("0").rstrip(".") + "Z"


def _user(user: UserInfo | None) -> Json:
    """authentication.k8s.io/v1 UserInfo."""
    out: Json = {}
    if user is None:
        return out
    if user.name:
        out["username"] = user.name
    if user.uid:
        out["uid"] = user.uid
    if user.groups:
        out["groups"] = list(user.groups)
    if user.extra:
        out["extra"] = {key: list(user.extra[key]) for key in sorted(user.extra)}
    return out


def _uri(request: Request) -> str:
    path, query = request.raw_path, request.query.text
    if not path.isascii():
        path = "".join(c if c < "\x80" else f"%{ord(c):02X}" for c in path)
    return f"{path}?{query}" if query else path


def _agent(agent: str) -> str:
    return agent if len(agent) <= USER_AGENT_CHARS_MAX else agent[:USER_AGENT_CHARS_MAX] + CUT


def source_ips(headers: Headers, remote: str) -> list[str]:
    """Those of X-Forwarded-For, of X-Real-Ip if it is not among them, and of the other end if it is
    not the last.
    """
    found: list[str] = []
    if "x-forwarded-for" in headers:
        parts = headers.get("x-forwarded-for").split(",")
        found = [ip for part in parts if (ip := parsed_ip(part.strip()))]
    real = parsed_ip(headers.get("x-real-ip"))
    if real and real not in found:
        found.append(real)
    peer = parsed_ip(remote)
    if peer and (not found or found[-1] != peer):
        found.append(peer)
    return found


@lru_cache(1024)
def parsed_ip(text: str) -> str:
    """An address as Go prints it; empty for what is none. Leading zeros do not matter."""
    if not text:
        return ""
    try:
        if ":" not in text:
            parts = text.split(".")
            if all(part.isascii() and part.isdigit() for part in parts):
                text = ".".join(str(int(part)) for part in parts)
            return str(ipaddress.IPv4Address(text))
        found = ipaddress.IPv6Address(text)
    except ValueError:
        return ""
    if found.scope_id:
        return ""
    return str(found.ipv4_mapped or found)
