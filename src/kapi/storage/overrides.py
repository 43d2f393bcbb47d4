"""`--etcd-servers-overrides`: which resources are kept in another etcd, in kube-apiserver's syntax.

`group/resource#servers`, the servers with semicolons; the core group is empty, `*` means all
resources of the group. Only built-in kinds can be elsewhere. `options/parser.py` checks the syntax,
`assembly/stores.py` opens the stores.
https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

FORMAT: Final = (
    "--etcd-servers-overrides invalid, must be of format: group/resource#servers, where servers "
    "are URLs, semicolon separated"
)
ALL: Final = "*"
# Keys without an API, and the resource that says where they are.
_WITH: Final = {"ranges": ("", "services"), "masterleases": ("", "apiServerIPInfo")}
# Groups with a store of their own, which is always the main one.
_NEVER: Final = frozenset(("apiextensions.k8s.io", "apiregistration.k8s.io"))


@dataclass(frozen=True, slots=True)
class Override:
    group: str
    resource: str
    servers: tuple[str, ...]


def parse(texts: Iterable[str]) -> list[Override]:
    """Raises ValueError with the words of the real server."""
    found = []
    for text in texts:
        what, *servers = text.split("#")
        names = what.split("/")
        if len(servers) != 1 or len(names) != 2:
            raise ValueError(FORMAT)
        urls = tuple(url.strip() for url in servers[0].split(";"))
        if not all(urls):
            raise ValueError(FORMAT)
        found.append(Override(names[0], names[1], urls))
    return found


def placed(
    overrides: Sequence[Override], resources: Iterable[tuple[str, str, str]]
) -> Mapping[str, tuple[str, ...]]:
    """The servers of each storage prefix that is elsewhere.

    `resources`: group, plural and storage prefix; of those that share one the first counts.
    """
    known = {(o.group, o.resource): o.servers for o in overrides}
    out: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    extra = [(*names, prefix) for prefix, names in _WITH.items()]
    for group, plural, prefix in (*resources, *extra):
        servers = known.get((group, plural)) or known.get((group, ALL))
        if prefix not in seen and servers and group not in _NEVER:
            out[prefix] = servers
        seen.add(prefix)
    return out


def unused(overrides: Sequence[Override], resources: Iterable[tuple[str, str, str]]) -> list[str]:
    """Those that are about nothing, as `group/resource`."""
    listed = [(group, plural) for group, plural, _ in resources if group not in _NEVER]
    names = {*listed, *_WITH.values(), *((group, ALL) for group, _ in listed)}
    return [f"{o.group}/{o.resource}" for o in overrides if (o.group, o.resource) not in names]
