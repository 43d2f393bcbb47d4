"""Findings: how many an object may have, and how they are quoted."""

import pytest

from kapi import errors
from kapi.errors import FINDINGS_MAX, TooManyFindings, bounded_findings, quote, required


def test_as_many_as_are_told() -> None:
    with bounded_findings():
        found = [required(f"a[{i}]") for i in range(FINDINGS_MAX)]
    assert len(found) == FINDINGS_MAX


def test_more_are_not_looked_for() -> None:
    looked = []

    def look() -> None:
        for i in range(10 * FINDINGS_MAX):
            looked.append(i)
            required(f"a[{i}]")

    with bounded_findings(), pytest.raises(TooManyFindings) as caught:
        look()
    assert len(looked) == FINDINGS_MAX + 1
    *first, last = caught.value.found
    assert first == [required(f"a[{i}]") for i in range(FINDINGS_MAX)]
    assert str(last) == "[]: Too many: only the first 5000 findings are told"
    answer = errors.invalid("", "Pod", "x", caught.value.found)
    assert len(answer.status()["details"]["causes"]) == FINDINGS_MAX + 1


def test_what_only_decides_something_does_not_count() -> None:
    with bounded_findings():
        with bounded_findings(told=False):
            for i in range(10 * FINDINGS_MAX):
                required(f"a[{i}]")
        required("b")


def test_outside_there_is_no_bound() -> None:
    assert len([required("a") for _ in range(FINDINGS_MAX + 2)]) == FINDINGS_MAX + 2


@pytest.mark.parametrize(
    ("text", "want"),
    [("a", '"a"'), ("é\ufffd", '"é\ufffd"'), ('"', '"\\""'), ("\x01", '"\\x01"'),
     ("\u200b", '"\\u200b"'), ("\U0010ffff", '"\\xff"'), ("\u00a0", '"\\u00a0"')],
)  # fmt: skip
def test_quoted_as_go_does(text: str, want: str) -> None:
    assert quote(text) == want
