"""`/livez`, `/readyz` and `/healthz`: named checks, all together or each under its own path.

`server.py` gives the checks, in the order in which they are listed; their names are
kube-apiserver's where kapi has the same thing. A check is a function without arguments that returns
what is wrong, "" if nothing is; it must not block. What must be asked for first, `refresh` asks.
Why a check fails goes to the log, not to the client, unless it asks for that check alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from kapi import log
from kapi.errors import quote
from kapi.handlers.documents.answers import TEXT, text
from kapi.messages import Handler, Request, Response

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """`probe` returns the complaint, "" for none; `live` and `ready` are what it counts for. Who
    excludes the check that is called as `group` excludes this one with it. `refresh` is awaited
    before the probe; it has a time of its own, and does not fail."""

    name: str
    probe: Callable[[], str]
    live: bool = True
    ready: bool = True
    group: str = ""
    refresh: Callable[[], Awaitable[None]] | None = None


def always_well() -> str:
    """The probe of what works if anything works: ping."""
    return ""


class Health:
    """The three endpoints over one list of checks. /healthz is the old name of /livez."""

    def __init__(self, checks: Iterable[Check]) -> None:
        listed = list(checks)
        self._groups = {c.name: c.group for c in listed if c.group}
        self._refreshes = {c.name: c.refresh for c in listed if c.refresh is not None}
        live = {c.name: c.probe for c in listed if c.live}
        ready = {c.name: c.probe for c in listed if c.ready}
        self._endpoints: dict[str, dict[str, Callable[[], str]]] = {
            "healthz": live,
            "livez": live,
            "readyz": ready,
        }

    def paths(self) -> Mapping[str, Handler]:
        """Every endpoint and every check of it, by path."""
        out: dict[str, Handler] = {}
        for endpoint, checks in self._endpoints.items():
            out[f"/{endpoint}"] = self._all_of(endpoint)
            for name, probe in checks.items():
                out[f"/{endpoint}/{name}"] = self._one(name, probe)
        return out

    def ready(self) -> bool:
        return not any(probe() for probe in self._endpoints["readyz"].values())

    def _all_of(self, endpoint: str) -> Handler:
        checks = self._endpoints[endpoint]

        async def handle(request: Request) -> Response:
            named = frozenset(request.query.all("exclude"))
            excluded = set(named)
            lines = []
            failures = []
            await self._refresh(n for n in checks if n not in named)
            for name, probe in checks.items():
                if name in excluded:
                    excluded.discard(name)
                    lines.append(f"[+]{name} excluded: ok\n")
                elif self._groups.get(name) in named:
                    lines.append(f"[+]{name} excluded with {self._groups[name]}: ok\n")
                elif complaint := probe():
                    failures.append((name, complaint))
                    lines.append(f"[-]{name} failed: reason withheld\n")
                else:
                    lines.append(f"[+]{name} ok\n")
            if excluded:
                unknown = ",".join(quote(name) for name in sorted(excluded))
                lines.append(
                    f"warn: some health checks cannot be excluded: no matches for {unknown}\n"
                )
            report = "".join(lines)
            if failures:
                logger.warning("health check failed", endpoint=endpoint, failures=failures)
                return text(500, f"{report}{endpoint} check failed\n")
            if "verbose" in request.query:
                return text(200, f"{report}{endpoint} check passed\n")
            return text(200, "ok")

        return handle

    async def _refresh(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._refreshes:
                await self._refreshes[name]()

    def _one(self, name: str, probe: Callable[[], str]) -> Handler:
        async def handle(request: Request) -> Response:
            await self._refresh((name,))
            complaint = probe()
            if complaint:
                return text(500, f"internal server error: {complaint}\n")
            return Response(200, [("Content-Type", TEXT)], b"ok")

        return handle

    async def slis(self, request: Request) -> Response:
        """`/metrics/slis`: the result of each check as a metric."""
        lines = [
            "# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single "
            "healthcheck.\n",
            "# TYPE kubernetes_healthcheck gauge\n",
        ]
        await self._refresh(self._refreshes)
        for endpoint in ("livez", "readyz"):
            for name, probe in self._endpoints[endpoint].items():
                value = 0 if probe() else 1
                labels = f'name="{name}",type="{endpoint}"'
                lines.append(f"kubernetes_healthcheck{{{labels}}} {value}\n")
        return Response(200, [("Content-Type", METRICS_TYPE)], "".join(lines).encode())
