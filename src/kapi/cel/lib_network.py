"""URLs, IP addresses and blocks of them.

https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-url-library
"""

from __future__ import annotations

import ipaddress
from typing import Any, ClassVar

from kapi.cel.declarations import Library
from kapi.cel.values import EvalError
from kapi.errors import quote as quoted
from kapi.gonet import addresses, urls
from kapi.schema import formats

TABLE = """
url string_to_url string -> kubernetes.URL
isURL is_url_string string -> bool
getScheme url_get_scheme kubernetes.URL.() -> string
getHost url_get_host kubernetes.URL.() -> string
getHostname url_get_hostname kubernetes.URL.() -> string
getPort url_get_port kubernetes.URL.() -> string
getEscapedPath url_get_escaped_path kubernetes.URL.() -> string
getQuery url_get_query kubernetes.URL.() -> map(string, list(string))
ip string_to_ip string -> net.IP
ip cidr_ip net.CIDR.() -> net.IP
isIP is_ip string -> bool
ip.isCanonical ip_is_canonical string -> bool
family ip_family net.IP.() -> int
isUnspecified ip_is_unspecified net.IP.() -> bool
isLoopback ip_is_loopback net.IP.() -> bool
isLinkLocalMulticast ip_is_link_local_multicast net.IP.() -> bool
isLinkLocalUnicast ip_is_link_local_unicast net.IP.() -> bool
isGlobalUnicast ip_is_global_unicast net.IP.() -> bool
string ip_to_string net.IP -> string
cidr string_to_cidr string -> net.CIDR
isCIDR is_cidr string -> bool
containsIP cidr_contains_ip_string net.CIDR.(string) -> bool
containsIP cidr_contains_ip_ip net.CIDR.(net.IP) -> bool
containsCIDR cidr_contains_cidr_string net.CIDR.(string) -> bool
containsCIDR cidr_contains_cidr net.CIDR.(net.CIDR) -> bool
prefixLength cidr_prefix_length net.CIDR.() -> int
masked cidr_masked net.CIDR.() -> net.CIDR
string cidr_to_string net.CIDR -> string
"""


class Url:
    __slots__ = ("parts", "text")
    cel_type: ClassVar[str] = "kubernetes.URL"

    def __init__(self, parts: urls.Url) -> None:
        self.parts = parts
        self.text = str(parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


_is_url = formats.CHECKS["uri"]


def _url(text: str) -> Url:
    try:
        urls.parse_request_uri(text)  # must be absolute; takes no notice of a fragment
        return Url(urls.parse(text))
    except urls.UrlError as e:
        raise EvalError(f"URL parse error during conversion from string: {e}") from None


# -- addresses ------------------------------------------------------------------------------------

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Ip:
    __slots__ = ("address",)
    cel_type: ClassVar[str] = "net.IP"

    def __init__(self, address: Address) -> None:
        self.address = address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ip) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)


class Cidr:
    __slots__ = ("address", "bits", "network")
    cel_type: ClassVar[str] = "net.CIDR"

    def __init__(self, address: Address, bits: int) -> None:
        self.address = address
        self.bits = bits
        self.network = ipaddress.ip_network((address, bits), strict=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cidr) and self.address == other.address and self.bits == other.bits

    def __hash__(self) -> int:
        return hash((self.address, self.bits))


def _parsed(text: str) -> Address | str:
    """An address, or why there is none."""
    head = f"IP Address {quoted(text)} parse error during conversion from string: "
    try:
        addresses.version_of(text)
    except addresses.AddressError as e:
        return f"{head}{e}"
    if "%" in text:
        return f"IP address {quoted(text)} with zone value is not allowed"
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return f"IPv4-mapped IPv6 address {quoted(text)} is not allowed"
    return address


def _ip(text: str) -> Ip:
    found = _parsed(text)
    if isinstance(found, str):
        raise EvalError(found)
    return Ip(found)


def _is_ip(text: str) -> bool:
    return not isinstance(_parsed(text), str)


