"""Which addresses may be called for somebody else."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from kapi.outgoing.reach import proxyable


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("10.0.0.1", True),
        ("192.168.1.1", True),
        ("8.8.8.8", True),
        ("2001:db8::1", True),
        ("fd00::1", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("0.0.0.0", False),
        ("::", False),
        ("169.254.169.254", False),
        ("fe80::1", False),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("255.255.255.255", False),
        ("fd00:ec2::254", False),
        ("100.100.100.200", False),
    ],
)
def test_addresses(address: str, may: bool) -> None:
    assert proxyable(())(ip_address(address)) is may


def test_what_is_allowed_all_the_same() -> None:
    may = proxyable(("127.0.0.0/8", "fe80::/64"))
    for address in ("127.0.0.1", "::ffff:127.0.0.2", "fe80::1"):
        assert may(ip_address(address)), address
    for address in ("169.254.169.254", "::1"):
        assert not may(ip_address(address)), address
