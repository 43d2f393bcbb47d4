"""Numbers of custom kinds as they are stored: whole ones without a point, whatever stands near."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from served import THINGS

from kapi.registry.versions import Versions
from kapi.schema.decoding import Decoders
from kapi.schema.defaulting import Defaulters


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (1.0, b"1"),
        (-20.0, b"-20"),
        (1.5, b"1.5"),
        ([2.0, 0.05], b"[2,0.05]"),
        ({"a": 3.0, "b": "v1.0.2"}, b'{"a":3,"b":"v1.0.2"}'),
        ("image:1.0,", b'"image:1.0,"'),
        ([[4.0], "x"], b'[[4],"x"]'),
    ],
)
def test_whole_numbers_have_no_point(value: Any, stored: bytes) -> None:
    versions = Versions(Decoders(), Defaulters(), ())
    obj = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {}, "spec": value}
    written = versions.encode_stored(THINGS, obj)
    assert written.endswith(b'"metadata":{},"spec":%b}' % stored)
    assert orjson.loads(written)["spec"] == value
