"""Priority and fairness over sockets: noisy users wait and are refused, others are answered.

Requests are held up by not sending their bodies: each holds its seats until the body is there. The
last tests are the flow of Kubernetes' own end-to-end tests (test/e2e/apimachinery/flowcontrol.go).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from served_socket import Socketed, socketed
from server_harness import ADMIN, EVENT_WAIT_S, Json, Running, eventually, running

GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DUMPS = "/debug/api_priority_and_fairness"
LEVEL_UID = "x-kubernetes-pf-prioritylevel-uid"
SCHEMA_UID = "x-kubernetes-pf-flowschema-uid"
SEATS = 2  # of the level under test


class Raw:
    """One connection, with one request whose body comes later or never."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._body = b""

    @classmethod
    async def post(cls, at: Socketed, user: str, name: str) -> Raw:
        """The head of a creation; `finish` sends the rest."""
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        raw = cls(reader, writer)
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        raw._body = json.dumps(made).encode()
        raw._send("POST", CONFIG_MAPS, user, f"Content-Length: {len(raw._body)}")
        return raw

    @classmethod
    async def get(cls, at: Socketed, user: str, path: str) -> Raw:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        raw = cls(reader, writer)
        raw._send("GET", path, user)
        return raw

    def _send(self, method: str, path: str, user: str, *more: str) -> None:
        lines = (
            f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {ADMIN}",
            f"Impersonate-User: {user}", "Content-Type: application/json", *more, "", "",
        )  # fmt: skip
        self._writer.write("\r\n".join(lines).encode())

    def finish(self) -> None:
        self._writer.write(self._body)

    async def status(self) -> int:
        async with asyncio.timeout(EVENT_WAIT_S):
            line = await self._reader.readline()
        return int(line.split()[1])

    def close(self) -> None:
        self._writer.close()


def level(*, queues: int = 0, length: int = 2, shares: int = 0) -> Json:
    """Of so many shares; with none it gets seats by what it says in `prepare`."""
    response: Json = {"type": "Reject"}
    if queues:
        queuing = {"queues": queues, "handSize": 1, "queueLengthLimit": length}
        response = {"type": "Queue", "queuing": queuing}
    limited = {
        "nominalConcurrencyShares": shares,
        "borrowingLimitPercent": 0,
        "limitResponse": response,
    }
    return {"type": "Limited", "limited": limited}


async def prepare(
    run: Running, name: str, users: list[str], spec: Json, precedence: int = 1000
) -> tuple[str, str]:
    """A level and a schema that sends users to it, in force; the uids of both."""
    made = await run.client.post(
        f"{GROUP}/prioritylevelconfigurations", {"metadata": {"name": name}, "spec": spec}
    )
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
    schema = await run.client.post(
        f"{GROUP}/flowschemas",
        {
            "metadata": {"name": name},
            "spec": {
                "matchingPrecedence": precedence,
                "priorityLevelConfiguration": {"name": name},
                "distinguisherMethod": {"type": "ByUser"},
                "rules": [
                    {
                        "subjects": [{"kind": "User", "user": {"name": user}} for user in users],
                        "resourceRules": [{**everything, "clusterScope": True}],
                        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                    }
                ],
            },
        },
    )
    for user in users:
        await run.client.post(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            {
                "metadata": {"name": user},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "cluster-admin",
                },
                "subjects": [{"kind": "User", "name": user}],
            },
        )
    await run.caught_up()
    await steady(run, name)
    return made["metadata"]["uid"], schema["metadata"]["uid"]


async def steady(run: Running, name: str) -> None:
    """The schema says that its level exists, and metrics know the level."""

    async def found() -> bool:
        schema = await run.client.get(f"{GROUP}/flowschemas/{name}")
        conditions = (schema.get("status") or {}).get("conditions") or ()
        dangling = [c["status"] for c in conditions if c["type"] == "Dangling"]
        return dangling == ["False"] and seats_of(await metrics(run), name) is not None

    await eventually(found)


async def metrics(run: Running) -> str:
    return (await run.client("GET", "/metrics")).body.decode()


def seats_of(text: str, name: str) -> int | None:
    start = f'apiserver_flowcontrol_nominal_limit_seats{{priority_level="{name}"}} '
    for line in text.splitlines():
        if line.startswith(start):
            return int(line.removeprefix(start))
    return None


async def dumped(run: Running, name: str) -> str:
    """The row of a level in the dump of levels; empty if it has none."""
    text = (await run.client("GET", f"{DUMPS}/dump_priority_levels")).body.decode()
    return next((line for line in text.splitlines() if line.startswith(f"{name},")), "")


def queues_of(run: Running, name: str, waiting: int, seats: int) -> Any:
    """A condition: so many wait at a level, so many seats are taken."""

    async def reached() -> bool:
        control = run.server.flow_control
        assert control is not None
        queues = control.levels[name].queues
        return (queues.waiting, queues.seats_in_use) == (waiting, seats)

    return reached


