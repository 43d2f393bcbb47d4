"""PodSecurity: a namespace says by its labels what its pods may do; refused, warned of, or noted
for audit.

Levels and versions, defaults and exemptions are in `policy.py`, what a level forbids
in `levels.py`.
https://kubernetes.io/docs/concepts/security/pod-security-admission/
"""

from __future__ import annotations

from typing import Any

from kapi import errors
from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation, refused
from kapi.admission.pod_security import policy as policies
from kapi.admission.pod_security.levels import LEVELS, violations
from kapi.admission.pod_security.policy import LABEL, LevelVersion, Policy, Settings

Json = dict[str, Any]
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


# Pods that are looked at when the level of their namespace changes; the rest is only counted.
PODS_MAX = 3000


class PodSecurity:
    name = "PodSecurity"

    def __init__(self, namespaces: Lister, pods: Lister, settings: Settings) -> None:
        self._namespaces = namespaces
        self._pods = pods
        self._settings = settings

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
        is_pod = (a.group, a.resource) == ("", "pods")
        exemption = self._exemption(a)
        if exemption:
            _annotate(a, "exempt", exemption)
            return
        if is_pod and a.operation == "UPDATE" and not a.subresource and _insignificant(a):
            return
        policy = self._policy(self._namespaces.get("", a.namespace))
        if policy.free:
            if is_pod:
                _annotate(a, "enforce-policy", str(policy.enforce))
            return
        assert a.object is not None
        template: Json = a.object
        for name in () if is_pod else _TEMPLATES[a.group, a.resource]:
            template = template.get(name) or {}
        meta, spec = template.get("metadata") or {}, template.get("spec") or {}
        if spec.get("runtimeClassName") in self._settings.runtime_classes:
            _annotate(a, "exempt", "runtimeClass")
            return
        self._judge(a, policy, meta, spec, enforced=is_pod)

    def _judge(
        self, a: Attributes, policy: Policy, meta: Json, spec: Json, *, enforced: bool
    ) -> None:
        known: dict[LevelVersion, str] = {}

        def found(at: LevelVersion) -> str:
            if at not in known:
                known[at] = violations(at.level, meta, spec, version=at.version)
            return known[at]

        audit, warn, enforce = policy.audit, policy.warn, policy.enforce
        if found(audit):
            _annotate(a, "audit-violations", f'would violate PodSecurity "{audit}": {found(audit)}')
        if enforced:
            _annotate(a, "enforce-policy", str(enforce))
            if found(enforce):
                raise refused(a, f'violates PodSecurity "{enforce}": {found(enforce)}')
        if found(warn):
            a.warn(f'would violate PodSecurity "{warn}": {found(warn)}')

    def _exemption(self, a: Attributes) -> str:
        if a.namespace in self._settings.namespaces:
            return "namespace"
        return "user" if a.user.name in self._settings.usernames else ""

    def _policy(self, namespace: Json | None) -> Policy:
        labels = ((namespace or {}).get("metadata") or {}).get("labels") or {}
        if not any(label.startswith(LABEL) for label in labels):
            return self._settings.defaults
        return policies.of_labels(labels, self._settings.defaults)

    # -- namespaces -------------------------------------------------------------------------------

    def _namespace(self, a: Attributes) -> None:
        """The labels of a namespace name levels and versions; pods that are there already are
        warned of.
        """
        new = (a.object or {})["metadata"].get("labels") or {}
        old = (a.old or {}).get("metadata", {}).get("labels") or {}
        found = policies.findings(new)
        if found and (a.operation == "CREATE" or found != policies.findings(old)):
            raise errors.invalid("", "Namespace", a.name, found)
        after, before = self._policy(a.object), self._policy(a.old)
        changed = a.operation == "CREATE" or after != before
        if a.name in self._settings.namespaces:
            if changed and not after.free and after != self._settings.defaults:
                name = errors.quote(a.name)
                text = f"namespace {name} is exempt from Pod Security, and the policy "
                a.warn(f"{text}({after.compact()}) will be ignored")
            return
        if a.operation == "UPDATE" and _is_stricter(after.enforce, before.enforce):
            self._warn_of_pods(a, after.enforce)

    def _warn_of_pods(self, a: Attributes, at: LevelVersion) -> None:
        pods = self._pods.list(a.name)
        groups: dict[str, list[str]] = {}
        for pod in _in_order(pods)[:PODS_MAX]:
            spec = pod.get("spec") or {}
            if spec.get("runtimeClassName") in self._settings.runtime_classes:
                continue
            reasons = violations(at.level, pod["metadata"], spec, version=at.version, where=False)
            if reasons:
                groups.setdefault(reasons, []).append(pod["metadata"]["name"])
        if len(pods) > PODS_MAX:
            a.warn(
                f"new PodSecurity enforce level only checked against the first {PODS_MAX} of "
                f"{len(pods)} existing pods"
            )
        if groups:
            a.warn(
                f"existing pods in namespace {errors.quote(a.name)} violate the new PodSecurity "
                f'enforce level "{at}"'
            )
        for reasons, names in sorted(groups.items(), key=lambda group: min(group[1])):
            names.sort()
            more = len(names) - 1
            plural = "s" if more > 1 else ""
            others = f" (and {more} other pod{plural})" if more else ""
            a.warn(f"{names[0]}{others}: {reasons}")


def _in_order(pods: list[Json]) -> list[Json]:
    """The first pod of each controller, and those without one, come before the others."""
    seen: set[str] = set()
    first: list[Json] = []
    alike: list[Json] = []
    for pod in pods:
        owners = pod["metadata"].get("ownerReferences") or ()
        uid = next((o.get("uid", "") for o in owners if o.get("controller")), "")
        (alike if uid and uid in seen else first).append(pod)
        seen.add(uid)
    return first + alike


def _is_stricter(new: LevelVersion, old: LevelVersion) -> bool:
    """Whether pods that were allowed may not be any more."""
    if new == old or new.level == "privileged":
        return False
    looser = LEVELS.index(new.level) <= LEVELS.index(old.level)
    return not (looser and new.version == old.version)


def _annotate(a: Attributes, name: str, value: str) -> None:
    a.annotate(LABEL + name, value)


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
