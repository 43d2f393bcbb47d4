"""What a server says of where it is when nobody told it."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from kapi.credentials.host_address import advertised


@pytest.mark.parametrize("bind", ["192.0.2.7", "2001:db8::7"])
def test_an_address_for_others_is_kept(bind: str) -> None:
    assert advertised(bind) == bind


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_else_it_is_one_of_the_host_or_none(bind: str) -> None:
    found = advertised(bind)
    if found:
        ip = ip_address(found)
        assert ip.version == ip_address(bind).version
        assert not ip.is_loopback
        assert not ip.is_unspecified
        assert not ip.is_link_local


def test_a_host_without_a_way_out_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError("unreachable")

    monkeypatch.setattr(socket, "socket", refuse)
    assert advertised("0.0.0.0") == ""
