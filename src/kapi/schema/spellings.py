"""Which fields of a kind keep the text they come as, and how they get it.

They are those whose Go type is runtime.RawExtension: ControllerRevision's data, the parameters and
the data of devices. The text of the body is kept where it is not what the value is written as
anyway (`codec/spelled.py`); what went through a map in Go, as strategic patches and applies do, is
spelled anew, sorted. Other types that hold any JSON go through Go's values on their way: JSON in
the schemas of custom kinds, sets of owned fields. Called by `handlers/decode.py` and the registry.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from kapi.codec import json_format
from kapi.codec.json_spans import EACH, Path, spans
from kapi.codec.spelled import spelled
from kapi.schema.structural import Schema

Json = dict[str, Any]
RAW = "runtime.RawExtension"


class Spellings:
    """The places by schema identity. One instance per server."""

    def __init__(self) -> None:
        self._places: dict[int, tuple[Schema, tuple[Path, ...]]] = {}

    def places(self, schema: Schema) -> tuple[Path, ...]:
        """The paths of a kind's raw fields; most kinds have none."""
        found = self._places.get(id(schema))
        if found is None:
            found = (schema, tuple(_places(schema, ())) if schema.typed else ())
            self._places[id(schema)] = found
        return found[1]

    def any(self, schema: Schema) -> bool:
        """Whether a kind has such fields."""
        return bool(self.places(schema))

    def keep(self, schema: Schema, obj: Json, text: bytes) -> None:
        """Give the raw fields of an object, which was decoded from a text, their texts."""
        places = self.places(schema)
        if not places or not any(True for place in places for _ in _holders(obj, place, ())):
            return
        found = spans(text, places)

        def as_it_came(value: Any, path: tuple[str | int, ...]) -> Any:
            at = found.get(path)
            if at is None:
                return value
            raw = text[at[0] : at[1]]
            try:
                orjson.loads(raw)
            except orjson.JSONDecodeError:  # broken texts, of which the value was repaired
                return value
            return spelled(value, raw)

        self._each(places, obj, as_it_came)

    def applied(self, schema: Schema, obj: Json, live: Json | None) -> None:
        """Spell what an apply gave: as before where nothing but owners changes, else anew."""
        if not self.places(schema):
            return
        if live is None or _contents(obj) != _contents(live):
            self.anew(schema, obj)
            return
        for place in self.places(schema):
            for holder, name, path in _holders(live, place, ()):
                target: Any = obj
                for step in path[:-1]:
                    target = target[step]
                target[name] = copy.deepcopy(holder[name])

    def anew(self, schema: Schema, obj: Json) -> None:
        """Spell the raw fields of an object as Go writes a map: sorted, some letters escaped."""

        def sorted_anew(value: Any, path: tuple[str | int, ...]) -> Any:
            text = json_format.dumps_sorted(_with_go_numbers(value))
            return spelled(orjson.loads(text), text)

        self._each(self.places(schema), obj, sorted_anew)

    def _each(
        self,
        places: tuple[Path, ...],
        obj: Json,
        change: Callable[[Any, tuple[str | int, ...]], Any],
    ) -> None:
        for place in places:
            for holder, name, path in list(_holders(obj, place, ())):
                if isinstance(holder[name], dict):
                    holder[name] = change(holder[name], path)


def _contents(obj: Json) -> Json:
    """An object without its kind and without who owns its fields."""
    out = {name: x for name, x in obj.items() if name not in ("kind", "apiVersion")}
    meta = out.get("metadata")
    if isinstance(meta, dict):
        out["metadata"] = {name: x for name, x in meta.items() if name != "managedFields"}
    return out


def _places(schema: Schema, within: tuple[int, ...]) -> Iterator[Path]:
    if schema.go_type == RAW:
        yield ()
    if id(schema) in within:
        return  # a type that contains itself holds none; those of the first time are enough
    within = (*within, id(schema))
    for p in schema.properties.values():
        yield from ((p.name, *path) for path in _places(p.schema, within))
    if schema.items is not None and schema.type == "array":
        yield from ((EACH, *path) for path in _places(schema.items, within))


def _holders(
    value: Any, place: Path, path: tuple[str | int, ...]
) -> Iterator[tuple[Any, str | int, tuple[str | int, ...]]]:
    """What holds the values at a place, and under which name or index."""
    step, *further = place
    if step is EACH:
        steps: Any = range(len(value)) if isinstance(value, list) else ()
    else:
        steps = (step,) if isinstance(value, dict) and value.get(step) is not None else ()
    for name in steps:
        if further:
            yield from _holders(value[name], tuple(further), (*path, name))
        else:
            yield value, name, (*path, name)


def _with_go_numbers(value: Any) -> Any:
    """Whole numbers with a point as integers, as Go prints them."""
    if isinstance(value, dict):
        return {name: _with_go_numbers(x) for name, x in value.items()}
    if isinstance(value, list):
        return [_with_go_numbers(x) for x in value]
    return json_format.go_number(value) if isinstance(value, float) else value
