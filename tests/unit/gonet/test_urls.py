"""URLs and addresses against what Go's net/url and net/netip (1.26) make of them."""

import pytest

from kapi.gonet import addresses, urls


@pytest.mark.parametrize(
    ("text", "scheme", "host", "path", "again"),
    [
        ("", "", "", "", ""),
        ("https://h", "https", "h", "", "https://h"),
        ("HTTPS://H:80/P", "https", "H:80", "/P", "https://H:80/P"),
        ("https:h/p", "https", "", "", "https:h/p"),
        ("https:/p", "https", "", "/p", "https:/p"),
        ("https:///p", "https", "", "/p", "https:///p"),
        ("//h/p", "", "h", "/p", "//h/p"),
        ("a/b:c", "", "", "a/b:c", "a/b:c"),
        ("https://h:/", "https", "h:", "/", "https://h:/"),
        ("https://[::1]:8443/", "https", "[::1]:8443", "/", "https://[::1]:8443/"),
        ("https://[fe80::1%25e%20n]/", "https", "[fe80::1%e n]", "/", "https://[fe80::1%25e%20n]/"),
        ("x://a:1:2/", "x", "a:1:2", "/", "x://a:1:2/"),
        ("https://h/a b", "https", "h", "/a b", "https://h/a%20b"),
        ("https://h/a%2fb", "https", "h", "/a/b", "https://h/a%2fb"),
        ("https://h%c3%a9/", "https", "hé", "/", "https://h%C3%A9/"),
        ("*", "", "", "*", "*"),
    ],
)
def test_what_is_a_url(text: str, scheme: str, host: str, path: str, again: str) -> None:
    url = urls.parse(text)
    assert (url.scheme, url.host, url.path, str(url)) == (scheme, host, path, again)


def test_the_parts_of_a_url() -> None:
    url = urls.parse("https://me:p%40ss@[::1]:80/p?q=1#f%41")
    assert (url.user, url.hostname, url.port) == ("me:p%40ss", "::1", "80")
    assert (url.query, url.fragment, url.escaped_fragment) == ("q=1", "fA", "f%41")
    assert urls.parse("https://@h").user == ""
    assert urls.parse("https://h?").force_query
    assert urls.query_values("a=1&b=x+y&a=%32&c;d=1&%zz=1") == {"a": ["1", "2"], "b": ["x y"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (":", "missing protocol scheme"),
        ("a:b/c:d", None),
        ("1a:b", "first path segment in URL cannot contain colon"),
        ("https://h:8o/", 'invalid port ":8o" after host'),
        ("https://h:1:2/", 'invalid port ":1:2" after host'),
        ("https://[::1/", "missing ']' in host"),
        ("https://[::1]x/", 'invalid port "x" after host'),
        ("https://a[::1]/", "invalid IP-literal"),
        ("https://[1.2.3.4]/", "invalid IP-literal"),
        ("https://[h]/", 'invalid host: ParseAddr("h"): unable to parse IP'),
        ("https://h h/", 'invalid character " " in host name'),
        ("https://h%41/", 'invalid URL escape "%41"'),
        ("https://h/%zz", 'invalid URL escape "%zz"'),
        ("https://h/%4", 'invalid URL escape "%4"'),
        ("https://a b@h/", "net/url: invalid userinfo"),
        ("https://h/\n", "net/url: invalid control character in URL"),
    ],
)
def test_what_is_none(text: str, words: str | None) -> None:
    if words is None:
        urls.parse(text)
        return
    with pytest.raises(urls.UrlError) as caught:
        urls.parse(text)
    shown = text.replace("\n", "\\n")
    assert str(caught.value) == f'parse "{shown}": {words}'


def test_an_error_before_the_fragment_does_not_quote_it() -> None:
    with pytest.raises(urls.UrlError) as caught:
        urls.parse("https://h/%zz#f")
    assert str(caught.value) == 'parse "https://h/%zz": invalid URL escape "%zz"'
    with pytest.raises(urls.UrlError) as caught:
        urls.parse("https://h/#%zz")
    assert str(caught.value) == 'parse "https://h/#%zz": invalid URL escape "%zz"'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty url"),
        ("a", "invalid URI for request"),
        ("https", "invalid URI for request"),
        ("/a", None),
        ("a:b", None),
        ("//h/p", None),
    ],
)
def test_what_a_request_may_name(text: str, words: str | None) -> None:
    if words is None:
        urls.parse_request_uri(text)
        return
    with pytest.raises(urls.UrlError) as caught:
        urls.parse_request_uri(text)
    assert str(caught.value) == f'parse "{text}": {words}'


@pytest.mark.parametrize(
    ("text", "version"),
    [("1.2.3.4", 4), ("::", 6), ("::1", 6), ("1:2:3:4:5:6:7:8", 6), ("::ffff:1.2.3.4", 6),
     ("1::%eth0", 6)],
)  # fmt: skip
def test_addresses(text: str, version: int) -> None:
    assert addresses.version_of(text) == version


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "unable to parse IP"),
        ("%e", "missing IPv6 address"),
        ("1.2.3", "IPv4 address too short"),
        ("1.2.3.4.5", "IPv4 address too long"),
        ("1..2.3", 'IPv4 field must have at least one digit (at ".2.3")'),
        ("01.2.3.4", "IPv4 field has octet with leading zero"),
        ("256.2.3.4", "IPv4 field has value >255"),
        ("1.2.x.4", 'unexpected character (at "x.4")'),
        ("::%", "zone must be a non-empty string"),
        ("12345::", 'each group must have 4 or less digits (at "12345::")'),
        ("1:x", 'each colon-separated field must have at least one digit (at "x")'),
        ("1:2", "address string too short"),
        ("1:", 'colon must be followed by more characters (at ":")'),
        ("1::2::3", 'multiple :: in address (at ":3")'),
        ("1:2:3:4:5:6:7::8", "the :: must expand to at least one field of zeros"),
        ("1:2:3:4:5:6:7:8:9", 'trailing garbage after address (at "9")'),
        (
            "1:1.2.3.4",
            'embedded IPv4 address must replace the final 2 fields of the address (at "1.2.3.4")',
        ),
    ],
)
def test_what_is_no_address(text: str, words: str) -> None:
    with pytest.raises(addresses.AddressError) as caught:
        addresses.version_of(text)
    assert str(caught.value) == f'ParseAddr("{text}"): {words}'
