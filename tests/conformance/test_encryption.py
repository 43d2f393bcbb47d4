"""Encryption at rest of a server: what is in the store, keys that change, plugins, reload."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from etcd_process import one_member
from kms_plugin import kms_plugin
from server_harness import Answer, Running, eventually, running

from kapi.__main__ import run as run_command
from kapi.assembly.encryption import CannotEncrypt
from kapi.clock import SystemClock
from kapi.encryption import configuration
from kapi.encryption.local_keys import AesGcm
from kapi.storage.check import check_file
from kapi.storage.etcd import EtcdStorage
from kapi.storage.etcd_client import EtcdSettings
from kapi.storage.interface import Storage
from kapi.storage.memory import MemoryStorage
from kapi.storage.sqlite import SqliteStorage

SECRETS = "/api/v1/namespaces/default/secrets"
WORD = "correct horse battery staple"
DATA = base64.b64encode(WORD.encode()).decode()
SECRET = {"metadata": {"name": "s"}, "data": {"word": DATA}}
KEY = "/registry/secrets/default/s"
LOCAL = ("aescbc", "aesgcm", "secretbox")


def keys(kind: str, *names: str) -> Any:
    """A provider whose keys are made of their names."""
    secrets = {name: base64.b64encode(name.encode().ljust(32, b".")).decode() for name in names}
    return {kind: {"keys": [{"name": n, "secret": s} for n, s in secrets.items()]}}


PANDAS = {
    "metadata": {"name": "pandas.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "pandas", "kind": "Panda"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }
        ],
    },
}
IDENTITY: Any = {"identity": {}}


class Config:
    """The file; `write` replaces it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, *providers: Any, resources: Iterable[str] = ("secrets",)) -> None:
        rule = {"resources": [*resources], "providers": [*providers]}
        self.rules(rule)

    def rules(self, *rules: Any) -> None:
        head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
        self.path.write_text(json.dumps({**head, "resources": rules}))
        self.path.chmod(0o600)

    def flags(self, **more: Any) -> Mapping[str, Any]:
        return {"encryption_provider_config": str(self.path), **more}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path / "encryption.json")


@asynccontextmanager
async def sqlite(directory: Path) -> AsyncIterator[Storage]:
    storage = await SqliteStorage.open(directory)
    try:
        yield storage
    finally:
        await storage.close()


class Kept(MemoryStorage):
    """One that outlives its server."""

    async def close(self) -> None:
        return


async def stored(storage: Storage, key: str = KEY) -> bytes:
    record = await storage.get(key)
    assert record is not None
    return record.value


async def secret(run: Running, name: str = "s") -> Any:
    return (await run.client.get(f"{SECRETS}/{name}"))["data"]


async def replaced(run: Running) -> None:
    """As `kubectl get secrets -A -o json | kubectl replace -f -` does."""
    for item in (await run.client.get("/api/v1/secrets"))["items"]:
        namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
        await run.client.put(f"/api/v1/namespaces/{namespace}/secrets/{name}", item)


