"""The suite of every resource, and every manifest, in CBOR instead of JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio
import resource_suite
import resource_suite_documents
import resource_suite_watch
from cbor_client import running_cbor
from resource_suite import Check, Sample
from resource_suite_samples import BUILT_IN, MADE_UP, resource_of
from server_harness import Running

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
    if not sample.namespaced:
        await run.client.delete(sample.all())
        await check(run, sample, "")
        return
    namespace = f"suite-{next(_serial)}"
    await run.client.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    await check(run, sample, namespace)
    assert not run.client.crashes
