"""Policies in a file: what they allow, and lines that are none."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kapi.authorization.abac import Abac, PolicyFileError, parse
from kapi.authorization.authorizer import Attributes, Decision
from kapi.messages import UserInfo

Json = dict[str, Any]
ADA = UserInfo(name="ada", groups=("dev", "system:authenticated"))
NOBODY = UserInfo(name="system:anonymous", groups=("system:unauthenticated",))


def new(**spec: Any) -> Json:
    version = "abac.authorization.kubernetes.io/v1beta1"
    return {"apiVersion": version, "kind": "Policy", "spec": spec}


async def allows(line: Json, asked: Attributes) -> bool:
    decision, reason = await Abac(parse(orjson.dumps(line), "f")).authorize(asked)
    if decision is Decision.NO_OPINION:
        assert reason == "No policy matched."
    return decision is Decision.ALLOW


def pods(user: UserInfo = ADA, verb: str = "get", **more: Any) -> Attributes:
    what = {"namespace": "ns", "resource": "pods", **more}
    return Attributes(user=user, verb=verb, is_resource=True, **what)


def path(path: str, user: UserInfo = ADA) -> Attributes:
    return Attributes(user=user, verb="get", is_resource=False, path=path)


ALL: Json = {"namespace": "*", "resource": "*", "apiGroup": "*"}


@pytest.mark.parametrize(
    ("line", "asked", "allowed"),
    [
        (new(user="ada", **ALL), pods(), True),
        (new(user="bob", **ALL), pods(), False),
        (new(group="dev", **ALL), pods(), True),
        (new(user="ada", group="ops", **ALL), pods(), False),
        (new(user="*", **ALL), pods(), True),
        (new(user="*", **ALL), pods(NOBODY), False),
        (new(**ALL), pods(), False),
        (new(user="ada", **{**ALL, "apiGroup": ""}), pods(), True),
        (new(user="ada", **{**ALL, "apiGroup": ""}), pods(group="apps"), False),
        (new(user="ada", **{**ALL, "namespace": "other"}), pods(), False),
        (new(user="ada", **{**ALL, "resource": "secrets"}), pods(), False),
        (new(user="ada", readonly=True, **ALL), pods(verb="watch"), True),
        (new(user="ada", readonly=True, **ALL), pods(verb="create"), False),
        (new(user="ada", **ALL), path("/version"), False),
        (new(user="ada", nonResourcePath="*"), path("/version"), True),
        (new(user="ada", nonResourcePath="*"), pods(), False),
        (new(user="ada", nonResourcePath="/version"), path("/version"), True),
        (new(user="ada", nonResourcePath="/version"), path("/version/x"), False),
        (new(user="ada", nonResourcePath="/api*"), path("/apis/x"), True),
        ({"user": "ada"}, pods(group="apps"), True),
        ({"user": "ada"}, path("/version"), True),
        ({"user": "ada", "resource": "pods"}, path("/version"), False),
        ({"user": "ada", "resource": "pods"}, pods(), True),
        ({"readonly": True}, pods(), True),
        ({"readonly": True}, pods(NOBODY), False),
        ({"group": "*"}, pods(), True),
    ],
)
async def test_policies(line: Json, asked: Attributes, *, allowed: bool) -> None:
    assert await allows(line, asked) is allowed


def test_files() -> None:
    lines = b'# a comment\n\n{"user":"a"}\n  {"user":"b"}  \n'
    assert [p.user for p in parse(lines, "f")] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", ""),
        (b"[]", "must be an object"),
        (b'{"kind":"Policy","apiVersion":"v1"}', 'no kind "Policy" is registered for version "v1"'),
        (b'{"user":1}', "user: must be a string"),
        (b'{"readonly":"yes"}', "readonly: must be a boolean"),
        (orjson.dumps({**new(), "spec": []}).replace(b"[]", b"[1]"), "spec: must be an object"),
    ],
)
def test_lines_that_are_none(line: bytes, words: str) -> None:
    with pytest.raises(PolicyFileError) as raised:
        parse(b"{}\n" + line, "file")
    text = str(raised.value)
    assert text.startswith(f"error reading policy file file, line 2: {line.decode()}: ")
    assert text.endswith(words)


async def test_rules() -> None:
    lines = [new(user="ada", readonly=True, **ALL), new(user="ada", nonResourcePath="/x")]
    policies = [*lines, new(user="ada", namespace="other", resource="pods"), new(user="bob", **ALL)]
    rules = await Abac(parse(b"\n".join(map(orjson.dumps, policies)), "f")).rules_for(ADA, "ns")
    assert rules.resource == [
        {"verbs": ["get", "list", "watch"], "apiGroups": ["*"], "resources": ["*"]}
    ]
    assert rules.non_resource == []
    assert not rules.incomplete
