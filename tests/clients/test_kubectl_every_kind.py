"""kubectl against each built-in kind that can be created: made from a full manifest, listed,
described, edited and deleted, each as on a real cluster and without a word on stderr that the real
server would not cause.

A kind that is served without a manifest in `tests/manifests` fails here. All kinds go through one
kubectl at a time, so that the whole takes seconds; the server is this module's own, and the last
test takes away what the others look at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import full_manifests
import pytest
from clients_harness import Said, Terminal, serving

pytestmark = [pytest.mark.client, pytest.mark.timeout(120)]
Json = dict[str, Any]
SPACE = "everything"
WARNING = "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n"
# Needs another object: it has a test of its own.
APART = {("v1", "Binding")}

# What a manifest says and `kubectl describe` does not show.
_TEMPLATE = (
    "Always 10.1.2.3 db.example.com registry 10.0.0.10 example.com ndots 1000 2000 RuntimeDefault "
    "Equal /srv IfNotPresent X-A metadata.labels"
)
HIDDEN: dict[str, str] = {
    "ConfigMap": "AAEC",
    "Secret": "YWRtaW4= secret",
    "Service": "60 example.com/lb",
    "Endpoints": "Pod",
    "PersistentVolumeClaim": "ReadWriteOnce 2Gi ssd",
    "PersistentVolume": "ReadWriteOnce ReadOnlyMany noatime",
    "ResourceQuota": "10 4 8Gi PriorityClass In none-such",
    "Ingress": "Prefix Exact",
    "IngressClass": "Cluster",
    "RoleBinding": "rbac.authorization.k8s.io",
    "ClusterRoleBinding": "rbac.authorization.k8s.io",
    "Pod": "Equal",
    "ReplicationController": _TEMPLATE,
    "Deployment": f"{_TEMPLATE} 100",
    "ReplicaSet": _TEMPLATE,
    "DaemonSet": f"{_TEMPLATE} RollingUpdate",
    "StatefulSet": _TEMPLATE,
    "Job": "FailJob 42 Never",
    "CronJob": "Indexed FailJob 42 Never",
    "HorizontalPodAutoscaler": ("Utilization AverageValue Object External ContainerResource"),
    "PodDisruptionBudget": "AlwaysAllow",
    "CertificateSigningRequest": "request client_auth digital_signature 3600",
}


@pytest.fixture(scope="module")
def every(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal in whose namespace one of each kind was created."""
    folder = tmp_path_factory.mktemp("every-kind")
    with serving(folder) as server:
        made = Terminal(binaries, folder / "home", server)
        made.namespace = SPACE
        made.says(f"create namespace {SPACE}")
        made.says(f"config set-context --current --namespace={SPACE}")
        made.says("create serviceaccount default")
        said = all_of(made, "create")
        assert [line.split()[1] for line in said.lines] == ["created"] * len(manifests())
        yield made


def manifests() -> list[Json]:
    return full_manifests.stored(SPACE)


def all_of(terminal: Terminal, *command: str) -> Said:
    """One kubectl over all manifests; of what it says on stderr all is expected."""
    path = terminal.home / "all.json"
    path.write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": manifests()}))
    said = terminal.run("kubectl", *command, "-f", str(path))
    assert said.err == WARNING
    return said


def test_every_kind_has_a_manifest(every: Terminal) -> None:
    table = every.kubectl("api-resources -o wide").lines
    at = {name: table[0].index(name) for name in ("APIVERSION", "NAMESPACED", "KIND", "VERBS")}
    served = set()
    for line in table[1:]:
        version = line[at["APIVERSION"] : at["NAMESPACED"]].strip()
        kind = line[at["KIND"] : at["VERBS"]].strip()
        verbs = line[at["VERBS"] :].split()[0].split(",")
        if "create" in verbs and not version.startswith("full.example.com/"):
            served.add((version, kind))
    known = [*manifests(), *full_manifests.answered(SPACE)]
    assert served == {full_manifests.identity(m) for m in known} | APART


def columns() -> dict[str, tuple[list[str], list[str]]]:
    found = {}
    for line in (full_manifests.FOLDER / "columns.txt").read_text().splitlines()[1:]:
        kind, names = line.split(": ", 1)
        plain, wide = names.split("|")
        found[kind] = (plain.split(","), [*plain.split(","), *wide.split(",")] if wide else [])
    return found


def tables(text: str) -> list[list[str]]:
    """The lines of each table that kubectl printed."""
    return [block.splitlines() for block in text.strip("\n").split("\n\n")]


