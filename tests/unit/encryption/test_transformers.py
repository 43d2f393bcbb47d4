"""Lists of transformers, and which of them is for which key."""

from __future__ import annotations

import pytest

from kapi.encryption.configuration import ANYTHING, GroupResource, Key, Keys
from kapi.encryption.local_keys import from_keys
from kapi.encryption.resources import ResourceCiphers
from kapi.encryption.transformers import (
    NO_MATCH,
    Counts,
    Identity,
    Prefixed,
    PrefixTransformers,
    Transformer,
    TransformError,
)
from kapi.metrics import Metrics
from kapi.storage.interface import Corrupt, Refused

CONTEXT = b"/registry/secrets/default/a"
ONE = "MTExMTExMTExMTExMTExMQ=="
TWO = "MjIyMjIyMjIyMjIyMjIyMg=="
PLAIN = Prefixed(b"", Identity())


class Lists:
    def __init__(self) -> None:
        self.metrics = Metrics()
        self.counts = Counts(self.metrics, lambda: 0.0)

    def keys(self, kind: str, *keys: tuple[str, str]) -> Prefixed:
        return from_keys(Keys(kind, [Key(*key) for key in keys]), self.counts)

    def of(self, *transformers: Prefixed) -> PrefixTransformers:
        return PrefixTransformers(NO_MATCH, transformers, self.counts)

    def shown(self) -> list[str]:
        name = "apiserver_storage_transformation_operations_total{"
        return [
            line for line in self.metrics.render()[1].decode().splitlines() if line.startswith(name)
        ]


@pytest.fixture
def lists() -> Lists:
    return Lists()


def test_the_first_writes_and_all_read(lists: Lists) -> None:
    old = lists.of(lists.keys("aesgcm", ("one", ONE)), PLAIN)
    stored = old.write(b"value", CONTEXT)
    assert stored.startswith(b"k8s:enc:aesgcm:v1:one:")
    assert old.read(stored, CONTEXT) == (b"value", False)
    assert old.read(b"{}", CONTEXT) == (b"{}", True)  # to be encrypted with the next write
    rotated = lists.of(lists.keys("aesgcm", ("two", TWO), ("one", ONE)))
    assert rotated.read(stored, CONTEXT) == (b"value", True)
    assert rotated.write(b"value", CONTEXT).startswith(b"k8s:enc:aesgcm:v1:two:")
    leaving = lists.of(PLAIN, lists.keys("aesgcm", ("one", ONE)))
    assert leaving.read(stored, CONTEXT) == (b"value", True)
    assert leaving.write(b"{}", CONTEXT) == b"{}"


def test_providers_of_one_kind_may_follow_each_other(lists: Lists) -> None:
    stored = lists.of(lists.keys("aescbc", ("one", ONE))).write(b"value", CONTEXT)
    both = lists.of(lists.keys("aescbc", ("two", TWO)), lists.keys("aescbc", ("one", ONE)))
    assert both.read(stored, CONTEXT) == (b"value", True)


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        ([("aescbc", ("two", TWO))], "no matching prefix found"),
        (
            [("aesgcm", ("two", TWO))],
            "no matching key was found for the provided AES transformer",
        ),
        ([("aesgcm", ("one", TWO))], "cipher: message authentication failed"),
        (
            [("aesgcm", ("one", TWO)), ("aesgcm", ("two", TWO))],
            "[cipher: message authentication failed, "
            "no matching key was found for the provided AES transformer]",
        ),
    ],
)
def test_why_nobody_reads_it(
    lists: Lists, kinds: list[tuple[str, tuple[str, str]]], text: str
) -> None:
    stored = lists.of(lists.keys("aesgcm", ("one", ONE))).write(b"value", CONTEXT)
    others = lists.of(PLAIN, *(lists.keys(kind, key) for kind, key in kinds))
    with pytest.raises(TransformError) as error:
        others.read(stored, CONTEXT)
    assert str(error.value) == text


