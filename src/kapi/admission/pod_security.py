"""PodSecurity: a namespace says by its labels what its pods may do; refused, warned of, or noted
for audit.

https://kubernetes.io/docs/concepts/security/pod-security-admission/
"""

from __future__ import annotations

from typing import Any

from kapi import errors
from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation
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

    def __init__(self, namespaces: Lister) -> None:
        self._namespaces = namespaces

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        if operation not in ("CREATE", "UPDATE"):
            return False
        if (group, resource) == ("", "pods"):
            return subresource in _POD_WRITES
        return not subresource and (group, resource) in _TEMPLATES

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
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
                raise errors.forbidden(a.group, a.resource, a.name, text)
        level, version = _policy(labels, "audit")
        found = violations(level, meta, spec)
        if found:
            text = f'would violate PodSecurity "{level}:{version}": {found}'
            a.annotate(f"{_LABEL}audit-violations", text)
        level, version = _policy(labels, "warn")
        found = violations(level, meta, spec)
        if found:
            a.warn(f'would violate PodSecurity "{level}:{version}": {found}')


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
