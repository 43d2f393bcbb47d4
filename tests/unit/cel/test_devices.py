"""Selectors of devices, as they are checked with their claims and classes."""

from __future__ import annotations

import pytest

from kapi.cel.devices import findings


@pytest.mark.parametrize(
    "text",
    [
        "device.driver == 'd.example.com'",
        "device.attributes['d.example.com'].model == 'x'",
        "device.capacity['d.example.com'].memory.compareTo(quantity('10Gi')) >= 0",
        "cel.bind(d, device.attributes['d.example.com'], d.a && d.b)",
        "device.allowMultipleAllocations && 'x' in device.attributes",
        "device.attributes['d.example.com'].version.isGreaterThan(semver('1.0.0'))",
    ],
)
def test_selectors(text: str) -> None:
    assert findings(text, "p") == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("1 + 1", 'p: Invalid value: "1 + 1": must evaluate to bool or the unknown type, not int'),
        ("device.zz", 'p: Invalid value: "device.zz": compilation failed: ERROR: <input>:1:7: '
         "undefined field 'zz'\n | device.zz\n | ......^"),
        ("device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, "
         "device.attributes.all(d, a + b + c + d != 'x'))))",
         "p: Forbidden: too complex, exceeds cost limit"),
    ],
)  # fmt: skip
def test_refusals(text: str, finding: str) -> None:
    assert [str(f) for f in findings(text, "p")] == [finding]
