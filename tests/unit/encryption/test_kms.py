"""A KMS plugin: calls over its socket, seeds, keys that change, failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from kms_plugin import KmsPlugin, kms_plugin

from kapi.clock import Entropy, SystemClock
from kapi.encryption import envelope
from kapi.encryption.configuration import Kms
from kapi.encryption.envelope import Known
from kapi.encryption.kms import POLL_FAILED_S, POLL_S, WRITE_S, Provider
from kapi.encryption.local_keys import AesGcm
from kapi.encryption.messages import (
    AES_GCM_KEY,
    EncryptedObject,
    decrypt_request,
    object_bytes,
    read_object,
)
from kapi.encryption.plugin import Plugin, socket_path
from kapi.encryption.transformers import TransformError
from kapi.metrics import Metrics
from kapi.storage.encryption import KeyNeeded

CONTEXT = b"/registry/secrets/default/a"


class TurnedClock:
    """Real time, and what a test adds to it; sleeps of the provider end at once."""

    def __init__(self) -> None:
        self.added = 0.0
        self.slept: list[float] = []
        self._system = SystemClock()

    def now(self) -> float:
        return self._system.now() + self.added

    def monotonic(self) -> float:
        return self._system.monotonic() + self.added

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(min(seconds, 0.01))


@dataclass
class Set:
    plugin: KmsPlugin
    clock: TurnedClock
    metrics: Metrics
    made: list[Provider]

    def provider(self, timeout: float = 10.0) -> Provider:
        settings = Kms("foo", self.plugin.endpoint, "v2", timeout, None)
        plugin = Plugin(settings, self.clock, self.metrics)
        found = Provider(settings, plugin, self.clock, Entropy(1), self.metrics, "server-1")
        self.made.append(found)
        return found

    def shown(self, name: str) -> list[str]:
        lines = self.metrics.render()[1].decode().splitlines()
        return [line for line in lines if line.startswith(name)]


@pytest.fixture
async def kms(tmp_path: Path) -> AsyncIterator[Set]:
    async with kms_plugin(tmp_path / "kms.sock") as plugin:
        found = Set(plugin, TurnedClock(), Metrics(), [])
        yield found
        for provider in found.made:
            await provider.close()


async def read(provider: Provider, data: bytes) -> tuple[bytes, bool]:
    """As a store reads: what is needed is fetched once."""
    try:
        return provider.read(data, CONTEXT)
    except KeyNeeded as needed:
        await needed.fetch()
    return provider.read(data, CONTEXT)


def test_sockets() -> None:
    assert socket_path("unix:///var/run/kms.sock") == "/var/run/kms.sock"
    assert socket_path("unix:///@kms") == "\0kms"
    assert socket_path("unix:///a%20b") == "/a b"


# -- envelopes ------------------------------------------------------------------------------------


def test_the_envelope_is_the_message_of_the_real_server() -> None:
    obj = EncryptedObject(b"data", "key", b"dek", {"b.io": b"2", "a.io": b"1"})
    whole = bytes.fromhex(
        "0a0464617461"  # encryptedData
        "12036b6579"  # keyID
        "1a0364656b"  # encryptedDEKSource
        "22090a04612e696f120131"  # annotations, by their names
        "22090a04622e696f120132"
        "2801"  # encryptedDEKSourceType: a seed
    )
    assert object_bytes(obj) == whole
    assert read_object(whole) == obj
    old = replace(obj, annotations={}, source_type=AES_GCM_KEY)
    assert object_bytes(old) == whole[:16]
    assert read_object(whole[:16] + bytes.fromhex("3a0178")) == old  # with a field nobody knows


def test_what_the_plugin_is_asked() -> None:
    obj = EncryptedObject(b"data", "key", b"dek", {"a.io": b"1"})
    assert decrypt_request(obj, "u").hex() == "0a0364656b1201751a036b657922090a04612e696f120131"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"source_type": 2}, "unknown encryptedDEKSourceType: 2"),
        ({"data": b""}, "encrypted data is empty"),
        (
            {"dek_source": b""},
            "failed to validate encrypted DEK source: encrypted DEK source is empty",
        ),
        (
            {"dek_source": bytes(1025)},
            "failed to validate encrypted DEK source: encrypted DEK source is 1025 bytes, which "
            "exceeds the max size of 1024",
        ),
        ({"key_id": ""}, "failed to validate key id: keyID is empty"),
        (
            {"key_id": "k" * 1025},
            "failed to validate key id: keyID is 1025 bytes, which exceeds the max size of 1024",
        ),
        (
            {"annotations": {"a.io": bytes(32_769)}},
            "failed to validate annotations: total size of annotations is 32773, which exceeds "
            "the max size of 32768",
        ),
        (
            {"annotations": {"nodots": b""}},
            'failed to validate annotations: annotations: Invalid value: "nodots": should be a '
            "domain with at least two segments separated by dots",
        ),
    ],
)
def test_envelopes_that_are_refused(change: dict[str, object], text: str) -> None:
    obj = replace(EncryptedObject(b"data", "key", b"dek"), **change)  # type: ignore[arg-type]
    with pytest.raises(TransformError) as error:
        envelope.opened(object_bytes(obj))
    assert str(error.value) == text


def test_what_is_no_envelope() -> None:
    for data in (b"\x0a\xff", b"\xff\xff\xff", b"\x12\x02\xff\xfe"):
        with pytest.raises(TransformError):
            envelope.opened(data)


def test_known_seeds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kapi.encryption.envelope.SEEDS_MAX", 2)
    known = Known()
    readers = [AesGcm(bytes(16)) for _ in range(3)]
    for i in (0, 1):
        known.put(bytes((i,)), readers[i])
    assert known.get(b"\0") is readers[0]
    known.put(b"\2", readers[2])
    assert (known.get(b"\1"), len(known)) == (None, 2)


# -- a plugin -------------------------------------------------------------------------------------


async def test_one_seed_serves_many_values(kms: Set) -> None:
    provider = kms.provider()
    assert await provider.check() == ""
    stored = [provider.write(b"value %d" % i, CONTEXT) for i in range(20)]
    assert [provider.read(data, CONTEXT) for data in stored] == [
        (b"value %d" % i, False) for i in range(20)
    ]
    assert kms.plugin.calls == ["Status", "Encrypt"]
    assert len({read_object(data).dek_source for data in stored}) == 1
    again = kms.provider()  # the next start
    await again.check()
    assert await read(again, stored[0]) == (b"value 0", False)
    assert again.read(stored[1], CONTEXT) == (b"value 1", False)
    assert kms.plugin.calls[2:] == ["Status", "Encrypt", "Decrypt"]


async def test_a_value_is_bound_to_its_key(kms: Set) -> None:
    provider = kms.provider()
    await provider.check()
    data = provider.write(b"value", CONTEXT)
    with pytest.raises(TransformError, match="message authentication failed"):
        provider.read(data, b"/registry/secrets/default/b")


async def test_a_new_key_makes_values_stale(kms: Set) -> None:
    provider = kms.provider()
    await provider.check()
    old = provider.write(b"value", CONTEXT)
    kms.plugin.use("key-2")
    assert provider.read(old, CONTEXT) == (b"value", False)  # nobody has told it
    kms.clock.added += POLL_S
    assert await provider.check() == ""
    assert provider.read(old, CONTEXT) == (b"value", True)
    new = provider.write(b"value", CONTEXT)
    assert provider.read(new, CONTEXT) == (b"value", False)
    assert (read_object(old).key_id, read_object(new).key_id) == ("key-1", "key-2")


async def test_the_key_itself_in_the_place_of_a_seed(kms: Set) -> None:
    """As the first servers of this version wrote."""
    provider = kms.provider()
    await provider.check()
    seed = read_object(provider.write(b"x", CONTEXT))
    plain = await Plugin(
        Kms("foo", kms.plugin.endpoint, "v2", 10, None), kms.clock, kms.metrics
    ).decrypt(seed, "u" * 36)
    data = AesGcm(plain).write(b"value", CONTEXT)
    old = object_bytes(replace(seed, data=data, source_type=AES_GCM_KEY))
    assert await read(provider, old) == (b"value", True)


async def test_health_is_asked_for_once_in_a_while(kms: Set) -> None:
    provider = kms.provider()
    for _ in range(5):
        await provider.check()
    assert kms.plugin.calls.count("Status") == 1
    kms.clock.added += 21
    await provider.check()
    assert kms.plugin.calls.count("Status") == 2
    kms.plugin.healthz = "no HSM"
    kms.clock.added += 21
    problem = await provider.check()
    assert problem == (
        "kmsv2 Provider foo is not healthy, error: got unexpected healthz status: no HSM"
    )
    kms.plugin.healthz = "ok"
    assert await provider.check() == problem
    kms.clock.added += 4
    assert await provider.check() == ""


async def test_polling_is_faster_after_a_failure(kms: Set) -> None:
    provider = kms.provider()
    await provider.check()
    kms.plugin.healthz = "bad"
    task = asyncio.create_task(provider.run())
    async with asyncio.timeout(10):
        while POLL_FAILED_S not in kms.clock.slept:
            kms.clock.added += 30
            await asyncio.sleep(0.005)
    assert kms.clock.slept[0] == POLL_S
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("break_it", "text"),
    [
        (
            lambda p: setattr(p, "version", "v1beta1"),
            "expected KMSv2 API version v2, got v1beta1",
        ),
        (lambda p: setattr(p, "key_id", ""), 'got invalid KMSv2 KeyID hash "": keyID is empty'),
    ],
)
async def test_a_status_that_is_refused(
    kms: Set, break_it: Callable[[KmsPlugin], None], text: str
) -> None:
    provider = kms.provider()
    break_it(kms.plugin)
    assert await provider.check() == f"kmsv2 Provider foo is not healthy, error: {text}"


async def test_without_a_key_nothing_is_written(kms: Set) -> None:
    provider = kms.provider()
    kms.plugin.key_id = ""
    await provider.check()
    with pytest.raises(TransformError, match="got unexpected nil transformer"):
        provider.write(b"value", CONTEXT)


async def test_the_version_does_not_change(kms: Set) -> None:
    provider = kms.provider()
    await provider.check()
    kms.plugin.version = "v2beta1"
    kms.clock.added += 21
    assert "should not change after the initial status response" in await provider.check()


async def test_without_the_plugin_reads_go_on_and_writes_end(kms: Set) -> None:
    provider = kms.provider(timeout=0.2)
    await provider.check()
    data = provider.write(b"value", CONTEXT)
    await kms.plugin.stop()
    kms.clock.added += WRITE_S - 5
    assert "code = DeadlineExceeded" in await provider.check()
    provider.write(b"value", CONTEXT)
    kms.clock.added += 10
    with pytest.raises(TransformError, match=r"encryptedDEKSource with keyID hash .* expired at"):
        provider.write(b"value", CONTEXT)
    assert provider.read(data, CONTEXT) == (b"value", False)
    await kms.plugin.start()
    kms.clock.added += 10
    assert await provider.check() == ""
    provider.write(b"value", CONTEXT)


async def test_a_call_waits_for_the_plugin(kms: Set) -> None:
    await kms.plugin.stop()
    provider = kms.provider()
    check = asyncio.create_task(provider.check())
    await asyncio.sleep(0.05)
    assert not check.done()
    await kms.plugin.start()
    assert await check == ""


async def test_a_call_takes_no_longer_than_it_may(kms: Set) -> None:
    kms.plugin.hangs = True
    provider = kms.provider(timeout=0.1)
    assert "code = DeadlineExceeded" in await provider.check()


async def test_what_could_not_be_read_is_tried_again_after_a_recovery(kms: Set) -> None:
    first = kms.provider()
    await first.check()
    data = first.write(b"value", CONTEXT)
    await kms.plugin.stop()
    provider = kms.provider(timeout=0.1)
    told: list[bool] = []
    provider.recovered = lambda: told.append(True)
    assert await provider.check() != ""
    with pytest.raises(TransformError, match="got unexpected nil transformer"):
        provider.read(data, CONTEXT)
    await kms.plugin.start()
    kms.clock.added += 10
    assert await provider.check() == ""
    assert told == [True]
    assert await read(provider, data) == (b"value", False)


async def test_a_key_that_is_gone(kms: Set) -> None:
    first = kms.provider()
    await first.check()
    data = first.write(b"value", CONTEXT)
    kms.plugin.use("key-2")
    del kms.plugin.keys["key-1"]
    provider = kms.provider()
    await provider.check()
    for _ in range(3):
        with pytest.raises(TransformError) as error:
            await read(provider, data)
        assert str(error.value) == (
            "failed to decrypt DEK, error: rpc error: code = FailedPrecondition desc = no such key"
        )
        assert error.value.code == "FailedPrecondition"
    assert kms.plugin.calls.count("Decrypt") == 1  # not for each value of a list
    kms.clock.added += 2
    with pytest.raises(TransformError):
        await read(provider, data)
    assert kms.plugin.calls.count("Decrypt") == 2


async def test_a_plugin_that_hangs_is_not_asked_for_every_value(kms: Set) -> None:
    first = kms.provider()
    await first.check()
    data = first.write(b"value", CONTEXT)
    provider = kms.provider(timeout=0.2)
    await provider.check()
    kms.plugin.calls.clear()
    kms.plugin.hangs = True
    for _ in range(5):
        with pytest.raises(TransformError, match="code = DeadlineExceeded"):
            await read(provider, data)
    assert kms.plugin.calls == ["Decrypt"]
    kms.plugin.hangs = False
    kms.clock.added += 21
    assert await provider.check() == ""
    assert await read(provider, data) == (b"value", False)


async def test_a_plugin_that_hangs_is_not_asked_for_every_seed(kms: Set) -> None:
    """A list with many would wait for each as long as a call may take."""
    values = []
    for _ in range(3):
        writer = kms.provider()
        await writer.check()
        values.append(writer.write(b"value", CONTEXT))
    provider = kms.provider(timeout=0.2)
    await provider.check()
    kms.plugin.calls.clear()
    kms.plugin.hangs = True
    for data in values:
        with pytest.raises(TransformError, match="code = DeadlineExceeded"):
            await read(provider, data)
    assert kms.plugin.calls == ["Decrypt"]
    kms.plugin.hangs = False
    kms.clock.added += 11
    for data in values:
        assert await read(provider, data) == (b"value", False)


async def test_metrics(kms: Set) -> None:
    provider = kms.provider()
    await provider.check()
    data = provider.write(b"value", CONTEXT)
    other = kms.provider()
    await other.check()
    await read(other, data)
    name = "apiserver_envelope_encryption_"
    calls = kms.shown(f"{name}kms_operations_latency_seconds_count")
    assert [line.partition(",")[2] for line in calls] == [
        f'method_name="/v2.KeyManagementService/{method}",provider_name="foo"}} {count}'
        for method, count in (("Status", 2), ("Encrypt", 2), ("Decrypt", 1))
    ]
    assert all('grpc_status_code="OK"' in line for line in calls)
    uses = kms.shown(f"{name}key_id_hash_total")
    assert len(uses) == 2
    assert all("sha256:" in line and line.endswith("} 1") for line in uses)
    assert kms.shown(f"{name}dek_source_cache_size") == [
        f'{name}dek_source_cache_size{{provider_name="foo"}} 1'
    ]
    assert kms.shown("apiserver_storage_envelope_transformation_cache_misses_total") == [
        "apiserver_storage_envelope_transformation_cache_misses_total 1"
    ]
    for i in range(30):  # only the last ten keys are shown
        kms.plugin.use(f"key-{i}")
        kms.clock.added += 21
        await provider.check()
        provider.write(b"value", CONTEXT)
    assert len(kms.shown(f"{name}key_id_hash_total")) <= 11
    assert len(kms.shown(f"{name}key_id_hash_status_last_timestamp_seconds")) <= 11