def heading(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


def test_get_shows_the_columns_of_each_kind(every: Terminal) -> None:
    plain, wide = (tables(all_of(every, "get", *o).out) for o in ((), ("-o", "wide")))
    for manifest, short, long in zip(manifests(), plain, wide, strict=True):
        kind = manifest["kind"]
        expected, more = columns()[kind]
        assert heading(short[0]) == expected, kind
        assert sorted(heading(long[0])) == sorted(more or expected), kind
        for lines in (short, long):
            assert len(lines) == 2, kind
            assert manifest["metadata"]["name"] in lines[1] or kind == "Event", kind
            assert "<invalid>" not in lines[1], kind


def test_get_shows_what_was_created(every: Terminal) -> None:
    items = every_item(every)
    for manifest, item in zip(manifests(), items, strict=True):
        assert item["metadata"]["labels"]["full"] == "before"
        wanted = {k: v for k, v in manifest.items() if k not in ("metadata", "stringData")}
        assert missing(wanted, item) == [], manifest["kind"]


def every_item(terminal: Terminal) -> list[Json]:
    items: list[Json] = json.loads(all_of(terminal, "get", "-o", "json").out)["items"]
    return items


def missing(wanted: Any, found: Any, path: str = "") -> list[str]:
    """What of a manifest is not in an object, which may have more."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        out = [f"{path}.{k}" for k in wanted.keys() - found.keys()]
        for k in wanted.keys() & found.keys():
            out += missing(wanted[k], found[k], f"{path}.{k}")
        return out
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) <= len(found):
        pairs = enumerate(zip(wanted, found, strict=False))
        return [lost for i, (a, b) in pairs for lost in missing(a, b, f"{path}[{i}]")]
    return [] if wanted == found else [f"{path}: {found}, not {wanted}"]


def values(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in ("apiVersion", "kind", "metadata", "request"):
                yield from values(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from values(inner)
    elif not isinstance(value, bool):
        yield str(value).strip()


def test_describe_shows_the_values_of_each_kind(every: Terminal) -> None:
    parts = re.split(r"\n\n\n(?=Name:)", all_of(every, "describe").out)
    for manifest, part in zip(manifests(), parts, strict=True):
        kind = manifest["kind"]
        assert re.match(rf"Name: +{re.escape(manifest['metadata']['name'])}\n", part), kind
        hidden = {word.replace("_", " ") for word in HIDDEN.get(kind, "").split()}
        shown = part.lower()
        lost = {v for v in values(manifest) if v.lower() not in shown} - hidden
        assert not lost, f"{kind}: {lost}\n{part}"


def test_answers_that_are_not_stored(every: Terminal) -> None:
    path = every.home / "answered.json"
    items = full_manifests.answered(SPACE)
    path.write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": items}))
    said = every.run("kubectl", "create", "-o", "json", "-f", str(path))
    assert said.err == ""
    decoder, at, kinds = json.JSONDecoder(), 0, []
    while at < len(said.out.rstrip()):
        answer, at = decoder.raw_decode(said.out, at)
        at += 1
        kinds.append(answer["kind"])
        assert answer["status"], answer
    assert kinds == [i["kind"] for i in items]


def test_a_binding_puts_a_pod_on_a_node(every: Terminal) -> None:
    every.says("run bound --image=nginx")
    target = {"apiVersion": "v1", "kind": "Node", "name": "full"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "bound"}}
    said = every.says("create -f -", stdin=json.dumps({**binding, "target": target}))
    assert said == "status/<unknown> created\n"  # what comes back is a Status
    assert every.says("get pod bound -o jsonpath={.spec.nodeName}") == "full"


def named(manifest: Json) -> str:
    version, kind = full_manifests.identity(manifest)
    group, _, version = version.rpartition("/")
    return f"{kind}.{version}.{group}/{manifest['metadata']['name']}"


def test_edit_and_delete(every: Terminal) -> None:
    every.env["EDITOR"] = every.env["KUBE_EDITOR"] = "sed -i s/before/after/"
    said = every.run("kubectl", "edit", *map(named, manifests()))
    assert [line.split()[1] for line in said.lines] == ["edited"] * len(manifests())
    assert set(said.err.splitlines()) <= {WARNING.rstrip()}
    assert {i["metadata"]["labels"]["full"] for i in every_item(every)} == {"after"}
    # What is protected waits for a controller that is not here.
    said = all_of(every, "delete", "--wait=false")
    assert len(said.lines) == len(manifests())
    assert all(' "' in line and " deleted" in line for line in said.lines)
    path = every.home / "all.json"
    left = every.run("kubectl", "get", "-o", "json", "--ignore-not-found", "-f", str(path)).json
    kept = {i["kind"] for i in left.get("items", [left])}
    assert kept == {
        "Namespace", "PersistentVolume", "PersistentVolumeClaim", "VolumeAttributesClass",
    }  # fmt: skip
