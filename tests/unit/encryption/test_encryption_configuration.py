"""EncryptionConfiguration: what is read, and what is refused in which words."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from kapi.codec import json_format
from kapi.encryption import configuration as files
from kapi.encryption import validation
from kapi.encryption.configuration import (
    Configuration,
    ConfigurationError,
    GroupResource,
    Identity,
    Key,
    Keys,
    Kms,
    group_resource,
)

HEAD = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
SECRET = base64.b64encode(bytes(32)).decode()
KEYS = {"keys": [{"name": "k1", "secret": SECRET}]}
KMS = {"apiVersion": "v2", "name": "foo", "endpoint": "unix:///tmp/kms.sock"}
P = "resources[0].providers[0]"


def one(resources: Any, *providers: Any) -> dict[str, Any]:
    return {**HEAD, "resources": [{"resources": resources, "providers": [*providers]}]}


def read(document: Any, *, reload: bool = False) -> Configuration:
    found = files.decode("enc.yaml", json_format.dumps(document), "hash")
    validation.check(found, reload=reload)
    return found


def refused(document: Any, *, reload: bool = False) -> str:
    with pytest.raises(ConfigurationError) as error:
        read(document, reload=reload)
    return str(error.value)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "enc.yaml"
    path.write_text(
        f"""
kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources:
  - resources: [secrets, configmaps, pandas.awesome.bears.example]
    providers:
      - identity: {{}}
      - aesgcm:
          keys:
            - name: key1
              secret: {SECRET}
      - kms: {{apiVersion: v2, name: foo, endpoint: 'unix:///tmp/kms.sock', timeout: 1m}}
  - resources: ['*.*']
    providers:
      - kms: {{name: bar, endpoint: 'unix:///tmp/one.sock'}}
