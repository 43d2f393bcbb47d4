"""The built-in API: packaged facts and the group modules become `ResourceType` records.

`discovery-all.json` says which resources, versions, verbs and subresources there are;
`discovery-default.json` which of them are on unless `--runtime-config` says otherwise; the group
modules listed in `kinds/groups.py` add what facts cannot say. Called once by `server.py`."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from kapi.cel.door import DefinitionChecks
from kapi.kinds import groups
from kapi.kinds.definitions import apiextensions, old_form
from kapi.kinds.shared.types import TypeTable
from kapi.registry.resource import (
    GroupVersionKind,
    ResourceType,
    Subresource,
    Version,
)
from kapi.registry.strategy import Strategy
from kapi.schema.structural import Schema, SchemaSource

Json = dict[str, Any]

# Under which prefix the real server keeps a resource, where it is not the plural.
# kubernetes/pkg/kubeapiserver/default_storage_factory_builder.go
_STORAGE_PREFIXES: Mapping[tuple[str, str], str] = {
    ("", "replicationcontrollers"): "controllers",
    ("", "endpoints"): "services/endpoints",
    ("", "services"): "services/specs",
    ("", "nodes"): "minions",
    ("networking.k8s.io", "ingresses"): "ingress",
    ("apiregistration.k8s.io", "apiservices"): "apiregistration.k8s.io/apiservices",
    (
        "apiextensions.k8s.io",
        "customresourcedefinitions",
    ): "apiextensions.k8s.io/customresourcedefinitions",
}
# The version that objects are kept in here, where it is not the preferred one.
_STORED: Mapping[tuple[str, str], tuple[str, str]] = {
    ("resource.k8s.io", "devicetaintrules"): ("resource.k8s.io", "v1beta2"),
    ("storagemigration.k8s.io", "storageversionmigrations"): ("storagemigration.k8s.io", "v1beta1"),
    ("events.k8s.io", "events"): ("", "v1"),
}
# A version is stored one release after it came, so that the server before can read it.
# https://kubernetes.io/docs/concepts/cluster-administration/compatibility-version/
_COMPATIBLE_WITH = (1, 36)
# Where another rule holds: the shorter form of definitions.
_SHARED: Mapping[tuple[str, str], GroupVersionKind] = {
    ("apiextensions.k8s.io", "customresourcedefinitions"): old_form.KIND,
}
# Kinds whose DELETE answers with the object that is gone.
_RETURNS_DELETED = frozenset(
    {
        ("", "podtemplates"),
        ("", "pods"),
        ("", "services"),
        ("", "serviceaccounts"),
        ("", "persistentvolumes"),
        ("", "persistentvolumeclaims"),
        ("", "resourcequotas"),
        ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "csistoragecapacities"),
        ("storage.k8s.io", "volumeattachments"),
        ("storage.k8s.io", "volumeattributesclasses"),
        ("resource.k8s.io", "resourceclaims"),
        ("resource.k8s.io", "resourceclaimtemplates"),
        ("resource.k8s.io", "deviceclasses"),
        ("resource.k8s.io", "resourceslices"),
    }
)
_UNKNOWN_FIELD = {("batch", "jobs"): 'field label "{}" not supported for Job'}
# Kinds whose metadata.generation counts changes of what is wanted.
_GENERATION = frozenset(
    {
        ("", "pods"),
        ("", "podtemplates"),
        ("", "replicationcontrollers"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("apps", "daemonsets"),
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("autoscaling", "horizontalpodautoscalers"),
        ("batch", "cronjobs"),
        ("batch", "jobs"),
        ("discovery.k8s.io", "endpointslices"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("networking.k8s.io", "ingressclasses"),
        ("networking.k8s.io", "ingresses"),
        ("networking.k8s.io", "networkpolicies"),
        ("policy", "poddisruptionbudgets"),
        ("resource.k8s.io", "deviceclasses"),
        ("resource.k8s.io", "devicetaintrules"),
        ("resource.k8s.io", "resourceslices"),
    }
)
# Kinds that every group version knows.
_EVERYWHERE = frozenset(
    {
        "CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions",
        "UpdateOptions", "WatchEvent",
    }
)  # fmt: skip
_PACKAGES: Mapping[str, str] = {
    "": "io.k8s.api.core",
    "internal.apiserver.k8s.io": "io.k8s.api.apiserverinternal",
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}


def type_name(group: str, version: str, kind: str) -> str:
    """The Go type behind a kind: `io.k8s.api.apps.v1.Deployment`."""
    package = _PACKAGES.get(group) or f"io.k8s.api.{group.partition('.')[0]}"
    return f"{package}.{version}.{kind}"


@dataclass(frozen=True, slots=True)
class _Entry:
    """One resource of one version, as discovery has it."""

    group: str
    version: str
    facts: Json


class Catalog:
    """Schemas and resources of the built-in API."""

    def __init__(self) -> None:
        self.types = TypeTable(groups.defaults())
        self._strategies = {
            **groups.strategies(),
            **apiextensions.strategies(self.object_meta, DefinitionChecks(self.object_meta)),
        }
        self._columns = groups.columns()
        self._row_conditions = groups.row_conditions()
        self._hidden_annotations = groups.hidden_annotations()
        self._selectors = groups.field_selectors()
        self._conversions = groups.conversions()
        self._entries = list(_entries("discovery-all.json"))
        self._versions = {(e.group, e.version) for e in self._entries}
        self._on = {
            (e.group, e.version, e.facts["resource"]) for e in _entries("discovery-default.json")
        }

    def schema(self, name: str) -> SchemaSource:
        """A lazily made schema of a Go type."""
        return lambda: self.types.schema(name)

    def go_type(self, kind: GroupVersionKind) -> str:
        """The Go type of a kind, as errors name it: v1.Pod; "" for one that is not of the API."""
        name = type_name(kind.group, kind.version, kind.kind)
        if kind.kind in ("Status", "List") and not kind.group and kind.version == "v1":
            return f"v1.{kind.kind}"
        if kind.kind in _EVERYWHERE and (kind.group, kind.version) in self._versions:
            return f"v1.{kind.kind}"
        if name not in self.types or (kind.group, kind.version) not in self._versions:
            return ""
        fields = self.types.schema(name).properties
        return f"{kind.version}.{kind.kind}" if "kind" in fields else ""

    def schema_of(self, api_version: str, kind: str) -> Schema | None:
        """The schema of a kind of the API, served or not; None for one that is not of it."""
        group, _, version = api_version.rpartition("/")
        name = type_name(group, version, kind)
        return self.types.schema(name) if name in self.types else None

    def object_meta(self) -> Schema:
        return self.types.schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")

    def enabled(self, group: str, version: str, resource: str, config: Mapping[str, bool]) -> bool:
        """Whether a resource is served: the most specific of `--runtime-config`'s keys decides."""
        group_version = f"{group}/{version}" if group else version
        for key in (f"{group_version}/{resource}", group_version):
            if key in config:
                return config[key]
        stage = "alpha" if "alpha" in version else "beta" if "beta" in version else "ga"
        if f"api/{stage}" in config:
            return config[f"api/{stage}"]
        if "api/all" in config:
            return config["api/all"]
        return (group, version, resource) in self._on

    def resources(self, config: Mapping[str, bool]) -> list[ResourceType]:
        """Every resource of which at least one version is served, in the order of discovery."""
        found: dict[tuple[str, str], list[_Entry]] = {}
        for e in self._entries:
            found.setdefault((e.group, e.facts["resource"]), []).append(e)
        out = []
        for (group, plural), entries in found.items():
            served = [e for e in entries if self.enabled(group, e.version, plural, config)]
            if served:
                out.append(self._resource(group, plural, entries, served))
        return out

    def _resource(
        self, group: str, plural: str, entries: list[_Entry], served: list[_Entry]
    ) -> ResourceType:
        facts = entries[0].facts
        kind = facts["responseKind"]["kind"]
        stored_group, stored_version = _STORED.get((group, plural), (group, entries[0].version))
        stored = GroupVersionKind(stored_group, stored_version, kind)
        key = (group, plural)
        return ResourceType(
            group=group,
            plural=plural,
            singular=facts["singularResource"],
            kind=kind,
            list_kind=f"{kind}List",
            namespaced=facts["scope"] == "Namespaced",
            versions={e.version: self._version(e, stored) for e in served},
            stored=stored,
            stored_schema=self.schema(type_name(stored_group, stored_version, kind)),
            storage_prefix=_STORAGE_PREFIXES.get(key, plural),
            strategy=self._strategies.get(key) or Strategy(),
            short_names=tuple(facts.get("shortNames", ())),
            categories=tuple(facts.get("categories", ())),
            columns=self._columns.get(key, ()),
            row_conditions=self._row_conditions.get(key),
            hidden_annotations=self._hidden_annotations.get(key, frozenset()),
            field_selectors=self._selectors.get(key, {}),
            stored_in_store="watch" in facts["verbs"],
            unknown_field=_UNKNOWN_FIELD.get(key, "field label not supported: {}"),
            generation=key in _GENERATION,
            returns_deleted=key in _RETURNS_DELETED,
            shared=_SHARED.get(key) or self._shared(stored, entries),
        )

    def _shared(self, stored: GroupVersionKind, entries: list[_Entry]) -> GroupVersionKind:
        """What the real server stores: the best version that the release before knew."""
        if stored.group != entries[0].group:  # served by two groups
            return stored
        for entry in entries if len(entries) > 1 else ():
            name = type_name(stored.group, entry.version, stored.kind)
            if self.types.introduced(name) <= _COMPATIBLE_WITH:
                return GroupVersionKind(stored.group, entry.version, stored.kind)
        return GroupVersionKind(stored.group, entries[0].version, stored.kind)

    def _version(self, entry: _Entry, stored: GroupVersionKind) -> Version:
        facts, group, version = entry.facts, entry.group, entry.version
        kind = GroupVersionKind(group, version, facts["responseKind"]["kind"])
        subresources = {}
        for s in facts.get("subresources", ()):
            answered = s["responseKind"]
            gvk = GroupVersionKind(
                answered["group"] or (group if not answered["version"] else ""),
                answered["version"] or version,
                answered["kind"],
            )
            name = type_name(gvk.group, gvk.version, gvk.kind)
            subresources[s["subresource"]] = Subresource(
                name=s["subresource"],
                verbs=tuple(s["verbs"]),
                kind=gvk,
                schema=self.schema(name) if gvk != kind and name in self.types else None,
            )
        to_stored, from_stored = self._conversions.get(
            (group, facts["resource"], version), (None, None)
        )
        return Version(
            name=version,
            kind=kind,
            schema=self.schema(type_name(group, version, kind.kind)),
            verbs=tuple(facts["verbs"]),
            subresources=subresources,
            to_stored=to_stored,
            from_stored=from_stored,
            deprecation=groups.deprecation(group, version, kind.kind),
        )


def _entries(name: str) -> Iterator[_Entry]:
    text = importlib.resources.files("kapi").joinpath("data", name).read_bytes()
    facts = orjson.loads(text)
    for part in ("api", "apis"):
        for group in facts[part]["items"]:
            for version in group["versions"]:
                for resource in version["resources"]:
                    yield _Entry(group["metadata"].get("name", ""), version["version"], resource)
