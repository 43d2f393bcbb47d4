"""What the text of a flag may be: one `Kind` for each sort of value, with its parser and its name
in help texts.

`table.py` declares flags with these. A parser takes the text (for lists, each occurrence) and
raises ValueError with words that complete `invalid argument "x" for "--flag": …`. Nothing here
reads a file: that is `files.py`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kapi import durations


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of value."""

    word: str  # in help texts
    parse: Callable[[str], Any]
    show: Callable[[Any], str] = str
    merge: Callable[[Any, Any], Any] | None = None  # for flags that may come more than once
    is_bool: bool = False
    reads: str = ""  # what a file must hold: certificate, key, ca, csv, yaml or file

    def print(self, value: Any) -> str:
        """As pflag prints what a flag holds: lists in brackets, durations down to the second."""
        if self.parse is durations.parse:
            return durations.spell_whole(value)
        if isinstance(value, tuple):
            return f"[{self.show(value)}]"
        if isinstance(value, Mapping):
            return self.show(dict(sorted(value.items())))
        return self.show(value)


def _bool(text: str) -> bool:
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _int(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'strconv.ParseFloat: parsing "{text}": invalid syntax') from None


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _one(text: str) -> tuple[str, ...]:
    return (text,)


def _map(text: str) -> Mapping[str, str]:
    out: dict[str, str] = {}
    for pair in _list(text):
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"malformed pair, expect string=string: {pair}")
        out[key.strip()] = value.strip()
    return MappingProxyType(out)


def _pair(text: str) -> Mapping[str, str]:
    """One pair, whose value may hold commas."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"malformed pair, expect string=string: {text}")
    return MappingProxyType({key.strip(): value.strip()})


def _switches(text: str) -> Mapping[str, str]:
    """As `_map`, where a key alone means true."""
    return _map(",".join(p if "=" in p else f"{p}=true" for p in _list(text)))


def _bool_map(text: str) -> Mapping[str, bool]:
    out: dict[str, bool] = {}
    for key, value in _map(text).items():
        try:
            out[key] = _bool(value)
        except ValueError:
            raise ValueError(f"invalid value of {key}={value}, err: not a bool") from None
    return MappingProxyType(out)


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        raise ValueError(f"failed to parse IP: {text!r}") from None


def _networks(text: str) -> tuple[str, ...]:
    return tuple(str(_network(part)) for part in _list(text))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"invalid CIDR address: {text}") from None


def _cidrs(text: str) -> tuple[str, ...]:
    networks = [_network(part) for part in _list(text)]
    if len(networks) > 2 or (len(networks) == 2 and networks[0].version == networks[1].version):
        raise ValueError("at most two ranges, of different IP families")
    return tuple(str(network) for network in networks)


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def port_range(text: str) -> PortRange:
    """`30000-32767`, `30000+100` or one port."""
    match = re.fullmatch(r"([0-9]{1,5})(?:([-+])([0-9]{1,5}))?", text)
    if match is None:
        raise ValueError(f"unable to parse port range: {text}")
    first = int(match[1])
    last = first if not match[3] else int(match[3]) + (first if match[2] == "+" else 0)
    if not 0 < first <= last <= 65535:
        raise ValueError(f"the port range {text} is not within 1-65535")
    return PortRange(first, last)


def _join(value: Sequence[str]) -> str:
    return ",".join(value)


def _join_map(value: Mapping[str, Any]) -> str:
    return ",".join(f"{k}={str(v).lower() if v in (True, False) else v}" for k, v in value.items())


def _concat(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    return a + b


def _overlay(a: Mapping[str, Any], b: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType({**a, **b})


def _text_bool(value: bool) -> str:
    return "true" if value else "false"


STRING = Kind("string", str)
BOOL = Kind("", _bool, _text_bool, is_bool=True)
INT = Kind("int", _int)
FLOAT = Kind("float", _float)
DURATION = Kind("duration", durations.parse, durations.spell)
LIST = Kind("strings", _list, _join, _concat)
REPEATED = Kind("string", _one, _join, _concat)  # once for each value, which may hold commas
MAP = Kind("key=value,…", _map, _join_map, _overlay)
PAIR = Kind("key=value", _pair, _join_map, _overlay)
SWITCHES = Kind("key=value,…", _switches, _join_map, _overlay)
BOOL_MAP = Kind("key=bool,…", _bool_map, _join_map, _overlay)
IP = Kind("ip", _ip)
CIDRS = Kind("cidrs", _cidrs, _join)
NETWORKS = Kind("cidrs", _networks, _join, _concat)
PORTS = Kind("ports", port_range)
DIRECTORY = Kind("path", str)
CERTIFICATE = Kind("file", str, reads="certificate")
PRIVATE_KEY = Kind("file", str, reads="key")
PUBLIC_KEYS = Kind("file", _one, _join, _concat, reads="public keys")
CA_BUNDLE = Kind("file", str, reads="ca")
CSV = Kind("file", str, reads="csv")
YAML = Kind("file", str, reads="yaml")
FILE = Kind("file", str, reads="file")


@dataclass(frozen=True, slots=True)
class Rule:
    """A bound on a parsed value; `words` says what it must be."""

    holds: Callable[[Any], bool]
    words: str


def at_least(low: float) -> Rule:
    return Rule(lambda value: bool(value >= low), f"must be at least {low:g}")


def between(low: float, high: float) -> Rule:
    return Rule(lambda value: bool(low <= value <= high), f"must be between {low:g} and {high:g}")


def one_of(*words: str) -> Rule:
    allowed = frozenset(words)
    return Rule(
        lambda value: (value in allowed) if isinstance(value, str) else allowed.issuperset(value),
        "must be of " + ", ".join(words),
    )