@asynccontextmanager
async def stage(**flags: Any) -> AsyncIterator[tuple[Running, Socketed]]:
    """A server behind a socket whose levels of one share have two seats."""
    more = {"max_requests_inflight": 300, "max_mutating_requests_inflight": 192, **flags}
    async with running(**more) as run, socketed(run) as at:
        yield run, at


async def ask(at: Socketed, user: str, path: str = "/version") -> tuple[int, dict[str, str]]:
    answer = await at.fetch("GET", path, [("Impersonate-User", user)])
    return answer.status, {name.lower(): value for name, value in answer.headers}


async def test_a_noisy_user_waits_and_is_refused_while_others_are_answered() -> None:
    async with stage() as (run, at):
        uid, _ = await prepare(run, "noisy", ["noxu"], level(queues=1, shares=1))
        assert seats_of(await metrics(run), "noisy") == SEATS
        holding = [await Raw.post(at, "noxu", f"held-{n}") for n in range(SEATS)]
        await eventually(queues_of(run, "noisy", 0, SEATS))
        waiting = [await Raw.get(at, "noxu", CONFIG_MAPS) for _ in range(2)]
        await eventually(queues_of(run, "noisy", 2, SEATS))
        for _ in range(3):
            status, headers = await ask(at, "noxu")
            assert status == 429
            assert headers["retry-after"] == "1"
            assert headers[LEVEL_UID] == uid
            assert (await ask(at, "foo"))[0] == 200
        row = await dumped(run, "noisy")
        assert [cell.strip() for cell in row.split(",")][1:6] == ["1", "false", "false", "2", "2"]
        requests = (await run.client("GET", f"{DUMPS}/dump_requests?includeRequestDetails=1")).body
        assert requests.decode().count("noxu") == 4  # one queue: its requests are one flow
        for raw in holding:
            raw.finish()
            assert await raw.status() == 201
        assert [await raw.status() for raw in waiting] == [200, 200]
        await eventually(queues_of(run, "noisy", 0, 0))
        assert (await ask(at, "noxu"))[0] == 200
        for raw in (*holding, *waiting):
            raw.close()
        text = await metrics(run)
        labels = 'flow_schema="noisy",priority_level="noisy"'
        refused = f"apiserver_flowcontrol_rejected_requests_total{{{labels},reason="
        assert f'{refused}"queue-full"}} 3\n' in text


async def test_clients_that_go_leave_the_queue() -> None:
    async with stage() as (run, at):
        await prepare(run, "noisy", ["noxu"], level(queues=1, length=9, shares=1))
        holding = [await Raw.post(at, "noxu", f"held-{n}") for n in range(SEATS)]
        await eventually(queues_of(run, "noisy", 0, SEATS))
        waiting = [await Raw.get(at, "noxu", CONFIG_MAPS) for _ in range(4)]
        await eventually(queues_of(run, "noisy", 4, SEATS))
        for raw in waiting[:3]:
            raw.close()
        await eventually(queues_of(run, "noisy", 1, SEATS))
        for raw in holding:  # these go, too, without having sent their bodies
            raw.close()
        assert await waiting[3].status() == 200
        waiting[3].close()
        await eventually(queues_of(run, "noisy", 0, 0))


async def test_watches_hold_seats_only_until_they_have_begun() -> None:
    async with stage() as (run, at), AsyncExitStack() as stack:
        await prepare(run, "noisy", ["noxu"], level(shares=1))
        for _ in range(3 * SEATS):
            raw = await Raw.get(at, "noxu", f"{CONFIG_MAPS}?watch=true")
            stack.callback(raw.close)
            assert await raw.status() == 200
            await eventually(queues_of(run, "noisy", 0, 0))
        control = run.server.flow_control
        assert control is not None
        labels = 'flow_schema="noisy",priority_level="noisy",type="watch"'
        name = "apiserver_flowcontrol_request_execution_seconds_count"
        assert f"{name}{{{labels}}} {3 * SEATS}\n" in await metrics(run)


async def test_those_that_wait_are_served_while_the_server_stops() -> None:
    async with stage() as (run, at):
        await prepare(run, "noisy", ["noxu"], level(queues=1, shares=1))
        holding = [await Raw.post(at, "noxu", f"held-{n}") for n in range(SEATS)]
        await eventually(queues_of(run, "noisy", 0, SEATS))
        waiting = await Raw.get(at, "noxu", CONFIG_MAPS)
        await eventually(queues_of(run, "noisy", 1, SEATS))
        run.server.drain()
        assert run.server.requests.active == SEATS + 1
        for raw in holding:
            raw.finish()
        assert await waiting.status() == 200
        for raw in (*holding, waiting):
            raw.close()
        async with asyncio.timeout(EVENT_WAIT_S):
            await run.server.requests.wait_empty()


