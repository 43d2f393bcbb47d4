"""Links in answers that came through a proxy: redirects and pages lead back through it.

What the real server's proxy transport does: an absolute path on the same host gets the prefix of
the proxy in front, in `Location` and in the URLs of HTML. Pure. Every start tag of a page is
written anew, as golang.org/x/net/html does; all else stays as it is.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

# Attributes that hold a URL, by tag. https://html.spec.whatwg.org/multipage/indices.html
_URLS: dict[str, frozenset[str]] = {
    tag: frozenset(names.split())
    for tag, names in {
        "a": "href",
        "applet": "codebase",
        "area": "href",
        "audio": "src",
        "base": "href",
        "blockquote": "cite",
        "body": "background",
        "button": "formaction",
        "command": "icon",
        "del": "cite",
        "embed": "src",
        "form": "action",
        "frame": "longdesc src",
        "head": "profile",
        "html": "manifest",
        "iframe": "longdesc src",
        "img": "longdesc src usemap",
        "input": "src usemap formaction",
        "ins": "cite",
        "link": "href",
        "object": "classid codebase data usemap",
        "q": "cite",
        "script": "src",
        "source": "src",
        "video": "poster src",
    }.items()
}
# Inside these nothing is a tag until their own end.
_RAW = {
    name: re.compile(f"</{name}(?=[\\s/>])", re.IGNORECASE)
    for name in (
        "iframe", "noembed", "noframes", "noscript", "script", "style", "textarea", "title", "xmp",
    )
}  # fmt: skip
_START_TAG = re.compile(r"<([a-zA-Z][^\s/>]*)((?:[^>\"']|\"[^\"]*\"|'[^']*')*)>")
_ATTRIBUTE = re.compile(r"([^\s=/>\"'][^\s=/>]*)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+)))?")


@dataclass(frozen=True, slots=True)
class Links:
    """`prefix`: the path of the proxy. `hosts`: what counts as the same host: the backend's
    authority, and the Host that the client asked. `scheme`, `host`: what a link gets, if any.
    """

    prefix: str
    backend: str
    asked: str
    scheme: str = ""
    host: str = ""

    def url(self, text: str) -> str:
        """A link as it must be written."""
        try:
            parts = urlsplit(text)
        except ValueError:
            return text
        if parts.netloc and parts.netloc not in (self.backend, self.asked):
            return text
        if not parts.path.startswith("/"):
            return text
        scheme, host = parts.scheme, parts.netloc
        if not (host == self.asked and not self.scheme and not self.host):
            scheme, host = self.scheme, self.host
        path = parts.path
        if not path.startswith(self.prefix):
            path = _joined(self.prefix, path)
        return urlunsplit(SplitResult(scheme, host, path, parts.query, parts.fragment))

    def page(self, text: str) -> str:
        """An HTML page with its links rewritten."""
        return "".join(self._pieces(text))

    def _pieces(self, text: str) -> Iterator[str]:
        """Every step goes forward, so a page costs its length."""
        done = at = 0
        while (at := text.find("<", at)) >= 0:
            following = text[at + 1 : at + 2]
            if following and following in "!/?":
                at = _end_of_other(text, at)
            elif following.isascii() and following.isalpha():
                found = _START_TAG.match(text, at)
                if found is None:
                    break  # a tag without end: the page ends in it
                yield text[done:at]
                name = found[1].lower()
                yield self._tag(name, found[2])
                done = at = found.end()
                if name in _RAW:
                    end = _RAW[name].search(text, at)
                    at = end.start() if end is not None else len(text)
            else:
                at += 1
        yield text[done:]

    def _tag(self, name: str, rest: str) -> str:
        urls = _URLS.get(name, frozenset())
        out = [f"<{name}"]
        read = 0
        for found in _ATTRIBUTE.finditer(rest):
            read = found.end()
            key = found[1].lower()
            value = html.unescape(next((v for v in found.groups()[1:] if v is not None), ""))
            if key in urls:
                value = self.url(value)
            out.append(f' {key}="{_escaped(value)}"')
        closed = rest[read:].rstrip().endswith("/")
        return "".join(out) + ("/>" if closed else ">")


def _end_of_other(text: str, at: int) -> int:
    """Where a comment, an end tag or a declaration is over."""
    if text.startswith("<!--", at):
        end = text.find("-->", at + 4)
        return end + 3 if end >= 0 else len(text)
    end = text.find(">", at)
    return end + 1 if end >= 0 else len(text)


def _joined(prefix: str, path: str) -> str:
    joined = posixpath.normpath(prefix + "/" + path)
    joined = "/" + joined.lstrip("/")
    return joined + "/" if path.endswith("/") and not joined.endswith("/") else joined


def _escaped(value: str) -> str:
    for raw, name in (("&", "&amp;"), ("'", "&#39;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&#34;")):
        value = value.replace(raw, name)
    return value
