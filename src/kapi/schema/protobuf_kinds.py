"""Schemas of small kinds that belong to no group: Status, what discovery answers, metadata alone.

Only what Protocol Buffers need: names, numbers and types of fields, written down as text, since no
table of types has them all. Used by `handlers/encoder.py` and by the filter that makes errors
into answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from kapi.schema.structural import Property, Schema

# Message → `field number type` of each field; * before a pointer, [] before a list; Verbs is a
# list in a message of its own.
_MESSAGES: Mapping[str, str] = {
    "ListMeta": "selfLink 1 string  resourceVersion 2 string  continue 3 string "
    "remainingItemCount 4 *int64",
    "Status": "metadata 1 ListMeta  status 2 string  message 3 string  reason 4 string "
    "details 5 *StatusDetails  code 6 int32",
    "StatusDetails": "name 1 string  group 2 string  kind 3 string  causes 4 []StatusCause "
    "retryAfterSeconds 5 int32  uid 6 string",
    "StatusCause": "reason 1 string  message 2 string  field 3 string",
    "APIVersions": "versions 1 []string  serverAddressByClientCIDRs 2 []ServerAddress",
    "ServerAddress": "clientCIDR 1 string  serverAddress 2 string",
    "APIGroupList": "groups 1 []APIGroup",
    "APIGroup": "name 1 string  versions 2 []GroupVersion  preferredVersion 3 GroupVersion "
    "serverAddressByClientCIDRs 4 []ServerAddress",
    "GroupVersion": "groupVersion 1 string  version 2 string",
    "APIResourceList": "groupVersion 1 string  resources 2 []APIResource",
    "APIResource": "name 1 string  namespaced 2 bool  kind 3 string  verbs 4 Verbs "
    "shortNames 5 []string  singularName 6 string  categories 7 []string  group 8 string "
    "version 9 string  storageVersionHash 10 string",
    "APIGroupDiscoveryList": "metadata 1 ListMeta  items 2 []APIGroupDiscovery",
    "APIGroupDiscovery": "metadata 1 ObjectMeta  versions 2 []APIVersionDiscovery",
    "APIVersionDiscovery": "version 1 string  resources 2 []APIResourceDiscovery "
    "freshness 3 string",
    "APIResourceDiscovery": "resource 1 string  responseKind 2 *GroupVersionKind  scope 3 string "
    "singularResource 4 string  verbs 5 []string  shortNames 6 []string  categories 7 []string "
    "subresources 8 []APISubresourceDiscovery",
    "APISubresourceDiscovery": "subresource 1 string  responseKind 2 *GroupVersionKind "
    "acceptedTypes 3 []GroupVersionKind  verbs 4 []string",
    "GroupVersionKind": "group 1 string  version 2 string  kind 3 string",
    "PartialObjectMetadata": "metadata 1 ObjectMeta",
}
_SCALARS = {
    "string": Schema("string"),
    "bool": Schema("boolean"),
    "int32": Schema("integer", format="int32"),
    "int64": Schema("integer", format="int64"),
}


class SmallKinds:
    """The schemas by name, each made on first use. `object_meta`: for those that hold metadata."""

    def __init__(self, object_meta: Schema | None = None) -> None:
        verbs = Schema("array", go_type="v1.Verbs", items=_SCALARS["string"])
        self._made = {**_SCALARS, "Verbs": verbs}
        if object_meta is not None:
            self._made["ObjectMeta"] = object_meta

    def get(self, name: str) -> Schema | None:
        """The schema of a small kind; None for a name that is none."""
        if name not in _MESSAGES:
            return None
        return self._message(name)

    def _message(self, name: str) -> Schema:
        found = self._made.get(name)
        if found is not None:
            return found
        made = self._made[name] = Schema("object", go_type=f"v1.{name}")
        words = _MESSAGES[name].split()
        for field, number, type_ in zip(words[::3], words[1::3], words[2::3], strict=True):
            inner = self._message(type_.lstrip("*[]"))
            if type_.startswith("[]"):
                inner = Schema("array", go_type=f"[]{inner.go_type}", items=inner)
            made.properties[field] = Property(
                field, inner, number=int(number), pointer=type_.startswith("*")
            )
        return made
