"""PodSecurity: a namespace says by its labels what its pods may do; refused, warned of, or noted
for audit.

https://kubernetes.io/docs/concepts/security/pod-security-admission/
"""

from __future__ import annotations

import re
from typing import Any

from kapi import errors
from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation, refused
from kapi.admission.pod_security_checks import LEVELS, violations

Json = dict[str, Any]
_LABEL = "pod-security.kubernetes.io/"
_LATEST = "latest"
# Where the pod template stands in kinds that make pods.
_TEMPLATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "podtemplates"): ("template",),
    ("", "replicationcontrollers"): ("spec", "template"),
    ("apps", "deployments"): ("spec", "template"),
    ("apps", "replicasets"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"),
    ("apps", "daemonsets"): ("spec", "template"),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}
_POD_WRITES = ("", "ephemeralcontainers")


class PodSecurity:
    name = "PodSecurity"

    def __init__(self, namespaces: Lister, pods: Lister) -> None:
        self._namespaces = namespaces
        self._pods = pods

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        if operation not in ("CREATE", "UPDATE"):
            return False
        if (group, resource) == ("", "pods"):
            return subresource in _POD_WRITES
        if (group, resource) == ("", "namespaces"):
            return not subresource
        return not subresource and (group, resource) in _TEMPLATES

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        if (a.group, a.resource) == ("", "namespaces"):
            self._namespace(a)
            return
        namespace = self._namespaces.get("", a.namespace)
        labels = (namespace or {}).get("metadata", {}).get("labels") or {}
        if not any(label.startswith(_LABEL) for label in labels):
            return
        assert a.object is not None
        is_pod = (a.group, a.resource) == ("", "pods")
        if is_pod:
            if a.operation == "UPDATE" and not a.subresource and _insignificant(a):
                return
            meta, spec = a.object["metadata"], a.object.get("spec") or {}
        else:
            template: Json = a.object
            for name in _TEMPLATES[a.group, a.resource]:
                template = template.get(name) or {}
            meta, spec = template.get("metadata") or {}, template.get("spec") or {}
        if is_pod:
            level, version = _policy(labels, "enforce")
            a.annotate(f"{_LABEL}enforce-policy", f"{level}:{version}")
            found = violations(level, meta, spec)
            if found:
                text = f'violates PodSecurity "{level}:{version}": {found}'
                raise refused(a, text)
        level, version = _policy(labels, "audit")
        found = violations(level, meta, spec)
        if found:
            text = f'would violate PodSecurity "{level}:{version}": {found}'
            a.annotate(f"{_LABEL}audit-violations", text)
        level, version = _policy(labels, "warn")
        found = violations(level, meta, spec)
        if found:
            a.warn(f'would violate PodSecurity "{level}:{version}": {found}')

    def _namespace(self, a: Attributes) -> None:
        """The labels of a namespace name levels and versions; pods that are there already are
        warned of.
        """
        new = (a.object or {})["metadata"].get("labels") or {}
        old = (a.old or {}).get("metadata", {}).get("labels") or {}
        found = _label_findings(new)
        if found and (a.operation == "CREATE" or found != _label_findings(old)):
            raise errors.invalid("", "Namespace", a.name, found)
        level, version = _policy(new, "enforce")
        if a.operation == "CREATE" or (level, version) == _policy(old, "enforce"):
            return
        groups: dict[str, list[str]] = {}
        for pod in self._pods.list(a.name):
            reasons = violations(level, pod["metadata"], pod.get("spec") or {}, where=False)
            if reasons:
                groups.setdefault(reasons, []).append(pod["metadata"]["name"])
        if groups:
            a.warn(
                f"existing pods in namespace {errors.quote(a.name)} violate the new PodSecurity "
                f'enforce level "{level}:{version}"'
            )
        for reasons, names in sorted(groups.items(), key=lambda group: min(group[1])):
            names.sort()
            more = len(names) - 1
            plural = "s" if more > 1 else ""
            others = f" (and {more} other pod{plural})" if more else ""
            a.warn(f"{names[0]}{others}: {reasons}")


_VERSION = re.compile(r"latest\Z|v1\.(0|[1-9][0-9]*)\Z", re.ASCII)


def _label_findings(labels: Json) -> list[errors.FieldError]:
    out: list[errors.FieldError] = []
    for mode in ("enforce", "audit", "warn"):
        key = _LABEL + mode
        where = f"metadata.labels[{key}]"
        level, version = labels.get(key), labels.get(f"{key}-version")
        if level is not None and level not in LEVELS:
            text = f"must be one of {', '.join(LEVELS)}"
            out.append(errors.invalid_value(where, level, text))
        if version is not None and not _VERSION.match(version):
            text = 'must be "latest" or "v1.x"'
            out.append(errors.invalid_value(f"metadata.labels[{key}-version]", version, text))
    return out


def _policy(labels: Json, mode: str) -> tuple[str, str]:
    """Level and version of a mode; a level that does not exist is the strictest."""
    level = labels.get(_LABEL + mode, "privileged")
    version = labels.get(f"{_LABEL}{mode}-version", _LATEST)
    return (level if level in LEVELS else "restricted"), version


def _insignificant(a: Attributes) -> bool:
    """An update that can change nothing that is checked."""
    new, old = (a.object or {}).get("spec") or {}, (a.old or {}).get("spec") or {}
    if new == old:
        return True
    ignored = ("activeDeadlineSeconds", "tolerations", "schedulingGates")
    return all(
        new.get(field) == old.get(field)
        for field in new.keys() | old.keys()
        if field not in ignored
    )
