"""Structural schemas and values of many forms, for properties of custom kinds. Not a test."""

from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]
NAMES = ("a", "b", "c", "d")

scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["", "x", "yy", "zzz"]),
    st.sampled_from([0.5, -1.5]),
)  # fmt: skip
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*NAMES, "x", "y"]), inner, max_size=4),
    ),
    max_leaves=12,
)
objects: st.SearchStrategy[Json] = st.dictionaries(
    st.sampled_from([*NAMES, "x", "y"]), values, max_size=5
)


@st.composite
def _scalar(draw: st.DrawFn) -> Json:
    kind = draw(st.sampled_from(["string", "integer", "number", "boolean", "either"]))
    if kind == "either":
        return {"x-kubernetes-int-or-string": True}
    out: Json = {"type": kind}
    if draw(st.booleans()):
        out["nullable"] = True
    if kind == "string" and draw(st.booleans()):
        out.update(draw(st.sampled_from([{"maxLength": 2}, {"pattern": "^[a-z]*$"},
                                         {"enum": ["x", "yy"]}])))  # fmt: skip
    if kind in ("integer", "number") and draw(st.booleans()):
        out.update(draw(st.sampled_from([{"minimum": 0}, {"maximum": 3}, {"multipleOf": 2}])))
    if draw(st.booleans()):
        default = {"string": "x", "integer": 2, "number": 2, "boolean": True}
        out["default"] = default[kind]
    return out


def _extend(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    @st.composite
    def below(draw: st.DrawFn) -> Json:
        form = draw(st.sampled_from(["object", "map", "array", "any"]))
        if form == "array":
            out: Json = {"type": "array", "items": draw(inner)}
            if draw(st.booleans()):
                out["maxItems"] = 2
            return out
        if form == "map":
            return {"type": "object", "additionalProperties": draw(inner)}
        if form == "any":
            return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        of_fields: Json = draw(_object(inner))
        return of_fields

    return below()


@st.composite
def _object(draw: st.DrawFn, inner: st.SearchStrategy[Json]) -> Json:
    properties: dict[str, Json] = draw(st.dictionaries(st.sampled_from(NAMES), inner, max_size=4))
    out: Json = {"type": "object", "properties": properties}
    if draw(st.booleans()) and properties:
        out["required"] = [draw(st.sampled_from(sorted(properties)))]
    if draw(st.booleans()):
        out["maxProperties"] = 3
    return out


nodes: st.SearchStrategy[Json] = st.recursive(_scalar(), _extend, max_leaves=8)
roots: st.SearchStrategy[Json] = _object(nodes)
