"""Defaults of pods and of everything a pod spec is made of, by the Go type that carries them.

Merged into the schemas by `kinds/catalog.py`: a plain dict fills absent fields, a function handles
those that depend on others. Because they hang on the type, a pod and every pod template share them,
and `Pod` adds what only pods get (requests from limits, host ports, service links).
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from kapi.kinds.shared.amounts import rounding
from kapi.schema import quantity

Json = dict[str, Any]
Default = (
    Mapping[str, Any] | Callable[[Json], None] | tuple[Mapping[str, Any], Callable[[Json], None]]
)

_CORE = "io.k8s.api.core.v1."
_FILE_MODE = 0o644
_IMAGE_CACHE = 4096  # distinct image names in a cluster are few ...
_CACHED_CHARACTERS_MAX = 512  # ... and short; longer ones would fill the memory
_REPOSITORY_CHARACTERS_MAX = 255
_TAG_CHARACTERS_MAX = 129  # with its colon

# A container image reference: [registry/]path[:tag][@digest]; the path is lower case.
_PATH = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?P<digest>@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?\Z",
    re.ASCII,
)
_HEX_64 = re.compile(r"[a-f0-9]{64}\Z")


def pull_policy(image: str) -> str:
    """Always for the tag `latest`, given or meant; IfNotPresent for any other image, also one that
    is no reference.
    """
    if len(image) > _CACHED_CHARACTERS_MAX:
        return _pull_policy(image)
    return _short_pull_policy(image)


def _pull_policy(image: str) -> str:
    if len(image) > _CACHED_CHARACTERS_MAX:
        head, slash, path = image.partition("@")[0].partition("/")
        if len(path if slash else head) > _REPOSITORY_CHARACTERS_MAX + _TAG_CHARACTERS_MAX:
            return "IfNotPresent"  # too long, whatever else it is
    match = _REFERENCE.match(image)
    if match is None or _HEX_64.match(image):
        return "IfNotPresent"
    if len(match["name"]) + len(_LIBRARY) > _REPOSITORY_CHARACTERS_MAX and _is_long(match["name"]):
        return "IfNotPresent"
    tag = match["tag"] or ("" if match["digest"] else "latest")
    return "Always" if tag == "latest" else "IfNotPresent"


_short_pull_policy = lru_cache(maxsize=_IMAGE_CACHE)(_pull_policy)
_LIBRARY = "library/"  # where an image without path and registry comes from


def _is_long(name: str) -> bool:
    """Whether the path of an image, without its registry, is too long for a reference."""
    head, slash, path = name.partition("/")
    registry = "." in head or ":" in head or head == "localhost" or head != head.lower()
    if not slash:
        path = _LIBRARY + name
    elif not registry:
        path = name
    return len(path) > _REPOSITORY_CHARACTERS_MAX


def _container(obj: Json) -> None:
    if "imagePullPolicy" not in obj:
        obj["imagePullPolicy"] = pull_policy(obj.get("image", ""))


def _volume(obj: Json) -> None:
    """A volume without a source is an empty directory."""
    if not obj.keys() - {"name"}:
        obj["emptyDir"] = {}


def _pod_spec(obj: Json) -> None:
    if "securityContext" not in obj:
        obj["securityContext"] = {}
    account = obj.get("serviceAccountName") or obj.get("serviceAccount")
    if account:  # two names of one field; the newer one wins
        obj["serviceAccountName"] = obj["serviceAccount"] = account


def _pod(obj: Json) -> None:
    spec = obj.get("spec")
    if not spec:
        spec = obj["spec"] = {}
    for container in _containers(spec):
        resources = container.get("resources")
        limits = resources.get("limits") if resources else None
        if resources and limits:
            resources["requests"] = {**limits, **resources.get("requests", {})}
            _sort_requests(resources)
    if spec.get("resources"):
        _pod_level_requests(spec)
    if "enableServiceLinks" not in spec:
        spec["enableServiceLinks"] = True
    if spec.get("hostNetwork"):
        for container in _containers(spec):
            for port in container.get("ports") or ():
                if not port.get("hostPort") and port.get("containerPort"):
                    port["hostPort"] = port["containerPort"]


def _containers(spec: Json) -> Iterable[Json]:
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()


def _sort_requests(resources: Json) -> None:
    requests = resources["requests"]
    if len(requests) > 1:
        resources["requests"] = {name: requests[name] for name in sorted(requests)}


# Of what a pod as a whole may ask; hugepages-* too, which cannot be overcommitted.
_POD_LEVEL = ("cpu", "memory")


def _pod_level_requests(spec: Json) -> None:
    """Requests of the pod as a whole: what its containers ask for together, else its limits."""
    resources = spec["resources"]
    requests = dict(resources.get("requests") or {})
    for name in _POD_LEVEL:
        if name not in requests:
            total = aggregate_requests(spec, name)
            if total is not None:
                requests[name] = total
    for name, amount in (resources.get("limits") or {}).items():
        if name not in requests and (name in _POD_LEVEL or name.startswith("hugepages-")):
            requests[name] = amount
    if requests:
        resources["requests"] = requests
        _sort_requests(resources)


def aggregate_requests(spec: Json, name: str) -> str | None:
    """What the containers of a pod ask for together of one resource: the sum of those that run at
    once, or the largest moment of initialization; None if none asks."""
    family: quantity.Family | None = None

    def ask(container: Json) -> Decimal:
        nonlocal family
        amount = (container.get("resources") or {}).get("requests", {}).get(name)
        if amount is None:
            return Decimal(0)
        number, own = quantity.parse(amount)
        family = family or own
        return number

    running = sum((ask(c) for c in spec.get("containers") or ()), Decimal(0))
    sidecars = peak = Decimal(0)
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars += ask(container)
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + ask(container))
    return None if family is None else quantity.spell(max(running + sidecars, peak), family)


_CONTAINER: Default = (
    {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"},
    _container,
)

_BY_NAME: dict[str, Default] = {
    "Pod": _pod,
    "PodSpec": (
        {
            "dnsPolicy": "ClusterFirst",
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "schedulerName": "default-scheduler",
        },
        _pod_spec,
    ),
    "Container": _CONTAINER,
    "EphemeralContainer": _CONTAINER,
    "ResourceRequirements": rounding("limits", "requests"),
    "ContainerPort": {"protocol": "TCP"},
    "Probe": {
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    },
    "HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    "GRPCAction": {"service": ""},
    "ObjectFieldSelector": {"apiVersion": "v1"},
    "Volume": _volume,
    "HostPathVolumeSource": {"type": ""},
    "SecretVolumeSource": {"defaultMode": _FILE_MODE},
    "ConfigMapVolumeSource": {"defaultMode": _FILE_MODE},
    "DownwardAPIVolumeSource": {"defaultMode": _FILE_MODE},
    "ProjectedVolumeSource": {"defaultMode": _FILE_MODE},
    "ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    "ISCSIVolumeSource": {"iscsiInterface": "default"},
    "RBDVolumeSource": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "AzureDiskVolumeSource": {
        "cachingMode": "ReadWrite",
        "kind": "Shared",
        "fsType": "ext4",
        "readOnly": False,
    },
    "ScaleIOVolumeSource": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}

DEFAULTS: Mapping[str, Default] = {_CORE + name: default for name, default in _BY_NAME.items()}
