"""Links of pages and redirects that come through a proxy."""

from __future__ import annotations

import pytest

from kapi.handlers.proxying.links import Links

PREFIX = "/api/v1/namespaces/ns/services/web/proxy"
LINKS = Links(PREFIX, "10.0.0.7:80", "localhost:8001")


@pytest.mark.parametrize(
    ("link", "written"),
    [
        ("/a/b", PREFIX + "/a/b"),
        ("/a/", PREFIX + "/a/"),
        ("/", PREFIX + "/"),
        ("/a?q=1#f", PREFIX + "/a?q=1#f"),
        ("a/b", "a/b"),
        ("?q=1", "?q=1"),
        ("#f", "#f"),
        ("http://10.0.0.7:80/a", PREFIX + "/a"),
        ("http://localhost:8001/a", f"http://localhost:8001{PREFIX}/a"),
        ("https://elsewhere.example/a", "https://elsewhere.example/a"),
        ("//elsewhere.example/a", "//elsewhere.example/a"),
        (PREFIX + "/a", PREFIX + "/a"),
        ("/a/../b", PREFIX + "/b"),
        ("mailto:a@b", "mailto:a@b"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_links(link: str, written: str) -> None:
    assert LINKS.url(link) == written


def test_an_aggregated_server_is_named_as_it_is_called() -> None:
    links = Links("", "10.0.0.7:443", "kapi:6443", "https", "10.0.0.7:443")
    assert links.url("/a") == "https://10.0.0.7:443/a"


@pytest.mark.parametrize(
    ("page", "written"),
    [
        ('<a href="/x">', f'<a href="{PREFIX}/x">'),
        ("<A HREF='/x' CLASS=y>", f'<a href="{PREFIX}/x" class="y">'),
        ("<img src=/i.png />", f'<img src="{PREFIX}/i.png"/>'),
        ('<a data-x="/x">', '<a data-x="/x">'),
        ('<form action="/do" novalidate>', f'<form action="{PREFIX}/do" novalidate="">'),
        ('<a href="/x?a=1&amp;b=2">', f'<a href="{PREFIX}/x?a=1&amp;b=2">'),
        ("<!-- <a href='/x'> -->", "<!-- <a href='/x'> -->"),
        ("<!DOCTYPE html></a >text", "<!DOCTYPE html></a >text"),
        ('<script>"<a href=/x>"</script>', '<script>"<a href=/x>"</script>'),
        ('<script src="/s.js">', f'<script src="{PREFIX}/s.js">'),
        ("1 < 2 <3", "1 < 2 <3"),
        ('<a href="/x', '<a href="/x'),
        ("<a title='>' href=/x>", f'<a title="&gt;" href="{PREFIX}/x">'),
    ],
)
def test_pages(page: str, written: str) -> None:
    assert LINKS.page(page) == written


@pytest.mark.parametrize(
    "piece", ["<a ", "<a href='", "<script>", "<!--", "<a =", "<a b ", "<", "&"]
)
def test_hostile_pages_cost_their_length(piece: str) -> None:
    """Looking from every place to the end would take hours, and the test has seconds."""
    page = piece * (1_000_000 // len(piece))
    assert len(LINKS.page(page)) >= len(page) // 2
