"""Which transformers are for which resource: the `Cipher` of a store.

A key says what it is of: built-in kinds by their storage prefix, all others are custom ones with
group and plural in it. What has no API of its own (ranges, leases of servers) is not encrypted.
The rules may be replaced while the server runs.
https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/#configure-encryption-for-multiple-resources
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kapi.encryption.configuration import ANYTHING, GroupResource
from kapi.encryption.transformers import Transformer, TransformError
from kapi.storage import keys
from kapi.storage.interface import (
    ENCRYPTED,
    ENCRYPTED_TEXT,
    Corrupt,
    Refused,
    untransformable,
)

Rules = Mapping[GroupResource, Transformer]
# A decrypted value in a form of etcd as JSON, by key; raises Corrupt.
AsJson = Callable[[str, bytes], bytes]


class ResourceCiphers:
    """`places`: what is stored under the prefixes of built-in kinds; None: nothing with an API."""

    def __init__(
        self,
        places: Mapping[str, GroupResource | None],
        context: Callable[[str], bytes],
        as_json: AsJson | None = None,
    ) -> None:
        """`context`: the key as the store has it. `as_json`: for a store that keeps JSON only."""
        self._places = places
        self._context = context
        self._as_json = as_json
        self._rules: Rules = {}
        self._chosen: dict[str, Transformer | None] = {}  # by storage prefix
        self.generation = 0

    def use(self, rules: Rules) -> None:
        """From now on these."""
        self._rules = rules
        self._chosen = {}
        self.generation += 1

    def again(self) -> None:
        """What could not be read may be readable now."""
        self.generation += 1

    def encrypt(self, key: str, value: bytes) -> bytes:
        transformer = self._transformer(key)
        if transformer is None:
            return value
        try:
            return transformer.write(value, self._context(key))
        except TransformError as error:
            raise Refused(str(error)) from None

    def decrypt(self, key: str, value: bytes) -> tuple[bytes, bool]:
        transformer = self._transformer(key)
        if transformer is None:
            if value.startswith(ENCRYPTED):
                raise Corrupt(untransformable(ENCRYPTED_TEXT))
            return value, False
        try:
            plain, stale = transformer.read(value, self._context(key))
        except TransformError as error:
            raise Corrupt(untransformable(str(error))) from None
        # In an etcd, JSON has a line end.
        if self._as_json is not None and (plain[:1] != b"{" or plain[-1:] == b"\n"):
            return self._as_json(key, plain), True
        return plain, stale

    def _transformer(self, key: str) -> Transformer | None:
        """None: values are as they are."""
        start = len(keys.ROOT)
        end = key.find("/", start)
        prefix = key[start:end]
        if prefix not in self._places and end > 0:
            prefix = key[start : key.find("/", end + 1)]
        try:
            return self._chosen[prefix]
        except KeyError:
            chosen = self._chosen[prefix] = self._choose(prefix)
            return chosen

    def _choose(self, prefix: str) -> Transformer | None:
        if prefix in self._places:
            place = self._places[prefix]
        else:
            group, _, plural = prefix.partition("/")
            place = GroupResource(group, plural) if plural else None
        if place is None:
            return None
        for rule in (place, GroupResource(place.group, "*"), ANYTHING):
            if rule in self._rules:
                return self._rules[rule]
        return None
