"""Priority levels as objects come, change and go; and what requests of them are told."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from flow_harness import request, state

from kapi.controllers import fixed_objects
from kapi.flowcontrol.dumps import go_duration, handlers, table
from kapi.flowcontrol.levels import ADJUSTMENT_S, FlowControl
from kapi.flowcontrol.shown import show
from kapi.flowcontrol.ticket import State, Ticket
from kapi.flowcontrol.work import Size
from kapi.messages import Request, RequestInfo, UserInfo
from kapi.metrics import Metrics

Json = dict[str, Any]
FIXED = fixed_objects.load()
NAMES = ("exempt", "catch-all")
MANDATORY = {
    plural: [o for o in FIXED[plural] if o["metadata"]["name"] in NAMES]
    for plural in ("flowschemas", "prioritylevelconfigurations")
}


class Objects:
    """A lister over a list that may be changed."""

    def __init__(self, objects: Sequence[Json] = ()) -> None:
        self.objects = {o["metadata"]["name"]: copy.deepcopy(o) for o in objects}
        self.changed = 1
        for name, obj in self.objects.items():
            obj["metadata"]["uid"] = f"uid-of-{name}"

    def list(self, namespace: str = "") -> Sequence[Json]:
        return list(self.objects.values())

    def put(self, name: str, spec: Json) -> None:
        self.objects[name] = {"metadata": {"name": name, "uid": f"uid-of-{name}"}, "spec": spec}
        self.changed += 1

    def remove(self, name: str) -> None:
        del self.objects[name]
        self.changed += 1


class Bell:
    """`call_later` and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return 1_700_000_000.0 + self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")

    def later(self, seconds: float, call: Callable[[], None]) -> _Call:
        return _Call(self, (self.time + seconds, call))

    def turn(self, seconds: float) -> None:
        end = self.time + seconds
        while due := [c for c in self.calls if c[0] <= end]:
            first = min(due, key=lambda c: c[0])
            self.calls.remove(first)
            self.time = max(self.time, first[0])
            first[1]()
        self.time = end


class _Call:
    def __init__(self, bell: Bell, call: tuple[float, Callable[[], None]]) -> None:
        self._bell, self._call = bell, call
        bell.calls.append(call)

    def cancel(self) -> None:
        if self._call in self._bell.calls:
            self._bell.calls.remove(self._call)


class World:
    def __init__(self, *, seats: int = 600, stored: bool = True) -> None:
        self.bell = Bell()
        self.schemas = Objects(FIXED["flowschemas"] if stored else ())
        self.levels = Objects(FIXED["prioritylevelconfigurations"] if stored else ())
        self.control = FlowControl(
            self.bell,
            self.schemas,
            self.levels,
            MANDATORY,
            seats,
            60.0,
            lambda group, plural: Size(1000, 20_000_000) if plural == "pods" else None,
            self.bell.later,
        )

    def ask(self, user: str = "jane", verb: str = "get", query: str = "", **info: Any) -> Request:
        made = request(query)
        made.received_at = self.bell.time
        made.user = UserInfo(user, groups=("system:authenticated",))
        made.info = RequestInfo(
            True, "/api/v1/x", verb, "api", version="v1", **{"resource": "pods", **info}
        )
        return made

    def start(self, asked: Request) -> Ticket | None:
        return self.control.start(self.control.flow(asked), asked, self.bell.time, Ticket)

    def finish(self, asked: Request, ticket: Ticket) -> None:
        self.control.finish(self.control.flow(asked), ticket, self.bell.time)

    def limit(self, level: str) -> int:
        return self.control.levels[level].queues.limit

    def metrics(self) -> str:
        metrics = Metrics()
        show(metrics, self.control)
        return metrics.render()[1].decode()

    async def dump(self, what: str, query: str = "") -> list[str]:
        handle = handlers(self.control)[f"/debug/api_priority_and_fairness/{what}"]
        answer = await handle(request(query))
        assert isinstance(answer.body, bytes)
        assert answer.headers == [("Content-Type", "text/plain; charset=utf-8")]
        return answer.body.decode().splitlines()


def limited(shares: int, *, queues: int = 0, length: int = 2, **more: Any) -> Json:
    response: Json = {"type": "Reject"}
    if queues:
        queuing = {"queues": queues, "handSize": 1, "queueLengthLimit": length}
        response = {"type": "Queue", "queuing": queuing}
    spec = {"nominalConcurrencyShares": shares, "limitResponse": response, "lendablePercent": 0}
    return {"type": "Limited", "limited": {**spec, **more}}


def schema(level: str, user: str, method: str = "ByUser") -> Json:
    rule = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True}
    return {
        "matchingPrecedence": 50,
        "priorityLevelConfiguration": {"name": level},
        "distinguisherMethod": {"type": method},
        "rules": [
            {
                "subjects": [{"kind": "User", "user": {"name": user}}],
                "resourceRules": [{**rule, "namespaces": ["*"]}],
            }
        ],
    }