def test_transformations_are_counted(lists: Lists) -> None:
    both = lists.of(lists.keys("aescbc", ("one", ONE)), PLAIN)
    both.read(both.write(b"value", CONTEXT), CONTEXT)
    both.read(b"{}", CONTEXT)
    with pytest.raises(TransformError):
        both.read(b"k8s:enc:aesgcm:v1:one:", CONTEXT)
    name = "apiserver_storage_transformation_operations_total"
    assert [line.removeprefix(name) for line in lists.shown()] == [
        '{status="OK",transformation_type="to_storage",transformer_prefix="one:"} 1',
        '{status="OK",transformation_type="to_storage",transformer_prefix="k8s:enc:aescbc:v1:"} 1',
        '{status="OK",transformation_type="from_storage",transformer_prefix="one:"} 1',
        '{status="OK",transformation_type="from_storage",'
        'transformer_prefix="k8s:enc:aescbc:v1:"} 1',
        '{status="OK",transformation_type="from_storage",transformer_prefix="identity"} 1',
        '{status="unknown-non-grpc",transformation_type="from_storage",'
        'transformer_prefix="unknown"} 1',
    ]


# -- by key ---------------------------------------------------------------------------------------

PLACES = {
    "secrets": GroupResource("", "secrets"),
    "services/specs": GroupResource("", "services"),
    "deployments": GroupResource("apps", "deployments"),
    "ranges": None,
}


class Named:
    """Says who it is, and what it was given."""

    def __init__(self, name: str) -> None:
        self.name = name.encode()

    def read(self, data: bytes, context: bytes) -> tuple[bytes, bool]:
        if not data.startswith(self.name):
            raise TransformError("not mine")
        return data.removeprefix(self.name), False

    def write(self, data: bytes, context: bytes) -> bytes:
        if data == b"!":
            raise TransformError("expired")
        return self.name + data


def ciphers(*names: str) -> ResourceCiphers:
    found = ResourceCiphers(PLACES, str.encode)
    rules: dict[GroupResource, Transformer] = {}
    for name in names:
        resource, _, group = name.partition(".")
        rules[GroupResource(group, resource)] = Named(name)
    found.use(rules)
    return found


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("/registry/secrets/default/a", b"secrets"),
        ("/registry/services/specs/default/a", b"*."),
        ("/registry/services/endpoints/default/a", b"*.*"),
        ("/registry/deployments/default/a", b"*.apps"),
        ("/registry/example.com/pandas/default/a", b"pandas.example.com"),
        ("/registry/example.com/pandas/a", b"pandas.example.com"),
        ("/registry/example.com/others/default/a", b"*.*"),
        ("/registry/ranges/serviceips", b""),
        ("/registry/masterleases", b""),
    ],
)
def test_the_closest_rule_is_taken(key: str, name: bytes) -> None:
    cipher = ciphers("secrets", "*.", "*.apps", "pandas.example.com", "*.*")
    assert cipher.encrypt(key, b"{}") == name + b"{}"
    assert cipher.decrypt(key, name + b"{}") == (b"{}", False)


def test_without_a_rule_values_are_as_they_are() -> None:
    cipher = ciphers("secrets")
    key = "/registry/deployments/default/a"
    assert cipher.encrypt(key, b"{}") == b"{}"
    with pytest.raises(Corrupt) as error:
        cipher.decrypt(key, b"k8s:enc:aescbc:v1:one:")
    assert str(error.value) == (
        "data from the storage is not transformable revision=0: "
        "identity transformer tried to read encrypted data"
    )


def test_failures_have_words_of_the_store() -> None:
    cipher = ciphers("secrets")
    with pytest.raises(Refused, match="expired"):
        cipher.encrypt("/registry/secrets/default/a", b"!")
    with pytest.raises(Corrupt, match="not transformable revision=0: not mine"):
        cipher.decrypt("/registry/secrets/default/a", b"{}")


def test_rules_can_be_replaced() -> None:
    cipher, key = ciphers("secrets"), "/registry/secrets/default/a"
    assert cipher.encrypt(key, b"{}") == b"secrets{}"
    generation = cipher.generation
    cipher.use({ANYTHING: Named("other")})
    assert cipher.encrypt(key, b"{}") == b"other{}"
    assert cipher.generation > generation


def test_a_store_of_json_reads_messages_of_another() -> None:
    cipher = ResourceCiphers(PLACES, str.encode, lambda key, value: b"%b is json" % value[4:])
    cipher.use({ANYTHING: Identity()})
    assert cipher.decrypt("/registry/secrets/d/a", b"k8s\0it") == (b"it is json", True)
    assert cipher.decrypt("/registry/a.b/c/d", b"\xd9\xd9\xf7\xa0it") == (b"it is json", True)
    assert cipher.decrypt("/registry/a.b/c/d", b"{  }\n") == (b"\n is json", True)
    for kept in (b"{}", b'{"data":{}}\n[["data","{ }"]]'):
        assert cipher.decrypt("/registry/a.b/c/d", kept) == (kept, False)