def _family(ip: Ip) -> int:
    return ip.address.version


def _link_local_multicast(ip: Ip) -> bool:
    a = ip.address
    if isinstance(a, ipaddress.IPv4Address):
        return a in ipaddress.IPv4Network("224.0.0.0/24")
    return a.packed[0] == 0xFF and a.packed[1] & 0x0F == 0x02


def _global_unicast(ip: Ip) -> bool:
    a = ip.address
    if a == ipaddress.IPv4Address("255.255.255.255"):
        return False
    return not (a.is_unspecified or a.is_loopback or a.is_multicast or a.is_link_local)


def _cidr_of(text: str) -> Cidr | str:
    """A block, or why there is none."""
    head = (
        "network address parse error during conversion from string: "
        f"netip.ParsePrefix({quoted(text)}): "
    )
    address_text, slash, bits = text.rpartition("/")
    if not slash:
        return f"{head}no '/'"
    try:
        addresses.version_of(address_text)
    except addresses.AddressError as e:
        return f"{head}{e}"
    if "%" in address_text:
        return f"{head}IPv6 zones cannot be present in a prefix"
    address = ipaddress.ip_address(address_text)
    if not (bits.isdigit() and bits.isascii()) or (len(bits) > 1 and bits[0] == "0"):
        return f"{head}bad bits after slash: {quoted(bits)}"
    if len(bits) > 3 or int(bits) > address.max_prefixlen:
        return f"{head}prefix length out of range"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return f"IPv4-mapped IPv6 address {quoted(text)} is not allowed"
    return Cidr(address, int(bits))


def _cidr(text: str) -> Cidr:
    found = _cidr_of(text)
    if isinstance(found, str):
        raise EvalError(found)
    return found


def _contains_ip(cidr: Cidr, ip: Ip) -> bool:
    return ip.address.version == cidr.address.version and ip.address in cidr.network


def _contains_cidr(cidr: Cidr, other: Cidr) -> bool:
    return cidr.bits <= other.bits and _contains_ip(cidr, Ip(other.network.network_address))


def library() -> Library:
    runs: dict[str, Any] = {
        "string_to_url": _url,
        "is_url_string": _is_url,
        "url_get_scheme": lambda url: url.parts.scheme,
        "url_get_host": lambda url: url.parts.host,
        "url_get_hostname": lambda url: url.parts.hostname,
        "url_get_port": lambda url: url.parts.port,
        "url_get_escaped_path": lambda url: url.parts.escaped_path,
        "url_get_query": lambda url: urls.query_values(url.parts.query),
        "string_to_ip": _ip,
        "cidr_ip": lambda cidr: Ip(cidr.address),
        "is_ip": _is_ip,
        "ip_is_canonical": lambda text: str(_ip(text).address) == text,
        "ip_family": _family,
        "ip_is_unspecified": lambda ip: ip.address.is_unspecified,
        "ip_is_loopback": lambda ip: ip.address.is_loopback,
        "ip_is_link_local_multicast": _link_local_multicast,
        "ip_is_link_local_unicast": lambda ip: ip.address.is_link_local,
        "ip_is_global_unicast": _global_unicast,
        "ip_to_string": lambda ip: str(ip.address),
        "string_to_cidr": _cidr,
        "is_cidr": lambda text: isinstance(_cidr_of(text), Cidr),
        "cidr_contains_ip_string": lambda cidr, text: _contains_ip(cidr, _ip(text)),
        "cidr_contains_ip_ip": _contains_ip,
        "cidr_contains_cidr_string": lambda cidr, text: _contains_cidr(cidr, _cidr(text)),
        "cidr_contains_cidr": _contains_cidr,
        "cidr_prefix_length": lambda cidr: cidr.bits,
        "cidr_masked": lambda cidr: Cidr(cidr.network.network_address, cidr.bits),
        "cidr_to_string": lambda cidr: f"{cidr.address}/{cidr.bits}",
    }
    return Library(TABLE, runs)
