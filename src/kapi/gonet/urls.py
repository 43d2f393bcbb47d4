"""URLs as Go's net/url reads them, with its words for what is none.

For every URL that a client may write and whose refusal it sees: of webhooks, of approvals, of the
format `uri`, of the URL library of expressions; and for where the server then goes, so that both
readings are one. Go's rules differ from those of urllib: a scheme without `//` is opaque, control
characters and stray percent signs are errors, a host in brackets is an address of version 6, the
host of http and https has one colon at most.
https://pkg.go.dev/net/url#Parse
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from kapi.errors import quote
from kapi.gonet.addresses import AddressError, version_of

_LETTERS = string.ascii_letters
_SAFE = frozenset((_LETTERS + string.digits + "-_.~").encode())
# What need not be escaped beside these, by the part of a URL.
_IN_HOST = frozenset(b"!$&'()*+,;=:[]<>\"")
_IN_PATH = frozenset(b"$&+,/:;=@")
_IN_USER = frozenset(b"$&+,;=")
_IN_FRAGMENT = frozenset(b"$&+,/:;=?@!()*")
# What may stay as it came, though it would be escaped anew.
_KEPT = frozenset(b"!$&'()*+,;=:@[]%")
_IN_USERINFO = frozenset(_LETTERS + string.digits + "-._:~!$&'()*+,;=%@")
_HEX = frozenset(b"0123456789abcdefABCDEF")
_BYTE_PLACE = 0x10FF00  # where quote() expects a byte that is no UTF-8


class UrlError(ValueError):
    """No URL; its text is that of Go's error: `parse "…": …`."""


class _Wrong(ValueError):
    pass


@dataclass(frozen=True, slots=True)
class Url:
    """`user`: what stands before the `@`, as Go writes it; None: nothing, not even an `@`. `path`:
    unescaped; `escaped_path`: as requests and texts have it. `query`: as it came.
    """

    scheme: str = ""
    opaque: str = ""
    user: str | None = None
    host: str = ""  # with its port
    path: str = ""
    escaped_path: str = ""
    query: str = ""
    fragment: str = ""
    escaped_fragment: str = ""
    force_query: bool = False  # it ends with a lone question mark
    omit_host: bool = False  # a path right after the scheme: `a:/b`

    @property
    def hostname(self) -> str:
        """The host without its port and brackets."""
        return _split(self.host)[0]

    @property
    def port(self) -> str:
        return _split(self.host)[1]

    def __str__(self) -> str:
        out = f"{self.scheme}:" if self.scheme else ""
        if self.opaque:
            out += self.opaque
        else:
            if self.scheme or self.host or self.user is not None:
                out += self._authority()
            path = self.escaped_path
            if path and not path.startswith("/") and self.host:
                out += "/"
            if not out and ":" in path.partition("/")[0]:
                out = "./"
            out += path
        if self.force_query or self.query:
            out += f"?{self.query}"
        return f"{out}#{self.escaped_fragment}" if self.fragment else out

    def _authority(self) -> str:
        if self.omit_host and not self.host and self.user is None:
            return ""
        out = "//" if self.host or self.path or self.user is not None else ""
        if self.user is not None:
            out += f"{self.user}@"
        return out + _escape(self.host, _IN_HOST)


def parse(text: str) -> Url:
    """A URL or a relative reference. Raises UrlError."""
    before, _, fragment = text.partition("#")
    try:
        found = _parse(before, fragment, absolute=False)
    except _Wrong as e:
        raise UrlError(f"parse {quote(before)}: {e}") from None
    if fragment and isinstance(found, _Wrong):
        raise UrlError(f"parse {quote(text)}: {found}")
    assert isinstance(found, Url), "without a fragment it cannot be wrong"
    return found


def parse_request_uri(text: str) -> Url:
    """An absolute URL or an absolute path, without a fragment. Raises UrlError."""
    try:
        found = _parse(text, "", absolute=True)
    except _Wrong as e:
        raise UrlError(f"parse {quote(text)}: {e}") from None
    assert isinstance(found, Url), "without a fragment it cannot be wrong"
    return found


def query_values(query: str) -> dict[str, list[str]]:
    """The values of each key, without those that are no query."""
    found: dict[str, list[str]] = {}
    for part in query.split("&"):
        if not part or ";" in part:
            continue
        key, _, value = part.partition("=")
        try:
            key, value = (_unescape(text.replace("+", " ")) for text in (key, value))
        except _Wrong:
            continue
        found.setdefault(key, []).append(value)
    return found


def _parse(text: str, fragment: str, *, absolute: bool) -> Url | _Wrong:
    """Raises _Wrong for the URL; gives one for its fragment."""
    if any(c < " " or c == "\x7f" for c in text):
        raise _Wrong("net/url: invalid control character in URL")
    if absolute and not text:
        raise _Wrong("empty url")
    scheme, opaque, user, host, path = "", "", None, "", text
    query, force_query, omit_host = "", False, False
    if text != "*":
        scheme, rest = _scheme(text)
        if rest.endswith("?") and rest.count("?") == 1:
            rest, force_query = rest[:-1], True
        else:
            rest, _, query = rest.partition("?")
        path = rest
        if not rest.startswith("/"):
            if scheme:
                opaque, path = rest, ""
            elif absolute:
                raise _Wrong("invalid URI for request")
            elif ":" in rest.partition("/")[0]:
                raise _Wrong("first path segment in URL cannot contain colon")
        elif rest.startswith("//") and (scheme or (not absolute and not rest.startswith("///"))):
            authority, slash, path = rest[2:].partition("/")
            path = slash + path
            user, host = _authority(scheme, authority)
        else:
            omit_host = bool(scheme)
    plain = _unescape(path)
    try:
        plain_fragment = _unescape(fragment)
    except _Wrong as e:
        return e
    return Url(
        scheme=scheme,
        opaque=opaque,
        user=user,
        host=host,
        path=plain,
        escaped_path="*" if plain == "*" else _fit(path, plain, _IN_PATH),
        query=query,
        fragment=plain_fragment,
        escaped_fragment=_fit(fragment, plain_fragment, _IN_FRAGMENT),
        force_query=force_query,
        omit_host=omit_host,
    )


