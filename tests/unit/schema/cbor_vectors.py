"""What the real serializer wrote, read and said: the contents of cbor_vectors.json.

`encoded`: objects and their CBOR, deterministic. `values`: documents, their values as JSON, and in
diagnostic notation. `refused`: documents and what is wrong with them. `typed`: apiVersion, kind,
whether strict, the document, and what is said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

VECTORS: dict[str, list[Any]] = orjson.loads(Path(__file__).with_suffix(".json").read_bytes())
