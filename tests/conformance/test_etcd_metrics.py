"""`/metrics` of a server on etcd: requests by operation and resource, sizes by endpoint, leases."""

from __future__ import annotations

import re
from pathlib import Path

from etcd_process import one_member, three_members
from replicas_harness import replica
from server_harness import Running, eventually

MAPS = "/api/v1/namespaces/default/configmaps"


async def metrics(server: Running) -> dict[str, float]:
    """Every line with its labels."""
    answer = await server.client("GET", "/metrics")
    lines = answer.body.decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


async def test_requests(tmp_path: Path) -> None:
    with one_member(tmp_path) as etcd:
        async with replica([etcd.url], advertise_address="192.0.2.1") as one:
            before = await metrics(one)
            for i in range(3):
                await one.client.post(MAPS, {"metadata": {"name": f"m{i}"}})
            await one.client.put(f"{MAPS}/m0", {"metadata": {"name": "m0"}, "data": {"a": "1"}})
            await one.client.delete(f"{MAPS}/m1")
            assert (await one.client("POST", MAPS, {"metadata": {"name": "m2"}})).status == 409
            await one.client.get(f"{MAPS}?limit=1")
            after = await metrics(one)

            def more(name: str) -> float:
                return after.get(name, 0) - before.get(name, 0)

            for operation, count in (("create", 3), ("update", 1), ("delete", 1)):
                labels = f'{{group="",operation="{operation}",resource="configmaps"}}'
                # That a name is taken may be seen before or by the write; it is no error.
                assert count <= more(f"etcd_requests_total{labels}") <= count + 1
                assert more(f"etcd_request_duration_seconds_count{labels}") >= count
                assert more(f"etcd_request_errors_total{labels}") == 0
            masters = 'etcd_requests_total{group="",operation="create",resource="apiServerIPInfo"}'

            async def announced() -> bool:
                return (await metrics(one)).get(masters) == 1

            await eventually(announced, 10)
            labels = '{group="",resource="configmaps"}'
            assert more(f"apiserver_storage_events_received_total{labels}") == 5
            assert after[f"apiserver_resource_objects{labels}"] >= 2
            fresh = '{fallback="false",group="",resource="configmaps",success="true"}'
            assert more(f"apiserver_watch_cache_consistent_read_total{fresh}") == 1
            lists = '{group="",index="",resource="configmaps",storage="watchcache"}'
            assert more(f"apiserver_storage_list_total{lists}") == 1
            assert not [name for name in after if re.search("resource=\"\"", name) and
                        name.startswith("etcd_request")]  # fmt: skip


async def test_failures_are_errors(tmp_path: Path) -> None:
    with one_member(tmp_path) as etcd:
        async with replica([etcd.url]) as one:
            etcd.kill()
            assert (await one.client("POST", MAPS, {"metadata": {"name": "m"}})).status in (
                503,
                504,
            )
            found = await metrics(one)
            errors = [n for n in found if n.startswith("etcd_request_errors_total")]
            assert any('resource="configmaps"' in name or 'resource="namespaces"' in name
                       for name in errors), errors  # fmt: skip
            etcd.start()
            etcd.wait()


async def test_sizes_of_all_members(tmp_path: Path) -> None:
    with three_members(tmp_path) as members:
        async with replica([m.url for m in members]) as one:
            size = 'apiserver_storage_size_bytes{{storage_cluster_id="etcd-{}"}}'
            wanted = [size.format(i) for i in range(3)]

            async def there() -> bool:
                found = await metrics(one)
                return all(found.get(name, 0) > 0 for name in wanted)

            await eventually(there, 10)


async def test_without_counts(tmp_path: Path) -> None:
    with one_member(tmp_path) as etcd:
        async with replica([etcd.url], etcd_count_metric_poll_period=0.0) as one:
            assert not [n for n in await metrics(one) if n.startswith("apiserver_resource_objects")]
