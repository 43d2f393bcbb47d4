"""The suite of every resource, and every manifest, in CBOR instead of JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import full_manifests
import pytest
import pytest_asyncio
import resource_suite
import resource_suite_documents
import resource_suite_watch
from cbor_client import running_cbor
from resource_suite import Check, Sample
from resource_suite_samples import BUILT_IN, MADE_UP, resource_of
from server_harness import Client, Running
from test_every_manifest import MOVES, SPACE, collection, prepare, served

CHECKS = (
    # What is said of unknown fields is another thing in CBOR: test_cbor.py.
    *(check for check in resource_suite.CHECKS if check is not resource_suite.unknown_fields),
    *resource_suite_watch.CHECKS,
    *resource_suite_documents.CHECKS,
)
SAMPLES = (*BUILT_IN, *MADE_UP)
_serial = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run() -> AsyncIterator[Running]:
    async with running_cbor() as made:
        for sample in MADE_UP:
            made.server.serve(resource_of(sample))
        yield made


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.plural)
async def test_of_every_resource(run: Running, sample: Sample, check: Check) -> None:
    await resource_suite.in_its_own_place(run, sample, check, next(_serial))


async def test_every_manifest_says_the_same_in_both_forms() -> None:
    """Made in CBOR, read in JSON; then put in CBOR as it was read, which changes nothing."""
    async with running_cbor() as run:
        client, plain = run.client, Client(run.client.app)
        kinds = served(run)
        await prepare(client)
        for manifest in full_manifests.stored(SPACE):
            resource, version = kinds[full_manifests.identity(manifest)]
            path = collection(resource, version)
            made = await client.post(f"{path}?fieldValidation=Strict", manifest)
            at = f"{path}/{made['metadata']['name']}"
            if resource.plural in MOVES:
                continue
            assert await plain.get(at) == made, at
            for other in resource.versions.values():
                at = f"{collection(resource, other)}/{made['metadata']['name']}"
                seen = await plain.get(at)
                assert await client.get(at) == seen, at
                answer = await client.put(at, seen)
                assert answer["metadata"] == seen["metadata"], at
