"""What every resource does, as functions over any of them: verbs, options, forms of answers.

A `Sample` says what a test must know of a kind. Each function in `CHECKS` is one test; it gets a
running server, the sample and a namespace of its own ("" for a cluster-scoped kind, which then has
no objects). Watches are in `resource_suite_watch.py`, discovery and OpenAPI in
`resource_suite_documents.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import yaml
from server_harness import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    Client,
    Running,
)

Json = dict[str, Any]
Path = tuple[str, ...]
MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A kind and a small right object of it."""

    group: str
    version: str
    plural: str
    kind: str
    body: Json  # all but kind, apiVersion and metadata
    path: Path  # a field that a client may change ...
    values: tuple[Any, Any, Any]  # ... with its value in `body` and two others
    namespaced: bool = True
    status: Json | None = None  # what may be written by the status subresource
    generation: bool = False
    custom: bool = False
    returns_deleted: bool = False
    other_version: str = ""  # another served version
    subresources: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    ids: str = field(default="")

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def root(self, version: str = "") -> str:
        version = version or self.version
        return f"/apis/{self.group}/{version}" if self.group else f"/api/{version}"

    def all(self, version: str = "") -> str:
        """The path of the objects of all namespaces."""
        return f"{self.root(version)}/{self.plural}"

    def of(self, namespace: str, version: str = "") -> str:
        """The path of the objects of a namespace."""
        if not self.namespaced:
            return self.all(version)
        return f"{self.root(version)}/namespaces/{namespace}/{self.plural}"

    def at(self, namespace: str, name: str, version: str = "") -> str:
        return f"{self.of(namespace, version)}/{name}"

    def make(self, name: str, value: Any = None, **meta: Any) -> Json:
        obj = {
            "kind": self.kind,
            "apiVersion": self.api_version,
            "metadata": {"name": name, **meta},
            **copy.deepcopy(self.body),
        }
        if value is not None:
            put(obj, self.path, value)
        return obj

    def change(self, value: Any) -> Json:
        """A merge patch."""
        out: Any = value
        for name in reversed(self.path):
            out = {name: out}
        assert isinstance(out, dict)
        return out


def put(obj: Json, path: Path, value: Any) -> None:
    for name in path[:-1]:
        obj = obj.setdefault(name, {})
    obj[path[-1]] = value


def at(obj: Json, path: Path) -> Any:
    value: Any = obj
    for name in path:
        value = value[name]
    return value


def version_of(obj: Json) -> int:
    return int(obj["metadata"]["resourceVersion"])


def names(listed: Json) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


Check = Callable[[Running, Sample, str], Awaitable[None]]


async def _filled(c: Client, s: Sample, ns: str, *wanted: str) -> list[Json]:
    return [await c.post(s.of(ns), s.make(n, labels={"n": n, "all": "yes"})) for n in wanted]


# -- create and get -------------------------------------------------------------------------------


async def in_its_own_place(run: Running, sample: Sample, check: Check, number: int) -> None:
    """Run a check where no other has left anything; `number` has not been used on this server."""
    if not sample.namespaced:
        await run.client.delete(sample.all())
        await check(run, sample, "")
        return
    namespace = f"suite-{number}"
    await run.client.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    await check(run, sample, namespace)
    assert not run.client.crashes


