"""Addresses and networks as fields accept them."""

from __future__ import annotations

import pytest

from kapi.registry.allocation import addresses


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("10.0.0.1", "IPv4"),
        ("010.000.0.01", "IPv4"),  # as older clients wrote it
        ("::1", "IPv6"),
        ("fe80::1%eth0", ""),
        ("10.0.0.256", ""),
        ("10.0.0", ""),
        ("", ""),
    ],
)
def test_families(text: str, family: str) -> None:
    assert addresses.ip_family(text) == family


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("010.0.0.0/8", "10.0.0.0/8"),
        ("fd00::/64", "fd00::/64"),
        ("10.0.0.0", None),
        ("10.0.0.0/33", None),
        ("10.0.0.0/-1", None),
        ("10.0.0.0/٣", None),
        ("/8", None),
    ],
)
def test_networks(text: str, found: str | None) -> None:
    network = addresses.parse_cidr(text)
    assert (None if network is None else str(network)) == found


def test_canonical_spellings() -> None:
    for text in ("10.0.0.1", "fd00::1"):
        assert addresses.canonical_ip(text, "f") == []
    for text in ("010.0.0.1", "FD00::1", "fd00:0::1", "::ffff:1.2.3.4", "x"):
        assert len(addresses.canonical_ip(text, "f")) == 1
    assert addresses.canonical_cidr("10.0.0.0/8", "f") == []
    for text in ("10.0.0.1/8", "10.0.0.0/08", "x"):
        assert len(addresses.canonical_cidr(text, "f")) == 1


def test_what_stood_there_may_stay() -> None:
    assert len(addresses.ip("x", "f")) == 1
    assert len(addresses.ip("::ffff:1.2.3.4", "f")) == 1
    assert addresses.ip("x", "f", old=["x"]) == []
    assert addresses.cidr("x", "f", old=["x"]) == []


@pytest.mark.parametrize("text", ["0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "::1", "x"])
def test_special_addresses(text: str) -> None:
    assert len(addresses.non_special_ip(text, "f")) >= 1
    assert addresses.non_special_ip("10.0.0.1", "f") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", ""),
        ("2001:db8::1", ""),
        ("nothing", ""),
        ("010.0.0.1", 'non-standard IP address "010.0.0.1"{} "10.0.0.1"'),
        ("::ffff:1.2.3.4", 'non-standard IP address "::ffff:1.2.3.4"{} "1.2.3.4"'),
        (
            "2001:DB8:0::1",
            'IPv6 address "2001:DB8:0::1" should be in RFC 5952 canonical format ("2001:db8::1")',
        ),
    ],
)
def test_oddly_spelled_addresses(text: str, expected: str) -> None:
    found = addresses.ip_warnings(text, "p")
    assert found == ([f"p: {expected.format(ODD)}"] if expected else [])


ODD = " is invalid: use"
AMBIGUOUS = 'CIDR value "{}" is ambiguous in this context (should be "{}" or "{}"?)'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.0/8", []),
        ("2001:db8::/32", []),
        ("nothing", []),
        ("10.1.0.0/8", [AMBIGUOUS.format("10.1.0.0/8", "10.0.0.0/8", "10.1.0.0/32")]),
        ("10.0.0.0/08", [f'non-standard CIDR value "10.0.0.0/08"{ODD} "10.0.0.0/8"']),
        (
            "::ffff:1.2.3.4/120",
            [
                AMBIGUOUS.format("::ffff:1.2.3.4/120", "1.2.3.0/24", "1.2.3.4/128"),
                f'non-standard CIDR value "::ffff:1.2.3.4/120"{ODD} "1.2.3.0/24"',
            ],
        ),
        (
            "2001:DB8::/32",
            [
                'IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format '
                '("2001:db8::/32")'
            ],
        ),
    ],
)
def test_oddly_spelled_networks(text: str, expected: list[str]) -> None:
    assert addresses.cidr_warnings(text, "p") == [f"p: {warning}" for warning in expected]
