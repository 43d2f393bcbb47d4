"""Quantities: canonical spelling, value, refusals."""

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from kapi.schema import quantity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1", "1"), ("0.50", "500m"), ("1000", "1k"), ("1000m", "1"), ("1024Mi", "1Gi"),
        ("1048576", "1048576"), ("1e3", "1e3"), ("1.5Gi", "1536Mi"), ("0", "0"), ("100m", "100m"),
        ("1n", "1n"), ("0.1Ki", "102400m"), ("12e6", "12e6"), ("-1", "-1"), ("1E", "1E"),
        # What the real server takes for canonical stays as it is spelled.
        ("1E3", "1E3"), ("01", "01"), ("+1", "+1"), ("5.", "5."), ("1.500", "1.500"),
        ("1.0", "1"), (".5", "500m"), ("0m", "0"), ("1000e3", "1e6"), ("1028Ki", "1028Ki"),
        ("2048Mi", "2Gi"), ("8388608Ki", "8Gi"), ("0.5Ki", "512"), ("-1024Ki", "-1Mi"),
        # Only binary ones are capped.
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775808"), ("1e30", "1e30"),
        ("1000E", "1e21"), ("16Ei", "9223372036854775807"), ("12345678901234567890k",
        "12345678901234567890k"), ("1e1", "10"), ("1e4", "10e3"),
    ],
)  # fmt: skip
def test_canonical(text: str, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize("text", ["", "x", "1x", "1 ", "--1", "1Kii", "e3", "."])
def test_refused(text: str) -> None:
    with pytest.raises(quantity.QuantityError):
        quantity.parse(text)


@seed(1)
@given(
    st.integers(-(10**12), 10**12),
    st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi", "e3", "u", "n"]),
)
def test_the_canonical_text_stands_for_the_same_value_and_stays(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    spelled = quantity.canonical(text)
    assert quantity.value(spelled) == quantity.value(text)
    assert quantity.canonical(spelled) == spelled


@pytest.mark.parametrize(
    "text", ["9" * 1990 + "E", "9" * 1990 + "e500", "0." + "9" * 1990, "9" * 30]
)
def test_long_ones_are_read(text: str) -> None:
    """No digit is lost, and nothing overflows on the way."""
    value, _ = quantity.parse(quantity.canonical(text))
    assert value == quantity.parse(text)[0]
    quantity.in_milli(text)


def test_longer_ones_are_refused() -> None:
    with pytest.raises(quantity.QuantityError):
        quantity.parse("9" * (quantity.TEXT_MAX + 1))
