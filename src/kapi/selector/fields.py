"""Field selectors: `metadata.name=a,status.phase!=Running`. Parse the text once, match fast.

Which fields an object has is the resource's business (`supported`); here they are names with text
values. A field that is absent counts as empty. In a value `\\`, `,` and `=` are escaped by `\\`.
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field

from kapi.errors import bad_request

Match = Callable[[Mapping[str, str]], bool]
NAME = "metadata.name"
NAMESPACE = "metadata.namespace"


@dataclass(frozen=True, slots=True)
class Term:
    field: str
    equal: bool
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """Terms that must all hold. Immutable; `EVERYTHING` has none."""

    terms: tuple[Term, ...] = ()
    matches: Match = field(init=False, repr=False, compare=False)  # whether fields fulfil them

    def __post_init__(self) -> None:
        object.__setattr__(self, "matches", _compile(self.terms))

    @property
    def empty(self) -> bool:
        return not self.terms

    def exact(self, name: str) -> str | None:
        """The one value that the field must have, if there is one."""
        for term in self.terms:
            if term.equal and term.field == name:
                return term.value
        return None

    def without(self, *fields: str) -> Selector:
        """The terms about other fields."""
        return Selector(tuple(t for t in self.terms if t.field not in fields))

    def only(self, *fields: str) -> Selector:
        """The terms about these fields."""
        return Selector(tuple(t for t in self.terms if t.field in fields))

    def check(
        self,
        supported: Container[str],
        *,
        known: bool,
        words: str = "field label not supported: {}",
    ) -> None:
        """Raise ApiError 400 for the first field that is not supported.

        `known`: the resource declares its fields, and says no to others in words of its own.
        """
        for term in self.terms:
            if term.field in supported:
                continue
            if known:
                raise bad_request(words.format(term.field))
            raise bad_request(
                f'"{term.field}" is not a known field selector: '
                'only "metadata.name", "metadata.namespace"'
            )


def _compile(terms: Sequence[Term]) -> Match:
    checks = [_check(term) for term in terms]
    if len(checks) == 1:
        return checks[0]
    return lambda fields: all(check(fields) for check in checks)


def _check(term: Term) -> Match:
    name, value = term.field, term.value
    if term.equal:
        return lambda fields: fields.get(name, "") == value
    return lambda fields: fields.get(name, "") != value


EVERYTHING = Selector()


def named(name: str) -> Selector:
    """Selects the one object of that name."""
    return Selector((Term(NAME, True, name),))


def parse(text: str) -> Selector:
    """The selector that a text means. Raises ApiError 400."""
    if not text:
        return EVERYTHING
    terms = []
    for part in sorted(_split(text)):
        if not part:
            continue
        term = _term(part)
        if term is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        terms.append(term)
    return Selector(tuple(terms))


def _split(text: str) -> list[str]:
    """The parts between commas that no backslash escapes."""
    parts, start, escaped = [], 0, False
    for i, c in enumerate(text):
        if escaped:
            escaped = False
        elif c == "\\":
            escaped = True
        elif c == ",":
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return parts


def _term(part: str) -> Term | None:
    for i, c in enumerate(part):
        if c == "!" and part[i + 1 : i + 2] == "=":
            return Term(part[:i], False, _unescape(part[i + 2 :]))
        if c == "=":
            skip = 2 if part[i + 1 : i + 2] == "=" else 1
            return Term(part[:i], True, _unescape(part[i + skip :]))
    return None


def _unescape(text: str) -> str:
    if not any(c in text for c in "\\,="):
        return text
    out, escaped = [], False
    for c in text:
        if escaped:
            if c not in "\\,=":
                raise bad_request(f"invalid field selector: invalid escape sequence: \\{c}")
            out.append(c)
            escaped = False
        elif c == "\\":
            escaped = True
        elif c in ",=":
            raise bad_request(f"invalid field selector: unescaped character in value: {ord(c)}")
        else:
            out.append(c)
    if escaped:
        raise bad_request("invalid field selector: invalid escape sequence: \\")
    return "".join(out)