def _scheme(text: str) -> tuple[str, str]:
    for i, c in enumerate(text):
        if c in _LETTERS:
            continue
        if c == ":":
            if i == 0:
                raise _Wrong("missing protocol scheme")
            return text[:i].lower(), text[i + 1 :]
        if i == 0 or c not in "0123456789+-.":
            break
    return "", text


# -- who and where --------------------------------------------------------------------------------


def _authority(scheme: str, text: str) -> tuple[str | None, str]:
    info, at, place = text.rpartition("@")
    host = _host(scheme, place)
    if not at:
        return None, host
    if not _IN_USERINFO.issuperset(info):
        raise _Wrong("net/url: invalid userinfo")
    name, colon, password = info.partition(":")
    user = _escape(_unescape(name), _IN_USER)
    return (f"{user}:{_escape(_unescape(password), _IN_USER)}" if colon else user), host


def _host(scheme: str, text: str) -> str:
    bracket = text.rfind("[")
    if bracket > 0:
        raise _Wrong("invalid IP-literal")
    if bracket == 0:
        return _bracketed(text)
    first, last = text.find(":"), text.rfind(":")
    if first >= 0:
        _check_port(text[first if scheme in ("http", "https") else last :])
    return _unescape_host(text)


def _bracketed(text: str) -> str:
    end = text.rfind("]")
    if end < 0:
        raise _Wrong("missing ']' in host")
    _check_port(text[end + 1 :])
    name = text[1:end]
    zone = name.find("%25")
    if zone >= 0:
        name = _unescape_host(name[:zone]) + _unescape_host(name[zone:], zone=True)
    else:
        name = _unescape_host(name)
    try:
        version = version_of(name)
    except AddressError as e:
        raise _Wrong(f"invalid host: {e}") from None
    if version == 4:
        raise _Wrong("invalid IP-literal")
    return f"[{name}]{text[end + 1 :]}"


def _check_port(text: str) -> None:
    """Nothing, or a colon and digits, be they none."""
    if text and not (text[0] == ":" and all("0" <= c <= "9" for c in text[1:])):
        raise _Wrong(f"invalid port {quote(text)} after host")


def _split(host: str) -> tuple[str, str]:
    head, colon, port = host.rpartition(":")
    if colon and all("0" <= c <= "9" for c in port):
        host = head
    else:
        port = ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host, port


# -- escapes --------------------------------------------------------------------------------------


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "surrogateescape")
        return "".join(
            chr(_BYTE_PLACE | (ord(c) & 0xFF)) if "\udc80" <= c <= "\udcff" else c for c in text
        )


def _bytes(text: str) -> bytes:
    if text.isascii():
        return text.encode()
    return b"".join(
        bytes((ord(c) & 0xFF,)) if ord(c) >= _BYTE_PLACE | 0x80 else c.encode("utf-8", "replace")
        for c in text
    )


def _checked_escape(raw: bytes, at: int) -> int:
    """The byte that an escape stands for."""
    step = raw[at : at + 3]
    if len(step) < 3 or not _HEX.issuperset(step[1:]):
        raise _Wrong(f"invalid URL escape {quote(_text(step))}")
    return int(step[1:], 16)


def _unescape(text: str) -> str:
    """Of a path, a fragment, a user."""
    if "%" not in text:
        return text
    raw = _bytes(text)
    out, at = bytearray(), 0
    while at < len(raw):
        if raw[at] == 0x25:
            out.append(_checked_escape(raw, at))
            at += 3
        else:
            out.append(raw[at])
            at += 1
    return _text(bytes(out))


def _unescape_host(text: str, *, zone: bool = False) -> str:
    """Of a host, where only bytes beyond ASCII may be escaped, or of the zone of an address."""
    raw = _bytes(text)
    out, at = bytearray(), 0
    while at < len(raw):
        byte, step = raw[at], raw[at : at + 3]
        if byte == 0x25:
            byte = _checked_escape(raw, at)
            known = byte >= 0x80 or step == b"%25"
            if zone:
                known = step == b"%25" or byte in _SAFE or byte in _IN_HOST or byte == 0x20
            if not known:
                raise _Wrong(f"invalid URL escape {quote(_text(step))}")
            at += 2
        elif byte < 0x80 and byte not in _SAFE and byte not in _IN_HOST:
            raise _Wrong(f"invalid character {quote(chr(byte))} in host name")
        out.append(byte)
        at += 1
    return _text(bytes(out))


def _escape(text: str, also: frozenset[int]) -> str:
    return "".join(
        chr(byte) if byte in _SAFE or byte in also else f"%{byte:02X}" for byte in _bytes(text)
    )


def _fit(given: str, plain: str, also: frozenset[int]) -> str:
    """A path or fragment as it came, if that is fit to be sent, else written anew."""
    fit = all(b in _SAFE or b in also or b in _KEPT for b in _bytes(given))
    return given if fit else _escape(plain, also)
