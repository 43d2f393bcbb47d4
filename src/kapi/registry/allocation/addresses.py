"""Addresses and networks in text: read as older fields accept them, and findings about them.

Older fields take IPv4 with leading zeros when they held it before; a new value obeys the strict
syntax. Pure; used by the checks of kinds and by the allocation of service addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

from kapi.errors import FieldError, invalid_value, quote

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NOT_AN_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NOT_A_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def parse_ip(text: str) -> Address | None:
    """An address as older fields accept it: leading zeros in IPv4 are decimal; no zone."""
    if "%" in text:
        return None
    try:
        if ":" in text:
            return ipaddress.IPv6Address(text)
        return ipaddress.IPv4Address(_without_zeros(text))
    except ValueError:
        return None


def parse_cidr(text: str) -> Network | None:
    """A network; bits beyond the prefix are dropped, leading zeros accepted."""
    address, slash, prefix = text.partition("/")
    if not slash or not prefix.isdigit() or not prefix.isascii() or len(prefix) > 3:
        return None
    ip = parse_ip(address)
    if ip is None or int(prefix) > ip.max_prefixlen:
        return None
    return ipaddress.ip_network((ip, int(prefix)), strict=False)


def _without_zeros(text: str) -> str:
    return ".".join(part.lstrip("0") or "0" if part.isdigit() else part for part in text.split("."))


def ip_family(text: str) -> str:
    """IPv4 or IPv6, or nothing for what is no address."""
    ip = parse_ip(text)
    return "" if ip is None else f"IPv{ip.version}"


def ip(value: str, path: str, *, old: Sequence[str] = ()) -> list[FieldError]:
    """An address in a field that came before the strict syntax; those in `old` are left alone."""
    if value in old:
        return []
    address = parse_ip(value)
    if address is None:
        return [invalid_value(path, value, NOT_AN_IP)]
    if address.version == 4 and _without_zeros(value) != value:
        return [invalid_value(path, value, "must not have leading 0s")]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return [invalid_value(path, value, "must not be an IPv4-mapped IPv6 address")]
    return []


def cidr(value: str, path: str, *, old: Sequence[str] = ()) -> list[FieldError]:
    """A network in a field that came before the strict syntax; those in `old` are left alone."""
    if value in old:
        return []
    network = parse_cidr(value)
    if network is None:
        return [invalid_value(path, value, NOT_A_CIDR)]
    address, _, prefix = value.partition("/")
    if network.version == 4 and _without_zeros(address) != address:
        return [invalid_value(path, value, "must not have leading 0s in IP")]
    if len(prefix) > 1 and prefix[0] == "0":
        return [invalid_value(path, value, "must not have leading 0s in prefix length")]
    if parse_ip(address) != network.network_address:
        return [invalid_value(path, value, "must not have bits set beyond the prefix length")]
    return []


def canonical_ip(value: str, path: str) -> list[FieldError]:
    """An address in a field that takes the canonical spelling only."""
    address = parse_ip(value)
    if address is None:
        return [invalid_value(path, value, NOT_AN_IP)]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if str(address) != value:
        return [invalid_value(path, value, f'must be in canonical form ("{address}")')]
    return []


def canonical_cidr(value: str, path: str) -> list[FieldError]:
    """A network in a field that takes the canonical spelling only."""
    network = parse_cidr(value)
    if network is None:
        return [invalid_value(path, value, NOT_A_CIDR)]
    if str(network) != value:
        return [invalid_value(path, value, f'must be in canonical form ("{network}")')]
    return []


def interface_address(value: str, path: str) -> list[FieldError]:
    """An address with the length of its network's prefix, in the canonical spelling."""
    text, _, _ = value.partition("/")
    network, address = parse_cidr(value), parse_ip(text)
    if network is None or address is None:
        words = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        return [invalid_value(path, value, words)]
    size = network.prefixlen
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address, size = address.ipv4_mapped, size - 96 if size > 32 else size
    shown = f"{address}/{size}"
    if shown != value:
        return [invalid_value(path, value, f'must be in canonical form ("{shown}")')]
    return []


def non_special_ip(value: str, path: str) -> list[FieldError]:
    """An address of an endpoint: not loopback, link-local or unspecified."""
    address = parse_ip(value)
    if address is None:
        return [invalid_value(path, value, "must be a valid IP address")]
    out = []
    if address.is_unspecified:
        out.append(invalid_value(path, value, f"may not be unspecified ({value})"))
    if address.is_loopback:
        text = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
        out.append(invalid_value(path, value, text))
    if address.is_link_local:
        text = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        out.append(invalid_value(path, value, text))
    if address in _LOCAL_MULTICAST[address.version]:
        text = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        out.append(invalid_value(path, value, text))
    return out


def ip_warnings(value: str, path: str) -> list[str]:
    """What to say of an accepted address that is spelled in an odd way."""
    address = parse_ip(value)
    if address is None:
        return []
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if mapped is not None or (address.version == 4 and str(address) != value):
        return [f"{path}: {_odd('IP address', value, mapped or address)}"]
    if str(address) != value:
        return [f"{path}: {_not_canonical('IPv6 address', value, address)}"]
    return []


def cidr_warnings(value: str, path: str) -> list[str]:
    """What to say of an accepted network that is spelled in an odd way."""
    network = parse_cidr(value)
    if network is None:
        return []
    text, _, prefix = value.partition("/")
    address = parse_ip(text)
    out: list[str] = []
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    shown: Address | Network = network
    if mapped is not None and network.prefixlen >= 96:
        shown = ipaddress.ip_network((mapped, network.prefixlen - 96), strict=False)
    if address != network.network_address:
        alone = f"{mapped or address}/{network.max_prefixlen}"
        out.append(
            f"{path}: CIDR value {quote(value)} is ambiguous in this context "
            f"(should be {quote(str(shown))} or {quote(alone)}?)"
        )
    zeros = prefix != str(int(prefix)) or (network.version == 4 and str(address) != text)
    if mapped is not None or zeros:
        out.append(f"{path}: {_odd('CIDR value', value, shown)}")
    if not out and str(network) != value:
        out.append(f"{path}: {_not_canonical('IPv6 CIDR value', value, network)}")
    return out


def _odd(what: str, value: str, better: object) -> str:
    return f"non-standard {what} {quote(value)} is invalid: use {quote(str(better))}"


def _not_canonical(what: str, value: str, better: object) -> str:
    return f"{what} {quote(value)} should be in RFC 5952 canonical format ({quote(str(better))})"


_LOCAL_MULTICAST: Mapping[int, Network] = {
    4: ipaddress.IPv4Network("224.0.0.0/24"),
    6: ipaddress.IPv6Network("ff02::/16"),
}