async def create_and_get(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    answer = await c("POST", s.of(ns), s.make("one", labels={"a": "b"}))
    made = answer.expect(201)
    meta = made["metadata"]
    assert (made["kind"], made["apiVersion"]) == (s.kind, s.api_version)
    assert (meta["name"], meta.get("namespace", "")) == ("one", ns)
    assert len(meta["uid"]) == 36
    assert meta["creationTimestamp"].endswith("Z")
    assert meta["labels"] == {"a": "b"}
    assert meta.get("generation") == (1 if s.generation else None)
    assert at(made, s.path) == s.values[0]
    assert meta["managedFields"][0]["manager"] == "suite"
    got = await c("GET", s.at(ns, "one"))
    assert got.body == answer.body
    assert got.header("content-type") == "application/json"
    again = await c("POST", s.of(ns), s.make("one"))
    assert again.expect(409)["reason"] == "AlreadyExists"
    assert again.message == f'{s.qualified} "one" already exists'


async def create_takes_what_the_client_may_not_set(run: Running, s: Sample, ns: str) -> None:
    obj = s.make(
        "one",
        uid="11111111-1111-1111-1111-111111111111",
        creationTimestamp="2001-01-01T00:00:00Z",
        generation=17,
        selfLink="/nowhere",
        deletionTimestamp="2001-01-01T00:00:00Z",
    )
    meta = (await run.client.post(s.of(ns), obj))["metadata"]
    assert meta["uid"] != obj["metadata"]["uid"]
    assert not meta["creationTimestamp"].startswith("2001")
    assert meta.get("generation") == (1 if s.generation else 17)
    assert "deletionTimestamp" not in meta
    assert "selfLink" not in meta


async def create_without_kind_and_version(run: Running, s: Sample, ns: str) -> None:
    body = s.make("one")
    del body["kind"], body["apiVersion"]
    answer = await run.client("POST", s.of(ns), body)
    if s.custom:
        assert "Object 'Kind' is missing" in answer.message
    else:
        assert answer.expect(201)["kind"] == s.kind


async def create_of_another_kind(run: Running, s: Sample, ns: str) -> None:
    # What a custom object may call itself is a matter of its strategy.
    kinds: list[Json] = [] if s.custom else [{"kind": "Nonsense"}]
    for wrong in ({"apiVersion": "no.such/v9"}, *kinds):
        answer = await run.client("POST", s.of(ns), {**s.make("one"), **wrong})
        assert answer.expect(400)["reason"] == "BadRequest"


async def generated_names(run: Running, s: Sample, ns: str) -> None:
    obj = s.make("")
    obj["metadata"] = {"generateName": "gen-"}
    made = [await run.client.post(s.of(ns), obj) for _ in range(3)]
    found = {m["metadata"]["name"] for m in made}
    assert len(found) == 3
    for name in found:
        assert name.startswith("gen-")
        assert len(name) == len("gen-") + 5


async def names_are_checked(run: Running, s: Sample, ns: str) -> None:
    answer = await run.client("POST", s.of(ns), s.make("Not_A_Name/"))
    status = answer.expect(422)
    assert status["details"]["causes"][0]["field"] == "metadata.name"
    obj = s.make("")
    assert "name or generateName is required" in (await run.client("POST", s.of(ns), obj)).message


async def an_absent_object(run: Running, s: Sample, ns: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await run.client(method, s.at(ns, "absent"))
        details = {"name": "absent", "group": s.group, "kind": s.plural}
        assert answer.expect(404)["details"] == {k: v for k, v in details.items() if v}
        assert answer.message == f'{s.qualified} "absent" not found'
    patched = await run.client("PATCH", s.at(ns, "absent"), {}, content_type=MERGE_PATCH)
    assert patched.reason == "NotFound"


async def yaml_bodies_and_answers(run: Running, s: Sample, ns: str) -> None:
    text = yaml.safe_dump(s.make("one")).encode()
    answer = await run.client(
        "POST",
        s.of(ns),
        text,
        content_type="application/yaml",
        headers={"accept": "application/yaml"},
    )
    assert answer.status == 201
    assert answer.header("content-type") == "application/yaml"
    assert yaml.safe_load(answer.body)["metadata"]["name"] == "one"
    got = await run.client("GET", s.at(ns, "one"), headers={"accept": "application/yaml"})
    assert got.body == answer.body


async def unknown_fields(run: Running, s: Sample, ns: str) -> None:
    c, obj = run.client, {**s.make("one"), "bogus": 1}
    strict = await c("POST", s.of(ns) + "?fieldValidation=Strict", obj)
    assert strict.status == 400
    assert 'unknown field "bogus"' in strict.message
    warned = await c("POST", s.of(ns), obj)
    assert warned.status == 201
    assert warned.warnings == ['unknown field "bogus"']
    obj["metadata"]["name"] = "two"
    silent = await c("POST", s.of(ns) + "?fieldValidation=Ignore", obj)
    assert silent.status == 201
    assert silent.warnings == []
    assert "bogus" not in silent.json


async def a_namespace_that_is_not_there(run: Running, s: Sample, ns: str) -> None:
    if not s.namespaced:
        return
    answer = await run.client("POST", s.of("nowhere"), s.make("one"))
    assert answer.expect(404)["details"] == {"name": "nowhere", "kind": "namespaces"}
    assert (await run.client.get(s.of("nowhere")))["items"] == []
    wrong = await run.client("POST", s.of(ns), s.make("one", namespace="other"))
    assert "does not match the namespace" in wrong.message


async def methods_that_are_not_allowed(run: Running, s: Sample, ns: str) -> None:
    await run.client.post(s.of(ns), s.make("one"))
    for method, path in (
        ("HEAD", s.at(ns, "one")),
        ("OPTIONS", s.at(ns, "one")),
        ("POST", s.at(ns, "one")),
        ("PUT", s.of(ns)),
        ("PATCH", s.of(ns)),
    ):
        answer = await run.client(method, path, s.make("one"))
        assert answer.status == 405, (method, path, answer.body)
    nothing = await run.client("GET", s.at(ns, "one") + "/nonsense")
    assert nothing.status == 404


# -- list -----------------------------------------------------------------------------------------


async def listing(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    made = await _filled(c, s, ns, "b", "a", "c")
    listed = await c.get(s.of(ns))
    assert listed["kind"] == f"{s.kind}List"
    assert listed["apiVersion"] == s.api_version
    assert names(listed) == ["a", "b", "c"]
    assert version_of(listed) >= version_of(made[-1])
    if not s.custom:
        assert "kind" not in listed["items"][0]
    everywhere = await c.get(s.all() + "?labelSelector=all%3Dyes")
    assert {"a", "b", "c"} <= set(names(everywhere))


async def paging(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    wanted = [f"n{i}" for i in range(5)]
    await _filled(c, s, ns, *wanted)
    page = await c.get(s.of(ns) + "?limit=2")
    assert names(page) == wanted[:2]
    assert page["metadata"]["remainingItemCount"] == 3
    await c.post(s.of(ns), s.make("n00"))
    await c.post(s.of(ns), s.make("n9"))
    await c.delete(s.at(ns, "n4"))
    found = names(page)
    revision = page["metadata"]["resourceVersion"]
    while token := page["metadata"].get("continue"):
        page = await c.get(s.of(ns) + f"?limit=2&continue={token}")
        assert page["metadata"]["resourceVersion"] == revision
        found += names(page)
    assert found == wanted
    bad = await c("GET", s.of(ns) + "?limit=2&continue=nonsense")
    assert bad.status == 400


async def selectors(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    await _filled(c, s, ns, "a", "b", "c")
    await c.post(s.of(ns), s.make("bare"))
    for selector, found in (
        ("n=a", ["a"]),
        ("n==a", ["a"]),
        ("n!=a", ["b", "bare", "c"]),
        ("n in (a,c)", ["a", "c"]),
        ("n notin (a,c)", ["b", "bare"]),
        ("n", ["a", "b", "c"]),
        ("!n", ["bare"]),
        ("n,n!=b", ["a", "c"]),
    ):
        encoded = selector.replace("=", "%3D").replace(" ", "%20").replace("!", "%21")
        assert names(await c.get(s.of(ns) + f"?labelSelector={encoded}")) == found, selector
    assert names(await c.get(s.of(ns) + "?fieldSelector=metadata.name%3Db")) == ["b"]
    assert "b" in names(await c.get(s.all() + "?fieldSelector=metadata.name%3Db"))
    assert names(await c.get(s.of(ns) + "?fieldSelector=metadata.name!%3Db")) == ["a", "bare", "c"]
    for query in ("labelSelector=a%3D%3D%3Db", "fieldSelector=spec.nothing%3D1"):
        assert (await c("GET", s.of(ns) + "?" + query)).reason == "BadRequest"


# -- update ---------------------------------------------------------------------------------------


async def updating(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    made = await c.post(s.of(ns), s.make("one"))
    same = await c.put(s.at(ns, "one"), made)
    assert version_of(same) == version_of(made), "nothing changed"
    new = copy.deepcopy(made)
    put(new, s.path, s.values[1])
    updated = await c.put(s.at(ns, "one"), new)
    assert version_of(updated) > version_of(made)
    assert at(updated, s.path) == s.values[1]
    assert updated["metadata"]["uid"] == made["metadata"]["uid"]
    assert updated["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]
    assert updated["metadata"].get("generation") == (2 if s.generation else None)
    stale = await c("PUT", s.at(ns, "one"), new)
    assert stale.expect(409)["reason"] == "Conflict"
    assert stale.message == f'Operation cannot be fulfilled on {s.qualified} "one": {MODIFIED}'
    labelled = await c.patch(s.at(ns, "one"), {"metadata": {"labels": {"x": "y"}}})
    assert labelled["metadata"].get("generation") == (2 if s.generation else None)
    assert (await c.get(s.at(ns, "one"))) == labelled


async def updates_that_are_refused(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    made = await c.post(s.of(ns), s.make("one"))
    other_name = await c("PUT", s.at(ns, "two"), made)
    assert other_name.status == 400
    absent = {**made, "metadata": {**made["metadata"], "name": "two"}}
    assert (await c("PUT", s.at(ns, "two"), absent)).status in (404, 409)
    other_uid = {**made, "metadata": {**made["metadata"], "uid": "another"}}
    assert (await c("PUT", s.at(ns, "one"), other_uid)).reason == "Conflict"
    assert (await c.get(s.at(ns, "one"))) == made


async def status(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    made = await c.post(s.of(ns), s.make("one"))
    path = s.at(ns, "one") + "/status"
    if s.status is None:
        assert (await c("GET", path)).status == 404
        return
    assert await c.get(path) == made
    both = copy.deepcopy(made)
    both["status"] = s.status
    put(both, s.path, s.values[1])
    updated = await c.put(path, both)
    assert at(updated, s.path) == s.values[0], "the status subresource changes the status only"
    assert updated["status"].items() >= s.status.items()
    assert updated["metadata"].get("generation") == made["metadata"].get("generation")
    by = [e.get("subresource", "") for e in updated["metadata"]["managedFields"]]
    assert sorted(by) == ["", "status"]
    both["metadata"]["resourceVersion"] = updated["metadata"]["resourceVersion"]
    both["status"] = {}
    main = await c.put(s.at(ns, "one"), both)
    assert main["status"] == updated["status"], "the object itself cannot change the status"
    assert at(main, s.path) == s.values[1]
    patched = await c.patch(path, {"status": s.status, **s.change(s.values[2])})
    assert at(patched, s.path) == s.values[1]


async def patches(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    made = await c.post(s.of(ns), s.make("one"))
    path = s.at(ns, "one")
    merged = await c.patch(path, s.change(s.values[1]))
    assert at(merged, s.path) == s.values[1]
    assert version_of(await c.patch(path, s.change(s.values[1]))) == version_of(merged)
    pointer = "/" + "/".join(s.path)
    operations = [
        {"op": "test", "path": pointer, "value": s.values[1]},
        {"op": "replace", "path": pointer, "value": s.values[2]},
    ]
    assert at(await c.patch(path, operations, JSON_PATCH), s.path) == s.values[2]
    failed = await c("PATCH", path, operations, content_type=JSON_PATCH)
    assert failed.status == 422
    strategic = await c("PATCH", path, s.change(s.values[0]), content_type=STRATEGIC_PATCH)
    if s.custom:
        assert strategic.status == 415
    else:
        assert at(strategic.expect(200), s.path) == s.values[0]
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}}
    conflict = await c("PATCH", path, {**s.change(s.values[1]), **stale}, content_type=MERGE_PATCH)
    assert conflict.reason == "Conflict"
    assert (await c("PATCH", path, {}, content_type="text/plain")).status == 415


async def applying(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    path = s.at(ns, "one")

    async def apply(value: Any, manager: str, more: str = "") -> Any:
        return await c(
            "PATCH",
            f"{path}?fieldManager={manager}{more}",
            s.make("one", value),
            content_type=APPLY_PATCH,
        )

    made = (await apply(s.values[0], "first")).expect(201)
    assert made["metadata"]["managedFields"][0]["operation"] == "Apply"
    again = (await apply(s.values[0], "first")).expect(200)
    assert version_of(again) == version_of(made)
    changed = (await apply(s.values[1], "first")).expect(200)
    assert at(changed, s.path) == s.values[1]
    conflict = await apply(s.values[2], "second")
    assert conflict.expect(409)["details"]["causes"][0]["reason"] == "FieldManagerConflict"
    forced = (await apply(s.values[2], "second", "&force=true")).expect(200)
    assert at(forced, s.path) == s.values[2]
    nameless = await c("PATCH", path, s.make("one"), content_type=APPLY_PATCH)
    assert nameless.status == 422


async def dry_runs(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    made = await c.post(s.of(ns), s.make("one"))
    before = await run.storage.current_revision()
    dry = "?dryRun=All"
    new = await c.post(s.of(ns) + dry, s.make("two"))
    assert "resourceVersion" not in new["metadata"]
    assert new["metadata"]["uid"]
    changed = copy.deepcopy(made)
    put(changed, s.path, s.values[1])
    assert at(await c.put(s.at(ns, "one") + dry, changed), s.path) == s.values[1]
    assert at(await c.patch(s.at(ns, "one") + dry, s.change(s.values[2])), s.path) == s.values[2]
    await c.delete(s.at(ns, "one") + dry)
    await c.delete(s.of(ns) + dry)
    assert await run.storage.current_revision() == before
    assert await c.get(s.at(ns, "one")) == made
    assert (await c("POST", s.of(ns) + dry, s.make("one"))).status == 409
    assert (await c("POST", s.of(ns) + "?dryRun=Some", s.make("two"))).status == 422


# -- delete ---------------------------------------------------------------------------------------


async def deleting(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    made = await c.post(s.of(ns), s.make("one"))
    for wrong in ({"uid": "another"}, {"resourceVersion": "1"}):
        answer = await c("DELETE", s.at(ns, "one"), {"preconditions": wrong})
        assert answer.expect(409)["reason"] == "Conflict"
    gone = await c.delete(s.at(ns, "one"), {"preconditions": {"uid": made["metadata"]["uid"]}})
    if s.returns_deleted:
        assert gone["metadata"]["uid"] == made["metadata"]["uid"]
    else:
        assert (gone["kind"], gone["status"]) == ("Status", "Success")
        assert gone["details"]["uid"] == made["metadata"]["uid"]
    assert (await c("GET", s.at(ns, "one"))).status == 404
    again = await c.post(s.of(ns), s.make("one"))
    assert again["metadata"]["uid"] != made["metadata"]["uid"]


async def finalizers(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    await c.post(s.of(ns), s.make("one", finalizers=["example.com/hold"]))
    held = await c.delete(s.at(ns, "one"))
    assert held["kind"] == s.kind
    assert held["metadata"]["deletionTimestamp"]
    assert (await c.get(s.at(ns, "one"))) == held
    again = await c.delete(s.at(ns, "one"))
    assert version_of(again) == version_of(held)
    refused = copy.deepcopy(held)
    refused["metadata"]["finalizers"] = ["example.com/hold", "example.com/more"]
    assert (await c("PUT", s.at(ns, "one"), refused)).status == 422
    free = {"metadata": {"finalizers": None}}
    assert (await c.patch(s.at(ns, "one"), free))["metadata"]["name"] == "one"
    assert (await c("GET", s.at(ns, "one"))).status == 404


async def propagation(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        await c.post(s.of(ns), s.make("one"))
        answer = await c("DELETE", s.at(ns, "one") + f"?propagationPolicy={policy}")
        assert answer.json["metadata"]["finalizers"] == [finalizer]
        await c.patch(s.at(ns, "one"), {"metadata": {"finalizers": None}})
    await c.post(s.of(ns), s.make("one"))
    both = {"propagationPolicy": "Orphan", "orphanDependents": True}
    assert (await c("DELETE", s.at(ns, "one"), both)).status == 422
    assert (await c("DELETE", s.at(ns, "one"), {"propagationPolicy": "No"})).status == 422


async def deleting_collections(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    await _filled(c, s, ns, "a", "b", "c")
    gone = await c.delete(s.of(ns) + "?labelSelector=n%21%3Db")
    assert names(gone) == ["a", "c"]
    assert names(await c.get(s.of(ns))) == ["b"]
    await c.delete(s.of(ns))
    assert names(await c.get(s.of(ns))) == []


# -- forms of answers -----------------------------------------------------------------------------


async def tables(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    await _filled(c, s, ns, "a", "b")
    for path, rows in ((s.of(ns), 2), (s.at(ns, "a"), 1)):
        table = (await c("GET", path, headers={"accept": TABLE})).expect(200)
        assert table["kind"] == "Table"
        assert len(table["rows"]) == rows
        for row in table["rows"]:
            assert len(row["cells"]) == len(table["columnDefinitions"])
            assert row["object"]["kind"] == "PartialObjectMetadata"
            assert row["cells"][0] == row["object"]["metadata"]["name"]
    whole = await c("GET", s.of(ns) + "?includeObject=Object", headers={"accept": TABLE})
    assert whole.json["rows"][0]["object"] == await c.get(s.at(ns, "a"))
    none = await c("GET", s.of(ns) + "?includeObject=None", headers={"accept": TABLE})
    assert none.json["rows"][0]["object"] is None


async def metadata_only(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    (made,) = await _filled(c, s, ns, "a")
    one = (await c("GET", s.at(ns, "a"), headers={"accept": PARTIAL})).expect(200)
    assert one["kind"] == "PartialObjectMetadata"
    assert one["metadata"] == made["metadata"]
    assert one.keys() == {"kind", "apiVersion", "metadata"}
    listed = (await c("GET", s.of(ns), headers={"accept": PARTIAL_LIST})).expect(200)
    assert listed["kind"] == "PartialObjectMetadataList"
    assert listed["items"] == [one]


async def other_versions(run: Running, s: Sample, ns: str) -> None:
    if not s.other_version:
        return
    c, other = run.client, s.other_version
    made = await c.post(s.of(ns), s.make("one"))
    seen = await c.get(s.at(ns, "one", other))
    assert seen["apiVersion"].endswith(other)
    for name in ("uid", "resourceVersion", "creationTimestamp"):
        assert seen["metadata"][name] == made["metadata"][name]
    same = await c.put(s.at(ns, "one", other), seen)
    assert version_of(same) == version_of(made), "there and back changes nothing"
    assert await c.get(s.at(ns, "one")) == made
    labelled = await c.patch(s.at(ns, "one", other), {"metadata": {"labels": {"a": "b"}}})
    assert labelled["apiVersion"].endswith(other)
    back = await c.get(s.at(ns, "one"))
    assert {k: v for k, v in back.items() if k != "metadata"} == {
        k: v for k, v in made.items() if k != "metadata"
    }
    listed = await c.get(s.of(ns, other))
    assert listed["apiVersion"].endswith(other)
    assert names(listed) == ["one"]
    seen["metadata"] = {"name": "two"}
    created = await c.post(s.of(ns, other), seen)
    assert created["apiVersion"].endswith(other)
    two = await c.get(s.at(ns, "two"))
    assert at(two, s.path) == s.values[0]


CHECKS: tuple[Check, ...] = (
    create_and_get,
    create_takes_what_the_client_may_not_set,
    create_without_kind_and_version,
    create_of_another_kind,
    generated_names,
    names_are_checked,
    an_absent_object,
    yaml_bodies_and_answers,
    unknown_fields,
    a_namespace_that_is_not_there,
    methods_that_are_not_allowed,
    listing,
    paging,
    selectors,
    updating,
    updates_that_are_refused,
    status,
    patches,
    applying,
    dry_runs,
    deleting,
    finalizers,
    propagation,
    deleting_collections,
    tables,
    metadata_only,
    other_versions,
)