def test_an_idle_server_divides_its_seats_as_the_real_one_does() -> None:
    world = World()
    # By the least that each keeps, since nobody wants any.
    assert sum(world.limit(name) for name in world.control.levels) == pytest.approx(602, abs=4)
    assert world.limit("leader-election") >= 25
    assert world.limit("exempt") == 0
    flow = world.control.flow(world.ask())
    assert flow.headers == [
        ("X-Kubernetes-Pf-Flowschema-Uid", "uid-of-global-default"),
        ("X-Kubernetes-Pf-Prioritylevel-Uid", "uid-of-global-default"),
    ]


def test_mandatory_objects_are_in_force_without_being_stored() -> None:
    world = World(stored=False)
    assert set(world.control.levels) == {"exempt", "catch-all"}
    flow = world.control.flow(world.ask())
    assert (flow.schema, flow.schema_uid, flow.level.name) == ("catch-all", "", "catch-all")
    assert world.limit("catch-all") == 600
    nobody = world.ask()
    nobody.user = UserInfo("nobody")  # of no group, so that no schema takes it
    assert world.control.flow(nobody).schema == "catch-all"


def test_objects_are_followed() -> None:
    world = World()
    world.levels.put("noisy", limited(30, queues=4))
    world.schemas.put("noisy", schema("noisy", "noxu"))
    asked = world.ask("noxu")
    assert world.control.flow(asked).schema == "noisy"
    assert world.control.levels["noisy"].limits.nominal == 66
    world.levels.put("noisy", limited(0, queues=4))
    assert world.control.flow(asked).level.limits.nominal == 0
    world.schemas.put("noisy", schema("absent", "noxu"))
    assert world.control.flow(asked).schema == "global-default"


def test_a_level_that_is_gone_serves_what_it_has() -> None:
    world = World()
    world.levels.put("noisy", limited(0, queues=1, borrowingLimitPercent=0))
    world.schemas.put("noisy", schema("noisy", "noxu"))
    asked = world.ask("noxu")
    flow = world.control.flow(asked)
    tickets = [world.start(asked) for _ in range(2)]
    assert [t.state for t in tickets if t] == [State.EXECUTING, State.WAITING]
    world.levels.remove("noisy")
    assert world.control.flow(asked).schema == "global-default"
    assert world.control.levels["noisy"].quiescing
    for ticket in tickets:
        assert ticket is not None
        world.control.finish(flow, ticket, world.bell.time)
    world.control.refresh()
    assert "noisy" not in world.control.levels


def test_seats_are_lent_by_demand() -> None:
    world = World()
    asked = world.ask("system:serviceaccount:a:b")
    asked.user = (
        UserInfo(asked.user.name, groups=("system:serviceaccounts",)) if asked.user else None
    )
    before = world.limit("workload-low")
    held = [world.start(asked) for _ in range(before)]
    assert all(ticket is not None and ticket.state is State.EXECUTING for ticket in held)
    waiting = [world.start(asked) for _ in range(50)]
    assert all(ticket is not None and ticket.state is State.WAITING for ticket in waiting)
    world.bell.turn(ADJUSTMENT_S)
    world.control.borrow(world.bell.time)
    assert world.limit("workload-low") > before
    assert all(ticket is not None and ticket.state is State.EXECUTING for ticket in waiting)
    assert sum(world.limit(name) for name in world.control.levels) == pytest.approx(602, abs=4)
    lower = {name: level.limits.lower for name, level in world.control.levels.items()}
    assert all(world.limit(name) >= least for name, least in lower.items())


def test_those_that_wait_are_told_when_it_is_too_long() -> None:
    world = World()
    world.levels.put("noisy", limited(0, queues=1, borrowingLimitPercent=0))
    world.schemas.put("noisy", schema("noisy", "noxu"))
    first = world.start(world.ask("noxu"))
    told: list[str] = []
    short = world.ask("noxu")
    short.deadline = world.bell.time + 8
    for name, asked in (("long", world.ask("noxu")), ("short", short)):
        ticket = world.start(asked)
        assert ticket is not None
        ticket.decided = lambda name=name: told.append(name)
    assert len(world.bell.calls) == 1  # one timer for all that wait
    world.bell.turn(1.9)
    assert told == []
    world.bell.turn(0.2)
    assert told == ["short"]  # a quarter of its time
    world.bell.turn(12.8)
    assert told == ["short"]
    world.bell.turn(0.2)
    assert told == ["short", "long"]  # a quarter of the server's
    assert world.bell.calls == []
    assert first is not None
    assert state(first) is State.EXECUTING


def test_nobody_waits_longer_than_a_minute() -> None:
    world = World()
    world.levels.put("noisy", limited(0, queues=1, borrowingLimitPercent=0))
    world.schemas.put("noisy", schema("noisy", "noxu"))
    world.start(world.ask("noxu"))
    asked = world.ask("noxu")
    asked.deadline = world.bell.time + 3600
    ticket = world.start(asked)
    assert ticket is not None
    world.bell.turn(59.9)
    assert state(ticket) is State.WAITING
    world.bell.turn(0.2)
    assert state(ticket) is State.DONE


def test_no_timer_while_nobody_waits() -> None:
    world = World()
    tickets = [(asked, world.start(asked)) for asked in (world.ask() for _ in range(20))]
    for asked, ticket in tickets:
        assert ticket is not None
        world.finish(asked, ticket)
    assert world.bell.calls == []