"""
    )
    data, file_hash = files.read(str(path))
    found = files.decode(str(path), data, file_hash)
    validation.check(found, reload=False)
    assert file_hash == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    first, second = found.resources
    assert list(first.resources) == ["secrets", "configmaps", "pandas.awesome.bears.example"]
    assert [list(element) for element in first.providers] == [
        [Identity()],
        [Keys("aesgcm", [Key("key1", SECRET)])],
        [Kms("foo", "unix:///tmp/kms.sock", "v2", 60.0, None)],
    ]
    [[old]] = second.providers
    assert old == Kms("bar", "unix:///tmp/one.sock", "v1", 3.0, 1000)


def test_secrets_are_not_shown() -> None:
    assert SECRET not in repr(read(one(["secrets"], {"aescbc": KEYS})))


@pytest.mark.parametrize(
    ("text", "resource"),
    [
        ("secrets", GroupResource("", "secrets")),
        ("deployments.apps", GroupResource("apps", "deployments")),
        ("a.b.c", GroupResource("b.c", "a")),
        ("*.", GroupResource("", "*")),
        ("*.apps", GroupResource("apps", "*")),
        ("*.*", GroupResource("*", "*")),
    ],
)
def test_names_of_resources(text: str, resource: GroupResource) -> None:
    assert group_resource(text) == resource
    assert str(resource) == text


def test_a_file_that_cannot_be_decoded(tmp_path: Path) -> None:
    path = tmp_path / "enc.yaml"
    what = f'encryption provider configuration file "{path}"'
    with pytest.raises(ConfigurationError) as error:
        files.read(str(path))
    assert str(error.value) == f"error reading {what}: open {path}: no such file or directory"
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError) as error:
        files.read(str(path))
    assert str(error.value) == f"{what} is empty"
    where = 'error decoding encryption provider configuration file "enc.yaml": '
    assert refused([1]).startswith(where)
    assert refused({}) == f"{where}Object 'Kind' is missing"
    assert (
        refused({**HEAD, "kind": "EncryptionConfig"})
        == f'{where}no kind "EncryptionConfig" is registered for version '
        '"apiserver.config.k8s.io/v1"'
    )
    wrong = one(["secrets"], {"aescbc": {"keys": [{"name": "a", "secrets": SECRET}]}})
    assert (
        refused(wrong) == f"{where}strict decoding error: unknown field "
        f'"{P}.aescbc.keys[0].secrets"'
    )
    for broken in (
        {**HEAD, "resources": {}},
        {**HEAD, "resources": [1]},
        one([1], {"identity": {}}),
        one(["secrets"], {"identity": 1}),
        one(["secrets"], {"aescbc": {"keys": [{"name": 1, "secret": SECRET}]}}),
        one(["secrets"], {"kms": {**KMS, "timeout": "soon"}}),
        one(["secrets"], {"kms": {**KMS, "cachesize": True}}),
    ):
        assert refused(broken).startswith(where), broken


def test_what_must_be_there() -> None:
    assert refused(HEAD) == "resources: Required value: at least one resources is required"
    assert refused({**HEAD, "resources": [{}]}) == (
        "[resources[0].resources: Required value: at least one resources[0].resources is "
        "required, resources[0].providers: Required value: at least one resources[0].providers is "
        "required]"
    )
    no_provider = (
        "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, "
        "Secretbox, Identity"
    )
    assert refused(one(["secrets"], {})) == f"{P}: Invalid value: {{}}: {no_provider}"
    two = refused(one(["secrets"], {"identity": {}, "aescbc": KEYS}))
    assert two.endswith(
        "more than one provider specified in a single element, should split into different list "
        "elements"
    )
    assert SECRET not in two


@pytest.mark.parametrize(
    ("kind", "keys", "text"),
    [
        ("aescbc", [], ".keys: Required value: at least one keys is required"),
        (
            "aesgcm",
            [{"secret": SECRET}],
            ".keys[0].name: Required value: name is a mandatory field for a key",
        ),
        (
            "secretbox",
            [{"name": "a"}],
            ".keys[0].secret: Required value: secret is a mandatory field for a key",
        ),
        (
            "aescbc",
            [{"name": "a", "secret": "no base64!"}],
            '.keys[0].secret: Invalid value: "REDACTED": secrets must be base64 encoded',
        ),
        (
            "aescbc",
            [{"name": "a", "secret": "c2hvcnQ="}],
            '.keys[0].secret: Invalid value: "REDACTED": secret is not of the expected length, '
            "got 5, expected one of [16 24 32]",
        ),
        (
            "secretbox",
            [{"name": "a", "secret": base64.b64encode(bytes(16)).decode()}],
            '.keys[0].secret: Invalid value: "REDACTED": secret is not of the expected length, '
            "got 16, expected one of [32]",
        ),
    ],
)
def test_keys(kind: str, keys: Any, text: str) -> None:
    assert refused(one(["secrets"], {kind: {"keys": keys}})) == f"{P}.{kind}{text}"


def test_line_ends_in_a_secret_do_not_count() -> None:
    key = {"name": "a", "secret": f"{SECRET[:20]}\n{SECRET[20:]}\r\n"}
    read(one(["secrets"], {"aescbc": {"keys": [key]}}))


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["Secrets"], '[0]: Invalid value: "Secrets": resource name should not contain capital'),
        (["*"], "[0]: Invalid value: \"*\": use '*.' to encrypt all the resources from core"),
        (
            ["serviceipallocations"],
            '[0]: Invalid value: "serviceipallocations": resources which do not have REST API/s '
            "cannot be encrypted",
        ),
        (
            ["events.events.k8s.io"],
            "[0]: Invalid value: \"events.events.k8s.io\": '*.events.k8s.io' objects are stored",
        ),
        (
            ["*.extensions"],
            "[0]: Invalid value: \"*.extensions\": 'extensions' group has been removed",
        ),
        (
            ["secrets.*"],
            '[0]: Invalid value: "secrets.*": encrypting the same resource across groups is not',
        ),
        (
            ["secrets", "secrets"],
            ': Invalid value: ["secrets","secrets"]: the same resource cannot be specified',
        ),
        (
            ["secrets", "*."],
            ': Invalid value: ["secrets","*."]: using overlapping resources such as',
        ),
        (["*.*", "a.b"], ': Invalid value: ["*.*","a.b"]: using overlapping resources'),
    ],
)
def test_resources(names: list[str], text: str) -> None:
    found = refused(one(names, {"identity": {}}))
    assert found.startswith(f"resources[0].resources{text}"), found


def test_what_does_not_overlap() -> None:
    read(one(["secrets", "*.apps", "secrets.example.com"], {"identity": {}}))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": ""}, ".name: Required value: name is a mandatory field for a provider"),
        (
            {"name": "a:b"},
            ".name: Invalid value: \"a:b\": invalid KMS provider name a:b, must not contain ':'",
        ),
        ({"timeout": "0s"}, ".timeout: Invalid value: 0s: timeout should be a positive value"),
        ({"timeout": "-1s"}, ".timeout: Invalid value: -1s: timeout should be a positive value"),
        (
            {"endpoint": ""},
            '.endpoint: Invalid value: "": endpoint is a mandatory field for a kms',
        ),
        (
            {"endpoint": "tcp:///a"},
            '.endpoint: Invalid value: "tcp:///a": unsupported scheme "tcp" for KMS provider, '
            "only unix is supported",
        ),
        (
            {"cachesize": 5},
            ".cachesize: Invalid value: 5: cachesize is not supported in v2",
        ),
        (
            {"apiVersion": "v3"},
            '.apiVersion: Invalid value: "v3": unsupported apiVersion apiVersion for KMS '
            "provider, only v1 and v2 are supported",
        ),
        (
            {"apiVersion": "v1", "cachesize": 0},
            ".cachesize: Invalid value: 0: cachesize should be a positive value, or negative to "
            "disable",
        ),
    ],
)
def test_plugins(change: Any, text: str) -> None:
    assert refused(one(["secrets"], {"kms": {**KMS, **change}})) == f"{P}.kms{text}"


def test_names_of_plugins_are_used_once() -> None:
    again = '[0].providers[1].kms.name: Invalid value: "foo": duplicate KMS provider name foo'
    twice = one(["secrets"], {"kms": KMS}, {"kms": KMS})
    assert refused(twice).startswith(f"resources{again}")
    first = {"kms": {**KMS, "apiVersion": "v1"}}
    read(one(["secrets"], first, first))
    assert refused(one(["secrets"], first, first), reload=True).startswith(f"resources{again}")
