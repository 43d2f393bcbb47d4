"""Which health checks there are, in which order, and what each endpoint counts."""

from __future__ import annotations

import dataclasses

import pytest

from kapi.handlers.documents.health import Check, Health, always_well
from kapi.options.table import Options
from kapi.routing.health_checks import health_checks

OPTIONS = Options()


class State:
    ready = True
    stopping = False


def checks(state: State, options: Options = OPTIONS, *store: Check) -> list[Check]:
    return health_checks(
        options,
        store,
        cache_ready=lambda: state.ready,
        stopping=lambda: state.stopping,
    )


def names(found: list[Check]) -> list[str]:
    return [check.name for check in found]


def failing(found: list[Check], *, live: bool) -> list[str]:
    return [c.name for c in found if (c.live if live else c.ready) and c.probe()]


def test_the_order_is_that_of_the_real_server() -> None:
    found = names(checks(State()))
    assert found[:6] == [
        *("ping", "log", "loopback-serving-certificate", "etcd", "etcd-readiness"),
        "informer-sync",
    ]
    assert found[-4:] == [
        *("autoregister-completion", "poststarthook/apiservice-openapi-controller"),
        *("poststarthook/apiservice-openapiv3-controller", "shutdown"),
    ]
    assert len(found) == len(set(found)) == 37


def test_live_and_ready_count_different_checks() -> None:
    found = checks(State())
    only_live = {c.name for c in found if not c.ready}
    only_ready = {c.name for c in found if not c.live}
    assert only_live == {"loopback-serving-certificate"}
    assert only_ready == {"etcd-readiness", "informer-sync", "shutdown"}


def test_nothing_fails_but_what_can() -> None:
    state = State()
    found = checks(state)
    assert failing(found, live=True) == failing(found, live=False) == []
    state.ready = False
    assert failing(found, live=True) == ["etcd"]
    assert failing(found, live=False) == ["etcd", "etcd-readiness", "informer-sync"]
    state.ready, state.stopping = True, True
    assert failing(found, live=True) == []
    assert failing(found, live=False) == ["shutdown"]


def test_a_store_of_its_own_brings_its_checks() -> None:
    found = checks(State(), OPTIONS, Check("etcd", always_well), Check("etcd-override-0", str))
    assert names(found)[3:6] == ["etcd", "etcd-override-0", "informer-sync"]


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("aggregator-reload-proxy-client-cert", "proxy_client_cert_file", "proxy.crt"),
        ("max-in-flight-filter", "enable_priority_and_fairness", False),
    ],
)
def test_options_bring_hooks(name: str, option: str, value: object) -> None:
    hook = f"poststarthook/{name}"
    assert hook not in names(checks(State()))
    asked = dataclasses.replace(OPTIONS, **{option: value})  # type: ignore[arg-type]
    assert hook in names(checks(State(), asked))


def test_fair_queues_that_are_off_have_no_hooks() -> None:
    fair = "poststarthook/priority-and-fairness-filter"
    assert fair in names(checks(State()))
    off = dataclasses.replace(OPTIONS, enable_priority_and_fairness=False)
    assert fair not in names(checks(State(), off))


def test_each_check_has_a_path() -> None:
    paths = Health(checks(State())).paths()
    for endpoint in ("livez", "readyz", "healthz"):
        assert f"/{endpoint}/poststarthook/rbac/bootstrap-roles" in paths
    assert "/livez/informer-sync" not in paths