def test_flows_are_told_apart_by_user_or_namespace() -> None:
    world = World()
    world.levels.put("noisy", limited(1, queues=64))
    for method, expected in (("ByUser", "noxu"), ("ByNamespace", "ns")):
        world.schemas.put("noisy", schema("noisy", "noxu", method))
        asked = world.ask("noxu", namespace="ns")
        flow = world.control.flow(asked)
        assert flow.distinguisher(asked) == expected
        assert flow.hand("a") == flow.hand("a")
        assert len({flow.hand(str(n)) for n in range(100)}) > 10


def test_work_is_estimated_by_the_level() -> None:
    world = World()
    exact = "resourceVersion=7&resourceVersionMatch=Exact"
    ticket = world.start(world.ask(verb="list", query=exact))
    assert ticket is not None
    assert ticket.seats == 8  # of global-default
    for _ in range(40):
        world.control.watches.open(RequestInfo(True, "", "watch", resource="pods"))
    change = world.start(world.ask(verb="update", name="x"))
    assert change is not None
    assert (change.seats, change.final) == (4, 4)
    other = world.start(world.ask(verb="deletecollection"))
    assert other is not None
    assert other.seats == 1


# -- what is shown --------------------------------------------------------------------------------


def test_metrics_of_levels_and_flows() -> None:
    world = World()
    held = world.start(world.ask())
    world.bell.turn(2.0)
    text = world.metrics()
    flow = '{flow_schema="global-default",priority_level="global-default"}'
    level = '{priority_level="global-default"}'
    for line in (
        f"apiserver_flowcontrol_nominal_limit_seats{level} 49",
        f"apiserver_flowcontrol_lower_limit_seats{level} 24",
        f"apiserver_flowcontrol_upper_limit_seats{level} 649",
        f"apiserver_flowcontrol_current_executing_requests{flow} 1",
        f"apiserver_flowcontrol_current_executing_seats{flow} 1",
        f"apiserver_flowcontrol_dispatched_requests_total{flow} 1",
        f"apiserver_flowcontrol_work_estimated_seats_count{flow} 1",
        f"apiserver_flowcontrol_request_queue_length_after_enqueue_count{flow} 1",
        f"apiserver_flowcontrol_demand_seats_count{level} 2000000000",
    ):
        assert line + "\n" in text
    assert "apiserver_flowcontrol_request_execution_seconds" not in text
    assert held is not None
    world.finish(world.ask(), held)
    text = world.metrics()
    assert 'request_execution_seconds_count{flow_schema="global-default",' in text
    assert f"apiserver_flowcontrol_current_executing_requests{flow} 0\n" not in text


def test_tables_are_aligned() -> None:
    assert table([("Name", "N", "Last"), ("a-long-name", "100", "x")]) == (
        "Name,        N,      Last\na-long-name, 100,    x\n"
    )


async def test_dumps() -> None:
    world = World()
    world.levels.put("noisy", limited(0, queues=2, borrowingLimitPercent=0))
    world.schemas.put("noisy", schema("noisy", "noxu"))
    for _ in range(2):
        world.start(world.ask("noxu", namespace="ns", name="x"))
    lines = await world.dump("dump_priority_levels")
    assert [cell.strip() for cell in lines[0].split(",")][:2] == [
        "PriorityLevelName",
        "ActiveQueues",
    ]
    assert [line.split(",")[0] for line in lines[1:]] == sorted(world.control.levels)
    [noisy] = [line for line in lines if line.startswith("noisy,")]
    assert [c.strip() for c in noisy.split(",")] == [
        "noisy", "1", "false", "false", "1", "1", "1", "0", "0", "0",
    ]  # fmt: skip
    rows = [line for line in await world.dump("dump_queues") if line.startswith("noisy,")]
    assert [c.strip() for c in rows[0].split(",")][:2] == ["noisy", "0"]
    assert len(rows) == 2
    assert sorted([c.strip() for c in row.split(",")][2] for row in rows) == ["0", "1"]
    assert rows[0].rstrip().endswith("ss")
    rows = [line for line in await world.dump("dump_requests") if line.startswith("noisy,")]
    cells = [[c.strip() for c in row.split(",")] for row in rows]
    assert [c[3] for c in cells] == ["0", "-1"]  # the one that waits, then the one that executes
    assert cells[0][4:] == [
        "noxu", "2023-11-14T22:30:00Z", "1", "0", "0s", "0001-01-01T00:00:00Z",
    ]  # fmt: skip
    detailed = await world.dump("dump_requests", "includeRequestDetails=1")
    assert detailed[0].endswith("SubResource")
    [row] = [line for line in detailed if "0001-01-01" in line]
    assert [c.strip() for c in row.split(",")][10:] == [
        "noxu", "get", "/api/v1/x", "ns", "x", "v1", "pods", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.005, "5ms"), (0.0125, "12.5ms"), (1.05, "1.05s"), (2e-6, "2µs"), (3e-9, "3ns")],
)
def test_durations_as_go_prints_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text
