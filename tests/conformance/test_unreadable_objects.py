"""Objects in the store that cannot be read, such as encrypted ones: an error for them and for lists
with them, and nothing else is disturbed."""

from __future__ import annotations

from server_harness import eventually, running

from kapi.storage.interface import UNREADABLE
from kapi.storage.memory import MemoryStorage

SECRETS = "/api/v1/namespaces/default/secrets"
KEY = "/registry/secrets/default/hidden"
WORDS = (
    "StorageError: corrupt object, Code: 7, Key: /secrets/default/hidden, ResourceVersion: 0, "
    "AdditionalErrorMsg: why it is so"
)
TEXT = f"Internal error occurred: {WORDS}"
IN_A_LIST = "failed to read one or more secrets from the storage: " + WORDS.replace(
    "/secrets/", "/registry/secrets/"
)


async def test_an_unreadable_object_is_an_error_of_its_own() -> None:
    storage = MemoryStorage()
    revision = await storage.create(KEY, UNREADABLE + b"why it is so")
    async with running(storage=storage) as run:
        client = run.client
        await client.post(SECRETS, {"metadata": {"name": "fine"}})
        assert (await client.get(f"{SECRETS}/fine"))["metadata"]["name"] == "fine"
        for method, path, text in (
            ("GET", f"{SECRETS}/hidden", TEXT),
            ("GET", SECRETS, IN_A_LIST),
            ("GET", "/api/v1/secrets?limit=2", IN_A_LIST),
            ("GET", f"{SECRETS}?resourceVersion=0", IN_A_LIST),
            ("DELETE", f"{SECRETS}/hidden", TEXT),
        ):
            answer = await client(method, path)
            assert (answer.status, answer.message) == (500, text), (method, path)
        page = await client.get(f"{SECRETS}?limit=1")  # without it there is nothing to tell
        assert [s["metadata"]["name"] for s in page["items"]] == ["fine"]
        listed = (await client("GET", SECRETS)).json
        assert (listed["reason"], listed["details"]["name"]) == ("StorageReadError", "list")
        assert listed["details"]["causes"] == [
            {
                "reason": "UnexpectedServerResponse",
                "message": WORDS.replace("/secrets/", "/registry/secrets/"),
                "field": KEY,
            }
        ]
        answer = await client("PUT", f"{SECRETS}/hidden", {"metadata": {"name": "hidden"}})
        assert (answer.status, answer.message) == (500, "why it is so")
        assert (await client.get("/api/v1/namespaces/kube-system/secrets"))["items"] == []
        await storage.delete(KEY, expected_revision=revision)
        assert [s["metadata"]["name"] for s in (await client.get(SECRETS))["items"]] == ["fine"]


async def test_an_object_that_becomes_unreadable_ends_watches() -> None:
    storage = MemoryStorage()
    async with running(storage=storage) as run:
        made = await run.client.post(SECRETS, {"metadata": {"name": "hidden"}})
        version = made["metadata"]["resourceVersion"]
        async with run.client.watch(f"{SECRETS}?watch=1&resourceVersion={version}") as watch:
            value = UNREADABLE + b"why it is so"
            revision = await storage.update(KEY, value, expected_revision=int(version))
            event = await watch.next()
            assert event is not None
            text = "Internal error occurred: why it is so"
            assert (event["type"], event["object"]["message"]) == ("ERROR", text)
            assert await watch.ended()
        assert (await run.client("GET", f"{SECRETS}/hidden")).status == 500
        await storage.delete(KEY, expected_revision=revision)
        assert (await run.client("GET", f"{SECRETS}/hidden")).status == 404


UNSAFE = {"ignoreStoreReadErrorWithClusterBreakingPotential": True}
VERB = "unsafe-delete-ignore-read-errors"


async def test_who_may_removes_what_cannot_be_read() -> None:
    storage = MemoryStorage()
    await storage.create(KEY, UNREADABLE + b"why it is so")
    async with running(storage=storage) as run:
        gone = await run.client("DELETE", f"{SECRETS}/hidden", UNSAFE)
        assert gone.expect(200)["details"] == {"name": "hidden", "kind": "secrets"}
        assert (await run.client("GET", f"{SECRETS}/hidden")).status == 404
        assert (await run.client("DELETE", f"{SECRETS}/hidden", UNSAFE)).status == 404


async def test_what_can_be_read_is_not_removed_so() -> None:
    async with running() as run:
        await run.client.post(SECRETS, {"metadata": {"name": "fine"}})
        query = f"{SECRETS}/fine?{next(iter(UNSAFE))}=true"
        for answer in (
            await run.client("DELETE", f"{SECRETS}/fine", UNSAFE),
            await run.client("DELETE", query),
        ):
            assert answer.status == 409
            assert answer.message.endswith("the object is decodable from storage")
        refused = await run.client("DELETE", f"{SECRETS}/fine", {**UNSAFE, "dryRun": ["All"]})
        assert refused.message.endswith("true: cannot be set together with .dryRun")
        assert (await run.client("DELETE", SECRETS, UNSAFE)).status == 422
        assert (await run.client("GET", f"{SECRETS}/fine")).status == 200


async def test_to_delete_is_not_to_delete_what_cannot_be_read() -> None:
    storage = MemoryStorage()
    await storage.create(KEY, UNREADABLE + b"why it is so")
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["delete"]}
    async with running(storage=storage, authorization_mode=("RBAC",)) as run:
        role = {"metadata": {"name": "d"}, "rules": [rule]}
        (await run.client("POST", f"{roles}/roles", role)).expect(201)
        binding = {
            "metadata": {"name": "d"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "d"},
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}
            ],
        }
        (await run.client("POST", f"{roles}/rolebindings", binding)).expect(201)
        told = f'is forbidden: not permitted to do "{VERB}", reason: '

        async def refused() -> bool:  # once the role is known
            answer = await run.client("DELETE", f"{SECRETS}/hidden", UNSAFE, token="alice-token")
            assert answer.status == 403
            return answer.message.endswith(told)

        await eventually(refused)
        (await run.client("DELETE", f"{SECRETS}/hidden", UNSAFE)).expect(200)
