"""Metrics as Prometheus reads them: names, labels, bounds on what clients can cause."""

from __future__ import annotations

import json
import timeit
from importlib.resources import files
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kapi import metrics as metrics_module
from kapi.messages import EmptyBody, Headers, Peer, Query, Request, RequestInfo
from kapi.metric_specs import SPECS
from kapi.metrics import Metrics


def request(verb: str, *, query: str = "", **info: str) -> Request:
    made = Request("GET", "/", "/", Query(query), Headers([]), EmptyBody(), Peer())
    path = info.pop("path", "/")
    fields: dict[str, Any] = dict(info)
    made.info = RequestInfo(is_resource="resource" in info, path=path, verb=verb, **fields)
    return made


def pods(verb: str, **more: str) -> Request:
    return request(verb, version="v1", resource="pods", **more)


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    content_type, text = metrics.render()
    assert content_type.startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The sum over series that have these labels."""
    wanted = set(labels.items())
    found = [v for (n, has), v in samples(metrics).items() if n == name and wanted <= has]
    return sum(found) if found else None


# Metrics that the real server shows only once a webhook, a policy, audit, a queue or encryption was
# used: not among the facts.
_EXTENSIONS = (
    "_webhook_", "_match_condition_", "_admission_policy_", "_audit_error_", "_audit_level_",
    "_authorization_decisions_", "_config_controller_", "_jwt_authenticator_",
    "flowcontrol_rejected_", "flowcontrol_current_inqueue_", "flowcontrol_request_wait_",
    "flowcontrol_request_queue_", "flowcontrol_request_dispatch_", "flowcontrol_dispatch_r",
    "flowcontrol_latest_s", "flowcontrol_next_", "_storage_transformation_",
    "_envelope_encryption_",
)  # fmt: skip
ONCE_USED = frozenset(name for name in SPECS if any(word in name for word in _EXTENSIONS))


def test_names_types_and_labels_are_the_real_servers() -> None:
    real = json.loads((files("kapi") / "data" / "metrics.json").read_text())
    for spec in SPECS.values():
        if spec.name in ONCE_USED:
            assert spec.name not in real, f"{spec.name} can be compared"
            continue
        assert spec.name in real, spec.name
        assert real[spec.name]["type"] == spec.kind, spec.name
        assert sorted(spec.labels) == real[spec.name]["labels"], spec.name


def test_a_request() -> None:
    metrics = Metrics()
    asked = pods("list", namespace="a", query="dryRun=All")
    metrics.request_done(asked, code=200, seconds=0.03, body_bytes=2000)
    metrics.request_done(asked, code=200, seconds=0.2, body_bytes=500)
    labels = {"verb": "LIST", "resource": "pods", "version": "v1", "scope": "namespace"}
    total = value(metrics, "apiserver_request_total", code="200", dry_run="All", **labels)
    assert total == 2
    duration = "apiserver_request_duration_seconds"
    assert value(metrics, f"{duration}_bucket", le="0.025", **labels) == 0
    assert value(metrics, f"{duration}_bucket", le="0.05", **labels) == 1
    assert value(metrics, f"{duration}_bucket", le="0.2", **labels) == 2
    assert value(metrics, f"{duration}_bucket", le="+Inf", **labels) == 2
    assert value(metrics, f"{duration}_count", **labels) == 2
    assert value(metrics, f"{duration}_sum", **labels) == pytest.approx(0.23)
    assert value(metrics, "apiserver_response_sizes_sum", **labels) == 2500


@pytest.mark.parametrize(
    ("verb", "info", "expected"),
    [
        ("create", {"namespace": "a"}, ("POST", "resource")),
        ("update", {"namespace": "a", "name": "x"}, ("PUT", "resource")),
        ("deletecollection", {"namespace": "a"}, ("DELETECOLLECTION", "namespace")),
        ("list", {}, ("LIST", "cluster")),
        ("foo", {}, ("other", "cluster")),
    ],
)
def test_verb_and_scope(verb: str, info: dict[str, str], expected: tuple[str, str]) -> None:
    metrics = Metrics()
    metrics.request_done(pods(verb, **info), code=200, seconds=0, body_bytes=0)
    labels = {"verb": expected[0], "scope": expected[1], "resource": "pods"}
    assert value(metrics, "apiserver_request_total", **labels) == 1


def test_watches_are_not_in_the_sli() -> None:
    metrics = Metrics()
    metrics.request_done(pods("watch"), code=200, seconds=100, body_bytes=0)
    assert value(metrics, "apiserver_request_duration_seconds_count", verb="WATCH") == 1
    assert value(metrics, "apiserver_request_sli_duration_seconds_count") is None


def test_paths() -> None:
    metrics = Metrics()
    for path in ("/healthz", "/chosen/by/a/client"):
        metrics.request_done(request("get", path=path), code=200, seconds=0, body_bytes=0)
    assert value(metrics, "apiserver_request_total", subresource="/healthz") == 1
    assert value(metrics, "apiserver_request_total", subresource="", verb="GET") == 1


def test_names_that_clients_choose_become_no_labels() -> None:
    metrics = Metrics()
    for n in range(50):
        asked = request("get", group="g", version="v", resource=f"r{n}", name="x")
        for code in (401, 403, 404):
            metrics.request_done(asked, code=code, seconds=0, body_bytes=0)
    assert value(metrics, "apiserver_request_total", resource="", code="404") == 50
    assert value(metrics, "apiserver_request_total", resource="r1") is None
    metrics.request_done(pods("get", name="x"), code=200, seconds=0, body_bytes=0)
    metrics.request_done(pods("get", name="y"), code=404, seconds=0, body_bytes=0)
    assert value(metrics, "apiserver_request_total", resource="pods", code="404") == 1


def test_series_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "SERIES_MAX", 3)
    metrics = Metrics()
    for n in range(10):
        metrics.resource_objects.cell("", f"r{n}").value += 1
    assert value(metrics, "apiserver_resource_objects", resource="r0") == 1
    assert value(metrics, "apiserver_resource_objects", resource="r9") is None
    assert value(metrics, "apiserver_resource_objects", resource="") == 7


def test_label_values_are_escaped() -> None:
    metrics = Metrics()
    metrics.resource_objects.cell('a"b\\c\nd', "r").value = 1
    assert value(metrics, "apiserver_resource_objects", group='a"b\\c\nd') == 1


def test_gauges_filled_at_rendering() -> None:
    metrics = Metrics()

    def fill() -> None:
        metrics.resource_objects.clear()
        metrics.resource_objects.cell("apps", "deployments").value = 3

    metrics.on_render(fill)
    assert value(metrics, "apiserver_resource_objects", resource="deployments") == 3


def test_process() -> None:
    found = samples(Metrics())
    cpu = found[("process_cpu_seconds_total", frozenset())]
    assert cpu > 0
    shown = ("process_", "apiserver_audit_")  # by everybody; anything else once it happened
    assert all(name.startswith(shown) for name, _ in found)


def test_servers_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.request_done(pods("list"), code=200, seconds=0, body_bytes=0)
    assert value(other, "apiserver_request_total") is None


def test_a_request_costs_little() -> None:
    metrics = Metrics()
    asked = pods("get", namespace="a", name="b")
    count = 5000
    best = min(
        timeit.repeat(
            lambda: metrics.request_done(asked, code=200, seconds=0.01, body_bytes=100),
            number=count,
            repeat=5,
        )
    )
    assert best / count < 20e-6  # 1.3 µs on a quiet machine
