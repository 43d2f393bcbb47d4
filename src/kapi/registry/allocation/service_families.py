"""Which address families a service has: from its policy, its addresses, its families and the
cluster's.

Called by `allocate.py` before anything is reserved, and visible in a dry run too.
https://kubernetes.io/docs/concepts/services-networking/dual-stack/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi.errors import FieldError, invalid, invalid_value
from kapi.registry.allocation import addresses
from kapi.registry.allocation import service_fields as fields

Json = dict[str, Any]


def settle_families(obj: Json, old: Json | None, configured: Sequence[str]) -> None:
    """Fill in ipFamilyPolicy and ipFamilies. Raises ApiError (422).

    `configured` are the families of the cluster, the default one first.
    """
    spec = obj["spec"]
    if spec["type"] == "ExternalName" or _same_preferred(spec, old):
        return
    selectorless = fields.headless(spec) and not spec.get("selector")
    if "ipFamilyPolicy" not in spec:
        inherited = (old or {}).get("ipFamilyPolicy")
        spec["ipFamilyPolicy"] = inherited or (
            "RequireDualStack" if selectorless else "SingleStack"
        )
    _refuse(obj, fields.cluster_ip_errors(spec, old))
    errors = _policy_errors(spec, old)
    families: list[str] = list(spec.get("ipFamilies") or ())
    for i, text in enumerate(spec.get("clusterIPs") or ()):
        if text == fields.NO_ADDRESS:
            break
        family = addresses.ip_family(text)
        if i >= len(families):
            if family in configured:
                families.append(family)
            else:
                words = f"{family} is not configured on this cluster"
                errors.append(invalid_value(f"spec.clusterIPs[{i}]", spec["clusterIPs"], words))
    _refuse(obj, errors)
    dual = spec["ipFamilyPolicy"] != "SingleStack"
    if selectorless:
        families = families or [configured[0]]
        if len(families) < 2 and dual:
            families.append(_other(families[0]))
        spec["ipFamilies"] = families
        return
    if spec["ipFamilyPolicy"] == "RequireDualStack" and len(configured) < 2:
        words = "this cluster is not configured for dual-stack services"
        errors.append(invalid_value("spec.ipFamilyPolicy", "RequireDualStack", words))
    for i, family in enumerate(families):
        if family not in configured:
            words = "not configured on this cluster"
            errors.append(invalid_value(f"spec.ipFamilies[{i}]", family, words))
    _refuse(obj, errors)
    families = families or [configured[0]]
    if dual and len(families) == 1 and len(configured) == 2:
        families.append(_other(families[0]))
    spec["ipFamilies"] = families


def _policy_errors(spec: Json, old: Json | None) -> list[FieldError]:
    """A policy against the lengths of the lists; a change to SingleStack shortens them."""
    policy, path = spec["ipFamilyPolicy"], "spec.ipFamilyPolicy"
    out: list[FieldError] = []
    for name, what, plural in (
        ("clusterIPs", "cluster IP", "cluster IPs"),
        ("ipFamilies", "IP family", "IP families"),
    ):
        new, before = spec.get(name) or [], (old or {}).get(name) or []
        if old is not None and policy == "SingleStack":
            if new == before and len(new) > 1:
                spec[name] = new[:1]
        elif old is not None and 0 < len(new) < len(before):
            words = f"must be 'SingleStack' to release the secondary {what}"
            out.append(invalid_value(path, policy, words))
        if policy == "SingleStack" and len(spec.get(name) or ()) == 2:
            words = (
                "must be 'RequireDualStack' or 'PreferDualStack' when multiple "
                f"{plural} are specified"
            )
            out.append(invalid_value(path, policy, words))
    return out


def _refuse(obj: Json, found: list[FieldError]) -> None:
    if found:
        raise invalid("", "Service", obj["metadata"].get("name", ""), found)


def _other(family: str) -> str:
    return "IPv6" if family == "IPv4" else "IPv4"


def _same_preferred(spec: Json, old: Json | None) -> bool:
    """An update that leaves a PreferDualStack service as it is: a change of the cluster does not
    reach it.
    """
    return (
        old is not None
        and old.get("type") != "ExternalName"
        and spec.get("ipFamilyPolicy") == old.get("ipFamilyPolicy") == "PreferDualStack"
        and (spec.get("clusterIPs") or []) == (old.get("clusterIPs") or [])
        and (spec.get("ipFamilies") or []) == (old.get("ipFamilies") or [])
    )
