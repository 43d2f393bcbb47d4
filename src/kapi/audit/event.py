"""What is told of one request: an audit.k8s.io/v1 Event, stage by stage.

Made by `auditor.py` when a request has been let in, or refused before. The fields that no stage
changes are encoded once. Fields, their order and what is left out are the real server's, the text
of JSON is Go's.
https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Event
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from kapi.audit.policy import LEVEL_NAMES, Level, Stage, Verdict
from kapi.audit.record import Record
from kapi.clock import rfc3339_micro
from kapi.codec import json_format
from kapi.errors import quote
from kapi.messages import Headers, Request, UserInfo

Json = dict[str, Any]
USER_AGENT_CHARS_MAX = 1024  # longer ones are cut, as by the real server
CUT = "...TRUNCATED"


class AuditEvent:
    """The event of one request. `status`: the responseStatus, None before there is one."""

    def __init__(self, request: Request, verdict: Verdict, received: float) -> None:
        """`received`: seconds since the epoch."""
        self.verdict = verdict
        self.level = verdict.level
        self.status: Json | None = None
        self.response: Sequence[bytes] = ()
        self._request = request
        self._user = request.user
        self._received = rfc3339_micro(received)
        self._uri = _uri(request)
        self._ips = source_ips(request.headers, request.peer.address)
        self._agent = _agent(request.headers.get("user-agent"))
        level = LEVEL_NAMES[verdict.level]
        self._start = json_format.dumps({"level": level, "auditID": request.audit.id})[1:-1]
        who: Json = {"requestURI": self._uri, "verb": request.info.verb}
        who["user"] = _user(self._user)
        self._who = json_format.dumps(who)[1:-1]
        via: Json = {}
        if self._ips:
            via["sourceIPs"] = self._ips
        if self._agent:
            via["userAgent"] = self._agent
        self._via = b"," + json_format.dumps(via)[1:-1] if via else b""

    def omits(self, stage: Stage) -> bool:
        return stage in self.verdict.omit_stages

    def record(self, stage: Stage, now: float) -> Record:
        """The event as it is at a stage. `now`: seconds since the epoch."""
        facts = self._request.audit
        at = self._received if stage is Stage.REQUEST_RECEIVED else rfc3339_micro(now)
        parts = [self._start, b',"stage":"%b",' % stage.value.encode(), self._who]
        other = self._impersonated()
        if other is not None:
            parts += (b',"impersonatedUser":', json_format.dumps(_user(other)))
            if facts.constraint:
                meta = {"impersonationConstraint": facts.constraint}
                parts += (b',"authenticationMetadata":', json_format.dumps(meta))
        parts.append(self._via)
        ref = self._object_ref()
        if ref:
            parts += (b',"objectRef":', json_format.dumps(ref))
        if self.status is not None:
            parts += (b',"responseStatus":', json_format.dumps(self.status))
        times = b',"requestReceivedTimestamp":"%b","stageTimestamp":"%b"'
        said = json_format.dumps_sorted(facts.annotations) if facts.annotations else b""
        return Record(
            self.level,
            facts.id,
            b"".join(parts),
            facts.object if self.level >= Level.REQUEST else b"",
            self.response,
            times % (self._received.encode(), at.encode()),
            said,
            self._legacy_text(stage, other, (ref or {}).get("namespace", "")).__str__,
        )

    def _impersonated(self) -> UserInfo | None:
        """Whom the request acts as, once that was allowed."""
        now = self._request.user
        return now if now is not self._user and self._user is not None else None

    def _object_ref(self) -> Json | None:
        info, noted = self._request.info, self._request.audit.noted
        if not info.is_resource:
            return None
        found = (
            ("resource", info.resource),
            ("namespace", info.namespace or noted.get("namespace", "")),
            ("name", info.name or noted.get("name", "")),
            ("uid", noted.get("uid", "")),
            ("apiGroup", info.group),
            ("apiVersion", info.version),
            ("resourceVersion", noted.get("resourceVersion", "")),
            ("subresource", info.subresource),
        )
        return {name: value for name, value in found if value}

    def _legacy_text(self, stage: Stage, other: UserInfo | None, namespace: str) -> _Legacy:
        code = str(self.status.get("code", 0)) if self.status is not None else "<deferred>"
        return _Legacy(self, stage, other, namespace or "<none>", code)

    def legacy(self, stage: Stage, other: UserInfo | None, namespace: str, code: str) -> str:
        """One line, as the real server's `legacy` format has it."""
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
            ("namespace", namespace),
            ("uri", self._uri),
        )
        said = " ".join(f"{name}={quote(value)}" for name, value in fields)
        return f'{_nano(self._received)} AUDIT: {said} response="{code}"'


class _Legacy:
    """The line of one stage, made only if somebody wants it."""

    __slots__ = ("_event", "_rest")

    def __init__(self, event: AuditEvent, *rest: Any) -> None:
        self._event = event
        self._rest = rest

    def __str__(self) -> str:
        return self._event.legacy(*self._rest)


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