async def test_a_level_taken_away_ends_with_its_last_request() -> None:
    async with stage() as (run, at):
        await prepare(run, "noisy", ["noxu"], level(queues=1, shares=1))
        holding = [await Raw.post(at, "noxu", f"held-{n}") for n in range(SEATS)]
        await eventually(queues_of(run, "noisy", 0, SEATS))
        waiting = await Raw.get(at, "noxu", CONFIG_MAPS)
        await eventually(queues_of(run, "noisy", 1, SEATS))
        await run.client.delete(f"{GROUP}/flowschemas/noisy")
        await run.client.delete(f"{GROUP}/prioritylevelconfigurations/noisy")
        await run.caught_up()
        assert (await ask(at, "noxu"))[0] == 200  # by global-default
        row = await dumped(run, "noisy")
        assert [cell.strip() for cell in row.split(",")][2:4] == ["false", "true"]
        for raw in (*holding, waiting):
            raw.finish()
        assert await waiting.status() == 200
        for raw in (*holding, waiting):
            raw.close()

        async def gone() -> bool:
            return not await dumped(run, "noisy")

        await eventually(gone)


async def test_switched_off_there_are_slots() -> None:
    flags = {"max_requests_inflight": 9, "max_mutating_requests_inflight": 1}
    async with stage(enable_priority_and_fairness=False, **flags) as (run, at):
        await run.client.post(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            {
                "metadata": {"name": "noxu"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "cluster-admin",
                },
                "subjects": [{"kind": "User", "name": "noxu"}],
            },
        )
        await run.caught_up()
        status, headers = await ask(at, "noxu")
        assert status == 200
        assert LEVEL_UID not in headers
        assert (await run.client("GET", f"{DUMPS}/dump_queues")).status == 404
        first = await Raw.post(at, "noxu", "one")

        async def taken() -> bool:
            return 'inflight_requests{request_kind="mutating"} 1\n' in await metrics(run)

        await eventually(taken)
        second = await Raw.post(at, "noxu", "two")
        assert await second.status() == 429
        first.close()
        second.close()


# -- the flow of the end-to-end tests -------------------------------------------------------------


async def test_requests_are_classified_by_new_schemas_and_levels() -> None:
    async with stage() as (run, at):
        level_uid, schema_uid = await prepare(run, "e2e-testing", ["noxu"], level(shares=1))
        status, headers = await ask(at, "noxu")
        assert status == 200
        assert (headers[LEVEL_UID], headers[SCHEMA_UID]) == (level_uid, schema_uid)
        status, headers = await ask(at, "foo")
        assert headers[LEVEL_UID] not in ("", level_uid)
        assert headers[SCHEMA_UID] not in ("", schema_uid)


class Elephant:
    """A user with far more requests at a time than its level has seats: each holds its seats for a
    few turns of the loop, and is sent again when it was answered, or refused."""

    def __init__(self, at: Socketed, user: str, concurrency: int) -> None:
        self._at, self._user = at, user
        self._concurrency = concurrency
        self.served = self.refused = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(self._concurrency):
                group.create_task(self._one(n))

    async def _one(self, n: int) -> None:
        count = 0
        while True:
            count += 1
            raw = await Raw.post(self._at, self._user, f"{self._user}-{n}-{count}")
            try:
                await asyncio.sleep(0.005)
                raw.finish()
                if await raw.status() == 429:
                    self.refused += 1
                else:
                    self.served += 1
            finally:
                raw.close()


@asynccontextmanager
async def flooded(elephant: Elephant) -> AsyncIterator[None]:
    """While it has more requests than fit."""
    task = asyncio.ensure_future(elephant.run())

    async def going() -> bool:
        if task.done():
            task.result()
        return elephant.served > 20

    try:
        await eventually(going)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_requests_are_not_drowned_out_by_those_of_another_level() -> None:
    """Though the flood's schema comes first."""
    async with stage() as (run, at):
        await prepare(run, "highqps", ["highqps"], level(shares=1), 999)
        await prepare(run, "lowqps", ["lowqps"], level(shares=1), 1000)
        elephant = Elephant(at, "highqps", 5 * SEATS)
        async with flooded(elephant):
            answers = [(await ask(at, "lowqps"))[0] for _ in range(40)]
        assert answers == [200] * 40
        assert elephant.refused > 0


async def test_requests_are_not_drowned_out_by_those_of_another_flow() -> None:
    """Of the same schema and level: each user has queues of its own. In a common queue each request
    would come after all that wait."""
    async with stage() as (run, at):
        users = ["highqps", "lowqps"]
        await prepare(run, "shared", users, level(queues=64, length=200, shares=1))
        elephant = Elephant(at, "highqps", 40 * SEATS)
        async with flooded(elephant):
            passed = []
            for _ in range(20):
                before = elephant.served
                assert (await ask(at, "lowqps"))[0] == 200
                passed.append(elephant.served - before)
        assert elephant.refused == 0
        # In the middle; one turn of a busy machine may bring many answers at once.
        assert sorted(passed)[10] <= 10 * SEATS
