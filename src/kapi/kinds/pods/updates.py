"""What may change in a pod that exists: by itself, by its status, by ephemeral containers and by
resize.

Called by the pod strategy in `pods.py` with the decoded, defaulted new pod and the old one.
https://kubernetes.io/docs/concepts/workloads/pods/#pod-update-and-replacement
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods.resources import qos_class
from kapi.kinds.pods.scheduling import validate_tolerations
from kapi.kinds.pods.validation import MIRROR_POD
from kapi.kinds.shared import go_view

Json = dict[str, Any]
Findings = list[FieldError]

_CORE = "io.k8s.api.core.v1."
_SECONDS_MAX = 2**31 - 1
FIXED_SPEC = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions "
    "to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it "
    "was previously negative)"
)


def validate_pod_change(new: Json, old: Json) -> Findings:
    """Findings about an update of the pod itself, beyond those about the new pod alone."""
    new_spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    out = annotation_changes(new, old)
    for field in ("containers", "initContainers"):
        if len(new_spec.get(field) or ()) != len(old_spec.get(field) or ()):
            text = "pod updates may not add or remove containers"
            out.append(errors.field_forbidden(f"spec.{field}", text))
            return out
    found, stop = _deadline(new_spec, old_spec)
    out += found
    if stop:
        return out
    if new_spec.get("tolerations") != old_spec.get("tolerations"):
        out += _tolerations(new_spec.get("tolerations") or (), old_spec.get("tolerations") or ())
    if new_spec.get("schedulingGates") != old_spec.get("schedulingGates"):
        out += _gates(new_spec.get("schedulingGates") or (), old_spec.get("schedulingGates") or ())
    if new_spec == old_spec:
        return out
    munged = _munged(new_spec, old_spec)
    if old_spec.get("schedulingGates"):
        out += _gated(munged, old_spec)
    if munged != old_spec:
        changed = go_view.diff(_CORE + "PodSpec", old_spec, munged)
        out.append(errors.field_forbidden("spec", f"{FIXED_SPEC}\n{changed}"))
    return out


def annotation_changes(new: Json, old: Json) -> Findings:
    before = old["metadata"].get("annotations") or {}
    after = new["metadata"].get("annotations") or {}
    where = f"metadata.annotations[{MIRROR_POD}]"
    if MIRROR_POD in before and after.get(MIRROR_POD) != before[MIRROR_POD]:
        text = "may not remove or update mirror pod annotation"
        return [errors.field_forbidden(where, text)]
    if MIRROR_POD in after and MIRROR_POD not in before:
        return [errors.field_forbidden(where, "may not add mirror pod annotation")]
    return []


def _deadline(new: Json, old: Json) -> tuple[Findings, bool]:
    """The findings, and whether they end the validation."""
    where = "spec.activeDeadlineSeconds"
    after, before = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if after is not None:
        if not 0 <= after <= _SECONDS_MAX:
            text = f"must be between 0 and {_SECONDS_MAX}, inclusive"
            return [errors.invalid_value(where, after, text)], True
        if before is not None and before < after:
            text = "must be less than or equal to previous value"
            return [errors.invalid_value(where, after, text)], True
    elif before is not None:
        text = "must not update from a positive integer to nil value"
        return [errors.invalid_value(where, None, text)], False
    return [], False


def _tolerations(new: Sequence[Json], old: Sequence[Json]) -> Findings:
    """Tolerations may be added; of an existing one only its seconds may change."""
    where = "spec.tolerations"
    bare = [_without(t, "tolerationSeconds") for t in new]
    for toleration in old:
        if _without(toleration, "tolerationSeconds") not in bare:
            text = "existing toleration can not be modified except its tolerationSeconds"
            return [errors.field_forbidden(where, text)]
    return validate_tolerations(new, where)


def _without(obj: Json, field: str) -> Json:
    return {k: v for k, v in obj.items() if k != field}


def _gates(new: Sequence[Json], old: Sequence[Json]) -> Findings:
    had = {g.get("name", "") for g in old}
    added = sorted({g.get("name", "") for g in new} - had)
    if not added:
        return []
    text = f"only deletion is allowed, but found new scheduling gates '{', '.join(added)}'"
    return [errors.field_forbidden("spec.schedulingGates", text)]


def _munged(new: Json, old: Json) -> Json:
    """The new spec with what may change put back."""
    out = dict(new)
    for field in ("containers", "initContainers"):
        if new.get(field):
            out[field] = [
                _put(container, "image", old[field][i].get("image"))
                for i, container in enumerate(new[field])
            ]
    for field in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        out = _put(out, field, old.get(field))
    grace = "terminationGracePeriodSeconds"
    if old.get(grace, 0) < 0 and new.get(grace) == 1:
        out[grace] = old[grace]
    return out


def _put(obj: Json, field: str, value: Any) -> Json:
    out = dict(obj)
    if value is None:
        out.pop(field, None)
    else:
        out[field] = value
    return out


def _gated(munged: Json, old: Json) -> Findings:
    """A pod that waits at a gate may still be bound more tightly. Takes the accepted changes out of
    `munged`.
    """
    out: Findings = []
    before, after = old.get("nodeSelector") or {}, munged.get("nodeSelector") or {}
    if before != after:
        if any(after.get(k) != v for k, v in before.items()):
            text = "only additions are allowed (no mutations or deletions)"
            out.append(errors.invalid_value("spec.nodeSelector", after, text))
        if before:
            munged["nodeSelector"] = before
        else:
            munged.pop("nodeSelector", None)
    new_affinity = (munged.get("affinity") or {}).get("nodeAffinity")
    old_affinity = (old.get("affinity") or {}).get("nodeAffinity")
    if new_affinity != old_affinity:
        out += _affinity(new_affinity or {}, old_affinity or {})
        if old.get("affinity") is None and not _without(munged["affinity"], "nodeAffinity"):
            munged.pop("affinity")
        else:
            munged["affinity"] = _put(munged.get("affinity") or {}, "nodeAffinity", old_affinity)
    return out


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _affinity(new: Json, old: Json) -> Findings:
    """Terms that are required may become narrower; the preferred ones are free."""
    before, after = old.get(_REQUIRED), new.get(_REQUIRED)
    if before is None or before == after:
        return []
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    old_terms = before.get("nodeSelectorTerms") or ()
    new_terms = (after or {}).get("nodeSelectorTerms") or ()
    if len(old_terms) != len(new_terms):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [errors.invalid_value(path, list(new_terms), text)]
    out: Findings = []
    for i, (was, now) in enumerate(zip(old_terms, new_terms, strict=True)):
        for field in ("matchExpressions", "matchFields"):
            had = was.get(field) or []
            has = now.get(field) or []
            if any(requirement not in has for requirement in had) or (
                not was.get("matchExpressions") and not was.get("matchFields") and now
            ):
                text = "only additions are allowed (no mutations or deletions)"
                shown = go_view.struct(_CORE + "NodeSelectorTerm", now)
                out.append(errors.invalid_value(f"{path}[{i}]", shown, text))
                break
    return out


# -- ephemeral containers -------------------------------------------------------------------------


def validate_ephemeral_change(new: Json, old: Json) -> Findings:
    if MIRROR_POD in (old["metadata"].get("annotations") or {}):
        return [errors.field_forbidden("", "static pods do not support ephemeral containers")]
    out: Findings = []
    where = "spec.ephemeralContainers"
    now = {c["name"]: c for c in (new.get("spec") or {}).get("ephemeralContainers") or ()}
    for container in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name = container["name"]
        if name not in now:
            text = f"existing ephemeral containers {errors.quote(name)} may not be removed\n"
            out.append(errors.field_forbidden(where, text))
        elif now[name] != container:
            changed = go_view.diff(_CORE + "EphemeralContainer", container, now[name])
            text = f"existing ephemeral containers {errors.quote(name)} may not be changed\n"
            out.append(errors.field_forbidden(where, text + changed))
    return out


# -- resize ---------------------------------------------------------------------------------------

_RESIZABLE = frozenset({"cpu", "memory"})


def keep_only_resources(spec: Json, old: Json) -> Json:
    """The old spec with the resources of the new one; the new one where containers came or went."""
    out = dict(old)
    for field in ("containers", "initContainers"):
        new_list, old_list = spec.get(field) or [], old.get(field) or []
        same = [c.get("name") for c in new_list] == [c.get("name") for c in old_list]
        if not same:
            return spec
        if old_list:
            out[field] = [
                _put(
                    _put(was, "resources", now.get("resources")),
                    "resizePolicy",
                    was.get("resizePolicy"),
                )
                for was, now in zip(old_list, new_list, strict=True)
            ]
    return _put(out, "resources", spec.get("resources") or old.get("resources"))


def validate_resize(new: Json, old: Json) -> Findings:
    if MIRROR_POD in (old["metadata"].get("annotations") or {}):
        return [errors.field_forbidden("", "static pods cannot be resized")]
    new_spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    if (old_spec.get("os") or {}).get("name") == "windows":
        return [errors.field_forbidden("", "windows pods cannot be resized")]
    for field in ("containers", "initContainers"):
        names = [[c.get("name") for c in s.get(field) or ()] for s in (new_spec, old_spec)]
        if len(names[0]) != len(names[1]):
            text = "containers may not be added or removed on resize"
            return [errors.field_forbidden(f"spec.{field}", text)]
        if names[0] != names[1]:
            text = "containers may not be renamed or reordered on resize"
            return [errors.field_forbidden(f"spec.{field}", text)]
    out: Findings = []
    before = (old.get("status") or {}).get("qosClass") or qos_class(old_spec)
    if qos_class(new_spec) != before:
        text = "Pod QOS Class may not change as a result of resizing"
        out.append(errors.invalid_value("spec", before, text))
    for field in ("containers", "initContainers"):
        for i, container in enumerate(new_spec.get(field) or ()):
            out += _removed(container, old_spec[field][i], f"spec.{field}[{i}].resources")
    if _beyond_resizable(new_spec, old_spec):
        out.append(errors.field_forbidden("spec", "only cpu and memory resources are mutable"))
    return out


def _removed(new: Json, old: Json, path: str) -> Findings:
    out: Findings = []
    after, before = new.get("resources") or {}, old.get("resources") or {}
    for field, word in (("limits", "limits"), ("requests", "requests")):
        had = _RESIZABLE & (before.get(field) or {}).keys()
        if had - (after.get(field) or {}).keys():
            text = f"resource {word} cannot be removed"
            out.append(errors.field_forbidden(f"{path}.{field}", text))
    return out


def _beyond_resizable(new: Json, old: Json) -> bool:
    for field in ("containers", "initContainers"):
        for now, was in zip(new.get(field) or (), old.get(field) or (), strict=True):
            if _fixed_amounts(now) != _fixed_amounts(was):
                return True
    return False


def _fixed_amounts(container: Json) -> dict[str, Json]:
    resources = container.get("resources") or {}
    return {
        field: {k: v for k, v in (resources.get(field) or {}).items() if k not in _RESIZABLE}
        for field in ("limits", "requests")
    }