# -- on, rotated, off -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOCAL)
async def test_secrets_are_not_in_the_file_of_sqlite(
    tmp_path: Path, config: Config, kind: str
) -> None:
    config.write(keys(kind, "one"), IDENTITY)
    directory = tmp_path / "data"
    directory.mkdir()
    flags = config.flags(data_dir=str(directory))
    async with running(storage=await SqliteStorage.open(directory), **flags) as run:
        await run.client.post(SECRETS, SECRET)
        await run.client.post("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "m"}})
        assert await secret(run) == {"word": DATA}
        [listed] = (await run.client.get(SECRETS))["items"]
        assert listed["data"] == {"word": DATA}
        patch = {"metadata": {"labels": {"a": "b"}}}
        merge = "application/merge-patch+json"
        (await run.client("PATCH", f"{SECRETS}/s", patch, content_type=merge)).expect(200)
        value = await stored(run.storage)
        assert value.startswith(f"k8s:enc:{kind}:v1:one:".encode())
        assert (await stored(run.storage, "/registry/configmaps/default/m")).startswith(b"{")
    for path in directory.iterdir():
        assert WORD.encode() not in path.read_bytes()
        assert DATA.encode() not in path.read_bytes()
    # The next start reads it again, watches included.
    async with running(storage=await SqliteStorage.open(directory), **flags) as run:
        assert await secret(run) == {"word": DATA}
        async with run.client.watch(f"{SECRETS}?watch=1") as watch:
            event = await watch.next()
            assert event is not None
            assert (event["type"], event["object"]["data"]) == ("ADDED", {"word": DATA})


@pytest.mark.parametrize("prefix", ["/registry", "/elsewhere"])
async def test_in_etcd_messages_are_encrypted_under_their_keys(
    tmp_path: Path, config: Config, prefix: str
) -> None:
    config.write(keys("aesgcm", "one"), resources=("secrets",))
    with one_member(tmp_path) as etcd:
        settings = EtcdSettings(servers=[etcd.url], prefix=prefix)
        storage = await EtcdStorage.open(settings, SystemClock())
        flags = config.flags(etcd_servers=(etcd.url,), etcd_prefix=prefix)
        async with running(storage=storage, **flags) as run:
            made = await run.client.post(SECRETS, SECRET)
            value = (await stored(storage)).removeprefix(b"k8s:enc:aesgcm:v1:one:")
            context = f"{prefix}/secrets/default/s".encode()
            plain, _ = AesGcm(b"one".ljust(32, b".")).read(value, context)
            assert plain.startswith(b"k8s\0")
            assert WORD.encode() in plain
            # What another server wrote is read, and what is the same is not written again.
            again = await run.client.put(f"{SECRETS}/s", made)
            version = made["metadata"]["resourceVersion"]
            assert again["metadata"]["resourceVersion"] == version
            assert await secret(run) == {"word": DATA}


async def served(run: Running, path: str) -> bool:
    return (await run.client("GET", path)).status == 200


async def test_custom_kinds_are_encrypted(config: Config) -> None:
    config.write(keys("secretbox", "one"), resources=("*.example.com",))
    storage = Kept()
    async with running(storage=storage, **config.flags()) as run:
        await run.client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", PANDAS)
        path = "/apis/example.com/v1/namespaces/default/pandas"
        await eventually(lambda: served(run, path))
        panda = {"apiVersion": "example.com/v1", "kind": "Panda", "metadata": {"name": "p"}}
        await run.client.post(path, panda)
        value = await stored(storage, "/registry/example.com/pandas/default/p")
        assert value.startswith(b"k8s:enc:secretbox:v1:one:")
        assert (await run.client.get(f"{path}/p"))["metadata"]["name"] == "p"
        key = "/registry/apiextensions.k8s.io/customresourcedefinitions/pandas.example.com"
        assert (await stored(storage, key)).startswith(b"{")


async def test_everything_may_be_encrypted(config: Config) -> None:
    config.write(keys("aesgcm", "one"), resources=("*.*",))
    storage = Kept()
    async with running(storage=storage, **config.flags()) as run:
        await run.client.post(SECRETS, SECRET)
    plain = {
        record.key
        for record in (await storage.list("/registry/")).records
        if not record.value.startswith(b"k8s:enc:aesgcm:v1:one:")
    }
    assert all(key.startswith(("/registry/ranges/", "/registry/masterleases/")) for key in plain)
    async with running(storage=storage, **config.flags()) as run:
        assert await secret(run) == {"word": DATA}


async def test_turned_on_rotated_and_turned_off(config: Config) -> None:
    """Each step begins with objects of the one before, and ends with all in the new form."""
    storage = Kept()
    async with running(storage=storage) as run:
        await run.client.post(SECRETS, SECRET)
    steps: list[tuple[list[Any], bytes]] = [
        ([keys("aescbc", "one"), IDENTITY], b"k8s:enc:aescbc:v1:one:"),
        ([keys("aescbc", "two", "one")], b"k8s:enc:aescbc:v1:two:"),
        ([keys("secretbox", "one"), keys("aescbc", "two")], b"k8s:enc:secretbox:v1:one:"),
        ([IDENTITY, keys("secretbox", "one")], b"{"),
    ]
    for providers, start in steps:
        config.write(*providers)
        async with running(storage=storage, **config.flags()) as run:
            before = await run.client.get(f"{SECRETS}/s")
            dry = await run.client.put(f"{SECRETS}/s?dryRun=All", before)
            assert dry["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
            assert not (await stored(storage)).startswith(start)
            await replaced(run)
            assert (await stored(storage)).startswith(start)
            after = await run.client.get(f"{SECRETS}/s")
            version = after["metadata"].pop("resourceVersion")
            assert version != before["metadata"].pop("resourceVersion")
            assert after == before
            await replaced(run)  # now there is nothing to do
            now = await run.client.get(f"{SECRETS}/s")
            assert now["metadata"]["resourceVersion"] == version
    async with running(storage=storage) as run:
        assert await secret(run) == {"word": DATA}


async def test_every_way_to_write_encrypts(config: Config) -> None:
    """Whatever asks for a write: nothing of it is to be read in what the store is given."""

    class Noting(Kept):
        values: list[bytes]

        async def create(self, key: str, value: bytes) -> int:
            self.noted(key, value)
            return await super().create(key, value)

        async def update(self, key: str, value: bytes, *, expected_revision: int) -> int:
            self.noted(key, value)
            return await super().update(key, value, expected_revision=expected_revision)

        def noted(self, key: str, value: bytes) -> None:
            if not key.startswith(("/registry/ranges/", "/registry/masterleases/")):
                self.values.append(value)

    storage = Noting()
    storage.values = []
    config.write(keys("aesgcm", "one"), resources=["*.*"])
    async with running(storage=storage, **config.flags()) as run:
        at = f"{SECRETS}/s"
        held = {"metadata": {**SECRET["metadata"], "finalizers": ["example.com/x"]}}
        await run.client.post(SECRETS, {**SECRET, **held})
        for media_type, body in (
            ("application/merge-patch+json", {"data": {"a": DATA}}),
            ("application/strategic-merge-patch+json", {"data": {"b": DATA}}),
            ("application/json-patch+json", [{"op": "remove", "path": "/data/a"}]),
        ):
            await run.client.patch(at, body, media_type)
        applied = {"apiVersion": "v1", "kind": "Secret", **SECRET}
        forced = f"{at}?fieldManager=m&force=true"
        await run.client.patch(forced, applied, "application/apply-patch+yaml")
        await run.client.delete(at)
        end = [{"op": "remove", "path": "/metadata/finalizers"}]
        await run.client.patch(at, end, "application/json-patch+json")
        gone = await run.client("GET", at)
        assert gone.status == 404
        await run.client.post("/api/v1/namespaces", {"metadata": {"name": "n"}})
        account = {"metadata": {"name": "default"}}
        await run.client.post("/api/v1/namespaces/n/serviceaccounts", account)
        service = {"metadata": {"name": "v"}, "spec": {"ports": [{"port": 80}]}}
        await run.client.post("/api/v1/namespaces/n/services", service)
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await run.client.post("/api/v1/namespaces/n/pods", pod)
        status = {"status": {"phase": "Running"}}
        patch = "application/merge-patch+json"
        await run.client.patch("/api/v1/namespaces/n/pods/p/status", status, patch)
        await run.client.delete("/api/v1/namespaces/n")
    assert len(storage.values) > 100
    assert all(value.startswith(b"k8s:enc:aesgcm:v1:one:") for value in storage.values)


async def test_a_deletion_that_has_to_wait_encrypts_anew(config: Config) -> None:
    storage = Kept()
    for names in (("one",), ("two", "one")):
        config.write(keys("aesgcm", *names))
        async with running(storage=storage, **config.flags()) as run:
            if names == ("one",):
                held = {"metadata": {**SECRET["metadata"], "finalizers": ["example.com/x"]}}
                await run.client.post(SECRETS, {**SECRET, **held})
            for _ in range(2):  # the second has nothing left to do
                await run.client.delete(f"{SECRETS}/s")
                version = (await run.client.get(f"{SECRETS}/s"))["metadata"]["resourceVersion"]
            assert (await stored(storage)).startswith(f"k8s:enc:aesgcm:v1:{names[0]}:".encode())
            await run.client.delete(f"{SECRETS}/s")
            now = await run.client.get(f"{SECRETS}/s")
            assert now["metadata"]["resourceVersion"] == version


async def test_on_etcd_a_write_of_the_same_encrypts_anew(tmp_path: Path, config: Config) -> None:
    """Though such a write begins with what the cache has, which does not know."""
    with one_member(tmp_path) as etcd:
        for names in (("one",), ("two", "one")):
            settings = EtcdSettings(servers=[etcd.url])
            storage = await EtcdStorage.open(settings, SystemClock())
            config.write(keys("aesgcm", *names))
            async with running(storage=storage, **config.flags(etcd_servers=(etcd.url,))) as run:
                if names == ("one",):
                    await run.client.post(SECRETS, SECRET)
                await replaced(run)
                value = await stored(storage)
                assert value.startswith(f"k8s:enc:aesgcm:v1:{names[0]}:".encode())
                assert await secret(run) == {"word": DATA}


# -- what cannot be read --------------------------------------------------------------------------


def told(answer: Answer) -> tuple[int, str, str]:
    return answer.status, answer.reason, answer.message


@pytest.mark.parametrize(
    ("providers", "why"),
    [
        ((), "identity transformer tried to read encrypted data"),
        ((keys("aescbc", "one"),), "no matching prefix found"),
        ((IDENTITY, keys("aescbc", "one")), "no matching prefix found"),
        (
            (keys("aesgcm", "two"),),
            "no matching key was found for the provided AES transformer",
        ),
        (
            (
                {
                    "aesgcm": {
                        "keys": [{"name": "one", "secret": base64.b64encode(bytes(32)).decode()}]
                    }
                },
            ),
            "cipher: message authentication failed",
        ),
    ],
)
async def test_without_the_key_it_is_an_error_of_its_own(
    config: Config, providers: tuple[Any, ...], why: str
) -> None:
    storage = Kept()
    config.write(keys("aesgcm", "one"))
    async with running(storage=storage, **config.flags()) as run:
        await run.client.post(SECRETS, SECRET)
    flags: Mapping[str, Any] = {}
    if providers:
        config.write(*providers)
        flags = config.flags()
    async with running(storage=storage, **flags) as run:
        words = f"data from the storage is not transformable revision=0: {why}"
        corrupt = (
            "StorageError: corrupt object, Code: 7, Key: {}/secrets/default/s, "
            f"ResourceVersion: 0, AdditionalErrorMsg: {words}"
        )
        one = (500, "InternalError", f"Internal error occurred: {corrupt.format('')}")
        assert told(await run.client("GET", f"{SECRETS}/s")) == one
        assert told(await run.client("DELETE", f"{SECRETS}/s")) == one
        put = await run.client("PUT", f"{SECRETS}/s", SECRET)
        assert told(put) == (500, "InternalError", f"Internal error occurred: {words}")
        listed = await run.client("GET", "/api/v1/secrets")
        assert told(listed) == (
            500,
            "StorageReadError",
            "failed to read one or more secrets from the storage: " + corrupt.format("/registry"),
        )
        assert listed.json["details"]["causes"][0]["field"] == KEY
        # Others are not disturbed, and new ones are good.
        await run.client.post("/api/v1/namespaces/kube-system/secrets", SECRET)
        kube = await run.client.get("/api/v1/namespaces/kube-system/secrets/s")
        assert kube["data"] == {"word": DATA}
        gone = {"ignoreStoreReadErrorWithClusterBreakingPotential": True}
        (await run.client("DELETE", f"{SECRETS}/s", gone)).expect(200)
        assert (await run.client("GET", f"{SECRETS}/s")).status == 404
        assert len((await run.client.get("/api/v1/secrets"))["items"]) == 1


async def test_a_value_moved_to_another_key_is_not_read(config: Config) -> None:
    config.write(keys("aesgcm", "one"))
    storage = Kept()
    async with running(storage=storage, **config.flags()) as run:
        await run.client.post(SECRETS, SECRET)
        revision = await storage.create(f"{KEY}-copy", await stored(storage))
        answer = await run.client("GET", f"{SECRETS}/s-copy")
        assert answer.status == 500
        assert answer.message.endswith("cipher: message authentication failed")
        await storage.delete(f"{KEY}-copy", expected_revision=revision)
        await run.caught_up()


# -- the file -------------------------------------------------------------------------------------


async def test_a_server_does_not_start_with_a_wrong_file(config: Config) -> None:
    config.write({"aesgcm": {"keys": [{"name": "a", "secret": "c2hvcnQ="}]}})
    with pytest.raises(CannotEncrypt) as error:
        async with running(**config.flags()):
            pass
    assert str(error.value) == (
        "error while parsing file: resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: "
        '"REDACTED": secret is not of the expected length, got 5, expected one of [16 24 32]'
    )
    rule = {"providers": [IDENTITY]}
    config.rules({**rule, "resources": ["*.apps"]}, {**rule, "resources": ["deployments.apps"]})
    with pytest.raises(CannotEncrypt) as error:
        async with running(**config.flags()):
            pass
    assert str(error.value) == (
        'error while building transformers: resource "deployments.apps" is masked by earlier rule '
        '"*.apps"'
    )
    config.write({"kms": {"name": "foo", "endpoint": "unix:///tmp/kms.sock"}})
    with pytest.raises(CannotEncrypt, match="KMSv1 is deprecated and will only receive security"):
        async with running(**config.flags()):
            pass


async def test_a_file_that_others_may_read_is_warned_of(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    config.write(IDENTITY)
    for mode, count in ((0o600, 0), (0o640, 1), (0o604, 1)):
        config.path.chmod(mode)
        caplog.clear()
        async with running(**config.flags()):
            pass
        found = [r for r in caplog.records if "may be read by others" in r.getMessage()]
        assert len(found) == count, oct(mode)


class Minutes(SystemClock):
    """A clock on which a minute is a moment."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.02))


RELOADS = "apiserver_encryption_config_controller_automatic_reloads_total"


async def reloads(run: Running, status: str) -> int:
    lines = (await run.client("GET", "/metrics")).body.decode().splitlines()
    for line in lines:
        if line.startswith(RELOADS) and f'status="{status}"' in line:
            return int(line.split()[-1])
    return 0


async def test_a_changed_file_is_taken_over(config: Config) -> None:
    storage = Kept()
    config.write(keys("aesgcm", "one"))
    flags = config.flags(encryption_provider_config_automatic_reload=True)
    async with running(storage=storage, clock=Minutes(), **flags) as run:
        await run.client.post(SECRETS, SECRET)
        assert (await run.client("GET", "/healthz/kms-providers")).body == b"ok"

        async def taken(count: int, status: str = "success") -> bool:
            return await reloads(run, status) >= count

        config.write(keys("secretbox", "two"), keys("aesgcm", "one"))
        await eventually(lambda: taken(1))
        await replaced(run)
        assert (await stored(storage)).startswith(b"k8s:enc:secretbox:v1:two:")
        config.path.write_text("no configuration")
        await eventually(lambda: taken(1, "failure"))
        await run.client.post(SECRETS, {**SECRET, "metadata": {"name": "t"}})
        assert (await stored(storage, f"{KEY[:-1]}t")).startswith(b"k8s:enc:secretbox:v1:two:")
        # A key that is gone makes objects unreadable, one that comes back makes them readable.
        config.write(keys("secretbox", "three"))
        await eventually(lambda: taken(2))

        async def status(wanted: int) -> bool:
            await run.client.post("/api/v1/namespaces", {"metadata": {"generateName": "n-"}})
            return (await run.client("GET", SECRETS)).status == wanted

        await eventually(lambda: status(500))
        config.write(keys("secretbox", "three", "two"))
        await eventually(lambda: taken(3))
        await eventually(lambda: status(200))
        assert await secret(run) == {"word": DATA}
        info = "apiserver_encryption_config_controller_last_config_info"
        text = (await run.client("GET", "/metrics")).body.decode()
        assert text.count(f"{info}{{") == 1


async def test_whatever_a_look_at_the_file_meets_the_next_one_follows(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken_read(path: str) -> None:
        raise UnicodeError(Path(path).read_text())

    config.write(keys("aesgcm", "one"))
    flags = config.flags(encryption_provider_config_automatic_reload=True)
    async with running(storage=Kept(), clock=Minutes(), **flags) as run:

        async def taken(status: str) -> bool:
            return await reloads(run, status) >= 1

        with monkeypatch.context() as broken:
            broken.setattr(configuration, "read", broken_read)
            await eventually(lambda: taken("failure"))
        text = "".join(str(vars(record)) for record in caplog.records)
        assert "the encryption config cannot be used" in text
        assert "UnicodeError" in text
        assert keys("aesgcm", "one")["aesgcm"]["keys"][0]["secret"] not in text
        config.write(keys("aesgcm", "two"))
        await eventually(lambda: taken("success"))


# -- plugins --------------------------------------------------------------------------------------


async def test_a_plugin_encrypts_and_its_key_changes(tmp_path: Path, config: Config) -> None:
    async with kms_plugin(tmp_path / "kms.sock") as plugin:
        kms = {"kms": {"apiVersion": "v2", "name": "foo", "endpoint": plugin.endpoint}}
        config.write(kms)
        storage = Kept()
        async with running(storage=storage, alone=False, **config.flags()) as run:
            for name in ("s", "t", "u"):
                await run.client.post(SECRETS, {**SECRET, "metadata": {"name": name}})
            assert (await stored(storage)).startswith(b"k8s:enc:kms:v2:foo:")
            assert plugin.calls == ["Status", "Encrypt"]
            verbose = (await run.client("GET", "/readyz?verbose")).body.decode()
            assert "[+]etcd ok\n[+]etcd-readiness ok\n[+]kms-providers ok\n" in verbose
        plugin.calls.clear()
        plugin.use("key-2")
        async with running(storage=storage, alone=False, **config.flags()) as run:
            assert plugin.calls == ["Status", "Encrypt", "Decrypt"]
            before = await run.client.get(f"{SECRETS}/s")
            assert before["data"] == {"word": DATA}
            await replaced(run)
            assert b"key-2" in await stored(storage)
            del plugin.keys["key-1"]
        async with running(storage=storage, alone=False, **config.flags()) as run:
            assert await secret(run, "u") == {"word": DATA}


async def test_a_plugin_that_comes_late(tmp_path: Path, config: Config) -> None:
    # The other one keeps the threads of grpcio.
    async with kms_plugin(tmp_path / "kms.sock") as plugin, kms_plugin(tmp_path / "other.sock"):
        kms = {
            "kms": {
                "apiVersion": "v2",
                "name": "foo",
                "endpoint": plugin.endpoint,
                "timeout": "100ms",
            }
        }
        config.write(kms)
        storage = Kept()
        async with running(storage=storage, alone=False, **config.flags()) as run:
            await run.client.post(SECRETS, SECRET)
        await plugin.stop()
        async with running(storage=storage, clock=Minutes(), alone=False, **config.flags()) as run:
            answer = await run.client("GET", "/healthz/kms-providers")
            assert answer.status == 500
            assert answer.body.startswith(
                b"internal server error: kms-provider-0: failed to perform status section of the "
                b"healthz check for KMS Provider foo, error: rpc error: code = DeadlineExceeded"
            )
            assert (await run.client("GET", "/livez")).status == 500
            assert (await run.client("GET", "/readyz")).status == 500
            answer = await run.client("GET", f"{SECRETS}/s")
            assert answer.message.endswith("revision=0: got unexpected nil transformer")
            answer = await run.client("POST", SECRETS, {"metadata": {"name": "t"}})
            assert told(answer) == (
                500,
                "InternalError",
                "Internal error occurred: got unexpected nil transformer",
            )
            await run.client.post("/api/v1/namespaces/default/configmaps", SECRET | {"data": {}})
            await plugin.start()

            async def well() -> bool:
                return (await run.client("GET", "/healthz/kms-providers")).status == 200

            await eventually(well)
            assert await secret(run) == {"word": DATA}
            await run.client.post("/api/v1/namespaces", {"metadata": {"name": "n"}})
            assert len((await run.client.get(SECRETS))["items"]) == 1


async def test_a_reload_waits_for_its_plugins(tmp_path: Path, config: Config) -> None:
    async with kms_plugin(tmp_path / "kms.sock") as plugin:
        plugin.healthz = "starting"
        storage = Kept()
        config.write(keys("aesgcm", "one"))
        flags = config.flags(encryption_provider_config_automatic_reload=True)
        async with running(storage=storage, clock=Minutes(), alone=False, **flags) as run:
            await run.client.post(SECRETS, SECRET)
            kms = {"kms": {"apiVersion": "v2", "name": "foo", "endpoint": plugin.endpoint}}
            config.write(kms, keys("aesgcm", "one"))

            async def asked() -> bool:
                return "Status" in plugin.calls

            await eventually(asked)
            await replaced(run)
            assert (await stored(storage)).startswith(b"k8s:enc:aesgcm:v1:one:")
            plugin.healthz = "ok"

            async def taken() -> bool:
                return await reloads(run, "success") == 1

            await eventually(taken)
            await replaced(run)
            assert (await stored(storage)).startswith(b"k8s:enc:kms:v2:foo:")
            assert (await run.client("GET", "/readyz/kms-providers")).body == b"ok"


# -- from one store to another --------------------------------------------------------------------


async def test_encrypted_objects_move_as_they_are(tmp_path: Path, config: Config) -> None:
    """From SQLite into etcd and back; each reads what the other wrote, and writes its own form."""
    config.write(keys("aesgcm", "one"), IDENTITY, resources=("secrets", "*.example.com"))
    pandas = "/apis/example.com/v1/namespaces/default/pandas"
    panda = {"apiVersion": "example.com/v1", "kind": "Panda", "metadata": {"name": "p"}}
    first, second = tmp_path / "first", tmp_path / "second"
    flags = config.flags()

    async def snapshot(*words: str) -> None:
        assert await asyncio.to_thread(run_command, ["snapshot", *words]) == 0

    async with running(storage=await SqliteStorage.open(first), **flags) as run:
        made = await run.client.post(SECRETS, SECRET)
        await run.client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", PANDAS)
        in_sqlite = await stored(run.storage)
    file = str(tmp_path / "snapshot")
    await snapshot("save", file, "--data-dir", str(first))
    with gzip.open(file) as lines:
        assert DATA.encode() not in lines.read()
    with one_member(tmp_path) as etcd:
        await snapshot("restore", file, "--etcd-servers", etcd.url)
        storage = await EtcdStorage.open(EtcdSettings(servers=[etcd.url]), SystemClock())
        assert await stored(storage) == in_sqlite
        there = config.flags(etcd_servers=(etcd.url,))
        async with running(storage=storage, **there) as run:
            found = await run.client.get(f"{SECRETS}/s")
            assert found["metadata"]["uid"] == made["metadata"]["uid"]
            assert found["data"] == {"word": DATA}
            changed = {**found, "data": {"word": DATA, "more": DATA}}
            await run.client.put(f"{SECRETS}/s", changed)
            await eventually(lambda: served(run, pandas))
            await run.client.post(pandas, panda)
            in_etcd = await stored(storage)
        await snapshot("save", file, "--etcd-servers", etcd.url)
    await snapshot("restore", file, "--data-dir", str(second))
    async with running(storage=await SqliteStorage.open(second), **flags) as run:
        assert await stored(run.storage) == in_etcd
        assert await secret(run) == {"word": DATA, "more": DATA}
        await eventually(lambda: served(run, pandas))
        answer = await run.client("GET", pandas)
        assert [item["metadata"]["name"] for item in answer.expect(200)["items"]] == ["p"]
        assert answer.body.count(b"\n") == 1  # at its end: not that of etcd's value
        assert len((await run.client.get(SECRETS))["items"]) == 1
        await replaced(run)
        value = (await stored(run.storage)).removeprefix(b"k8s:enc:aesgcm:v1:one:")
        plain, _ = AesGcm(b"one".ljust(32, b".")).read(value, KEY.encode())
        assert plain.startswith(b"{")


async def test_a_file_of_sqlite_without_its_configuration_is_sound(
    tmp_path: Path, config: Config
) -> None:
    config.write(keys("aescbc", "one"))
    async with running(storage=await SqliteStorage.open(tmp_path / "a"), **config.flags()) as run:
        await run.client.post(SECRETS, SECRET)
    assert check_file(tmp_path / "a") == []
    async with running(storage=await SqliteStorage.open(tmp_path / "a")) as run:
        assert (await run.client("GET", SECRETS)).status == 500
        gone = {"ignoreStoreReadErrorWithClusterBreakingPotential": True}
        (await run.client("DELETE", f"{SECRETS}/s", gone)).expect(200)
        assert (await run.client.get(SECRETS))["items"] == []


async def test_servers_that_share_an_etcd_have_seeds_of_their_own(
    tmp_path: Path, config: Config
) -> None:
    """What one wrote comes to the other by its watch, with a seed that it must ask for."""
    async with kms_plugin(tmp_path / "kms.sock") as plugin:
        config.write({"kms": {"apiVersion": "v2", "name": "foo", "endpoint": plugin.endpoint}})
        with one_member(tmp_path) as etcd:
            flags = config.flags(etcd_servers=(etcd.url,))
            settings = EtcdSettings(servers=[etcd.url])
            first, second = [await EtcdStorage.open(settings, SystemClock()) for _ in range(2)]
            async with (
                running(storage=first, alone=False, **flags) as one,
                running(storage=second, alone=False, **flags) as two,
                two.client.watch(f"{SECRETS}?watch=1&resourceVersion=0") as watch,
            ):
                plugin.calls.clear()
                for name in ("s", "t", "u"):
                    await one.client.post(SECRETS, {**SECRET, "metadata": {"name": name}})
                for name in ("s", "t", "u"):
                    event = await watch.next()
                    assert event is not None
                    assert event["object"]["metadata"]["name"] == name
                    assert event["object"]["data"] == {"word": DATA}
                assert plugin.calls == ["Decrypt"]
                found = await two.client.get(f"{SECRETS}/t")
                changed = await two.client.put(f"{SECRETS}/t", {**found, "data": {"a": DATA}})
                assert changed["data"] == {"a": DATA}
                assert (await one.client.get(f"{SECRETS}/t"))["data"] == {"a": DATA}
                assert plugin.calls == ["Decrypt", "Decrypt"]
