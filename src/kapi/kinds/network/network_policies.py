"""NetworkPolicy: default policy types, peers, ports and blocks.

https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
"""

from __future__ import annotations

from typing import Any

from kapi.errors import FieldError, field_forbidden, invalid_value, not_supported, required
from kapi.kinds.shared import checks, declared
from kapi.kinds.shared.declared import Field, Struct
from kapi.registry.allocation.addresses import cidr_warnings
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

_TYPES = ("Ingress", "Egress")
_PROTOCOLS = ("TCP", "UDP", "SCTP")


def policy_defaults(spec: Json) -> None:
    """A policy is about what comes in, and about what goes out if it has rules for that."""
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


class NetworkPolicyStrategy(Strategy):
    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        before = _blocks((old or {}).get("spec") or {})
        out = checks.label_selector(spec.get("podSelector") or {}, "spec.podSelector")
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for i, rule in enumerate(spec.get(direction) or ()):
                path = f"spec.{direction}[{i}]"
                for k, port in enumerate(rule.get("ports") or ()):
                    out += _port(port, f"{path}.ports[{k}]")
                for k, peer in enumerate(rule.get(peers) or ()):
                    out += _peer(peer, f"{path}.{peers}[{k}]", before)
        types = spec.get("policyTypes") or []
        if len(types) > len(_TYPES):
            text = "may not specify more than two policyTypes"
            out.append(invalid_value("spec.policyTypes", types, text))
            types = []
        for i, kind in enumerate(types):
            if kind not in _TYPES:
                out.append(not_supported(f"spec.policyTypes[{i}]", kind, _TYPES))
        return out + declared.findings(_DECLARED, "NetworkPolicy", obj, old)

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        out: list[str] = []
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for i, rule in enumerate((obj.get("spec") or {}).get(direction) or ()):
                for j, peer in enumerate(rule.get(peers) or ()):
                    block, path = peer.get("ipBlock") or {}, f"spec.{direction}[{i}].{peers}[{j}]"
                    out += cidr_warnings(block.get("cidr", ""), f"{path}.ipBlock.cidr")
                    for k, text in enumerate(block.get("except") or ()):
                        out += cidr_warnings(text, f"{path}.ipBlock.except[{k}]")
        return out


def _blocks(spec: Json) -> list[str]:
    """The networks that a stored policy names; they stay valid whatever their syntax."""
    out: list[str] = []
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(direction) or ():
            for peer in rule.get(peers) or ():
                block = peer.get("ipBlock") or {}
                out += [block.get("cidr", ""), *(block.get("except") or ())]
    return out


def _port(port: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    protocol, number, end = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in _PROTOCOLS:
        out.append(not_supported(f"{path}.protocol", protocol, _PROTOCOLS))
    if number is None:
        if end is not None:
            text = "may not be specified when `port` is not specified"
            out.append(invalid_value(f"{path}.endPort", end, text))
    elif isinstance(number, str):
        if end is not None:
            text = "may not be specified when `port` is non-numeric"
            out.append(invalid_value(f"{path}.endPort", end, text))
        out += checks.each(f"{path}.port", number, checks.port_name(number))
    else:
        out += checks.port(number, f"{path}.port")
        if end is not None:
            if end < number:
                text = "must be greater than or equal to `port`"
                out.append(invalid_value(f"{path}.endPort", number, text))
            out += checks.port(end, f"{path}.endPort")
    return out


def _peer(peer: Json, path: str, known: list[str]) -> list[FieldError]:
    out: list[FieldError] = []
    count = 0
    for name in ("podSelector", "namespaceSelector"):
        if peer.get(name) is not None:
            count += 1
            out += checks.label_selector(peer[name], f"{path}.{name}")
    block = peer.get("ipBlock")
    if block is not None:
        count += 1
        out += _block(block, f"{path}.ipBlock", known)
    if count == 0:
        out.append(required(path, "must specify a peer"))
    elif count > 1 and block is not None:
        out.append(field_forbidden(path, "may not specify both ipBlock and another peer"))
    return out


def _block(block: Json, path: str, known: list[str]) -> list[FieldError]:
    text = block.get("cidr", "")
    if not text:
        return []  # the types declare that there must be one
    out = checks.cidr(text, f"{path}.cidr", old=known)
    network = checks.parse_cidr(text)
    for i, hole in enumerate(block.get("except") or ()):
        where = f"{path}.except[{i}]"
        out += checks.cidr(hole, where, old=known)
        inner = checks.parse_cidr(hole)
        if network is None or inner is None:
            continue
        inside = (
            network.version == inner.version
            and inner.network_address in network
            and inner.prefixlen > network.prefixlen
        )
        if not inside:
            out.append(invalid_value(where, hole, "must be a strict subset of `cidr`"))
    return out


# What the types declare.
_DECLARED: declared.Types = {
    "NetworkPolicy": Struct(fields=(Field(name="spec", type="NetworkPolicySpec"),)),
    "NetworkPolicySpec": Struct(
        fields=(Field(name="ingress", each="IngressRule"), Field(name="egress", each="EgressRule"))
    ),
    "IngressRule": Struct(fields=(Field(name="from", each="Peer"),)),
    "EgressRule": Struct(fields=(Field(name="to", each="Peer"),)),
    "Peer": Struct(fields=(Field(name="ipBlock", type="IPBlock", pointer=True),)),
    "IPBlock": Struct(fields=(Field(name="cidr", gates=(declared.required,)),)),
}
