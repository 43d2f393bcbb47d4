"""The kinds that the resource suite runs over: built-in ones, and made-up ones that a server learns
while it runs.

`WIDGET` is as a built-in kind (typed schema), with two versions that differ in form and convert
without loss; `GADGET` is as a custom one (schema without Go types, keys sorted); `STAR` has no
namespace.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

from resource_suite import Sample

from kapi.kinds.catalog import Catalog
from kapi.registry.resource import (
    Column,
    Convert,
    GroupVersionKind,
    ResourceType,
    Subresource,
    Version,
)
from kapi.registry.strategy import Strategy
from kapi.schema.structural import Property, Schema

Json = dict[str, Any]
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
GROUP = "things.example.com"
_POD_TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "nginx:1"}]},
}

CONFIG_MAP = Sample(
    group="",
    version="v1",
    plural="configmaps",
    kind="ConfigMap",
    body={"data": {"key": "one"}},
    path=("data", "key"),
    values=("one", "two", "three"),
    short_names=("cm",),
)
DEPLOYMENT = Sample(
    group="apps",
    version="v1",
    plural="deployments",
    kind="Deployment",
    body={
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": _POD_TEMPLATE,
        }
    },
    path=("spec", "replicas"),
    values=(1, 2, 3),
    status={"replicas": 1, "observedGeneration": 1},
    generation=True,
    subresources=("scale", "status"),
    short_names=("deploy",),
)
LEASE = Sample(
    group="coordination.k8s.io",
    version="v1",
    plural="leases",
    kind="Lease",
    body={"spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}},
    path=("spec", "leaseDurationSeconds"),
    values=(15, 20, 25),
)
AUTOSCALER = Sample(
    group="autoscaling",
    version="v2",
    plural="horizontalpodautoscalers",
    kind="HorizontalPodAutoscaler",
    body={
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
            "maxReplicas": 5,
            "minReplicas": 1,
            "metrics": [
                {
                    "type": "Pods",
                    "pods": {
                        "metric": {"name": "requests"},
                        "target": {"type": "AverageValue", "averageValue": "10"},
                    },
                }
            ],
        }
    },
    path=("spec", "maxReplicas"),
    values=(5, 6, 7),
    status={"currentReplicas": 1, "desiredReplicas": 2, "currentMetrics": None},
    generation=True,
    other_version="v1",
    subresources=("status",),
    short_names=("hpa",),
)
WIDGET = Sample(
    group=GROUP,
    version="v1",
    plural="widgets",
    kind="Widget",
    body={"spec": {"size": 1, "colour": "red", "parts": [{"name": "wheel", "count": 4}]}},
    path=("spec", "size"),
    values=(1, 2, 3),
    status={"phase": "Ready"},
    generation=True,
    other_version="v1beta1",
    subresources=("status",),
    short_names=("wd",),
)
GADGET = Sample(
    group="gadgets.example.com",
    version="v1",
    plural="gadgets",
    kind="Gadget",
    body={"spec": {"size": 1, "colour": "red", "parts": [{"name": "wheel", "count": 4}]}},
    path=("spec", "size"),
    values=(1, 2, 3),
    status={"phase": "Ready"},
    generation=True,
    custom=True,
    other_version="v1beta1",
    subresources=("status",),
)
STAR = Sample(
    group="stars.example.com",
    version="v1alpha1",
    plural="stars",
    kind="Star",
    body={"spec": {"size": 1}},
    path=("spec", "size"),
    values=(1, 2, 3),
    status={"phase": "Ready"},
    generation=True,
    namespaced=False,
    subresources=("status",),
)
BUILT_IN = (CONFIG_MAP, DEPLOYMENT, LEASE, AUTOSCALER)
MADE_UP = (WIDGET, GADGET, STAR)


def _object(typed: bool, *properties: Property) -> Schema:
    return Schema("object", typed=typed, properties={p.name: p for p in properties})


def _scalar(typed: bool, name: str, type_: Literal["string", "integer"]) -> Property:
    form = "int64" if type_ == "integer" else ""
    go = "int64" if type_ == "integer" else "string"
    return Property(name, Schema(type_, typed=typed, format=form, go_type=go), go_type=go)


def _parts(typed: bool) -> Property:
    part = _object(typed, _scalar(typed, "name", "string"), _scalar(typed, "count", "integer"))
    listed = Schema("array", typed=typed, items=part, list_type="map", list_keys=("name",))
    return Property("parts", listed, patch_strategy=("merge",), merge_key="name")


def _schema(sample: Sample, spec: Schema, meta: Schema, *, typed: bool) -> Schema:
    made = _object(
        typed,
        _scalar(typed, "kind", "string"),
        _scalar(typed, "apiVersion", "string"),
        Property("metadata", meta),
        Property("spec", spec),
        Property("status", _object(typed, _scalar(typed, "phase", "string"))),
    )
    made.go_type = f"v1.{sample.kind}"
    made.properties["metadata"].schema = meta
    return made


def _to_flat(obj: Json) -> Json:
    """v1 to v1beta1: the size moves into `dimensions`, the colour has another name."""
    out = copy.deepcopy(obj)
    spec = out.get("spec")
    if isinstance(spec, dict):
        if "size" in spec:
            spec["dimensions"] = {"size": spec.pop("size")}
        if "colour" in spec:
            spec["paint"] = spec.pop("colour")
    return out


def _from_flat(obj: Json) -> Json:
    out = copy.deepcopy(obj)
    spec = out.get("spec")
    if isinstance(spec, dict):
        moved: Json = {}
        if "size" in (spec.get("dimensions") or {}):
            moved["size"] = spec["dimensions"]["size"]
        spec.pop("dimensions", None)
        if "paint" in spec:
            moved["colour"] = spec.pop("paint")
        out["spec"] = {**moved, **spec}
    return out


def resource_of(sample: Sample) -> ResourceType:
    """The made-up resource behind a sample; each call makes a new one."""
    typed = not sample.custom
    meta = Catalog().types.schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    new = _object(
        typed,
        _scalar(typed, "size", "integer"),
        _scalar(typed, "colour", "string"),
        _parts(typed),
    )
    dimensions = Property("dimensions", _object(typed, _scalar(typed, "size", "integer")))
    old = _object(typed, dimensions, _scalar(typed, "paint", "string"), _parts(typed))

    def version(
        name: str, spec: Schema, to: Convert | None = None, from_: Convert | None = None
    ) -> Version:
        kind = GroupVersionKind(sample.group, name, sample.kind)
        schema = _schema(sample, spec, meta, typed=typed)
        status = Subresource(name="status", verbs=("get", "patch", "update"), kind=kind)
        return Version(
            name=name,
            kind=kind,
            schema=lambda: schema,
            verbs=VERBS,
            subresources={"status": status},
            to_stored=to,
            from_stored=from_,
        )

    versions = [version(sample.version, new)]
    if sample.other_version:
        versions.append(version(sample.other_version, old, _from_flat, _to_flat))
    return ResourceType(
        group=sample.group,
        plural=sample.plural,
        singular=sample.kind.lower(),
        kind=sample.kind,
        list_kind=f"{sample.kind}List",
        namespaced=sample.namespaced,
        versions={v.name: v for v in versions},
        stored=versions[0].kind,
        stored_schema=versions[0].schema,
        storage_prefix=f"{sample.group}/{sample.plural}",
        strategy=Strategy(),
        short_names=sample.short_names,
        columns=(
            Column(name="Name", type="string", cell=lambda obj, now: obj["metadata"]["name"]),
            Column(name="Size", type="integer", cell=lambda obj, now: obj["spec"].get("size")),
        ),
        custom=sample.custom,
    )
