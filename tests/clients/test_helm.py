"""The life of a release: a chart of eleven kinds is installed, changed, rolled back, removed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from clients_harness import Terminal

pytestmark = [pytest.mark.client, pytest.mark.timeout(90)]

CHART = Path(__file__).parent / "chart"
KINDS = (
    "deployments,services,ingresses,horizontalpodautoscalers,poddisruptionbudgets,configmaps,"
    "secrets,serviceaccounts,roles,rolebindings,cronjobs"
)
MADE = [
    "configmap/corner-settings",
    "cronjob.batch/corner-report",
    "deployment.apps/corner-web",
    "horizontalpodautoscaler.autoscaling/corner",
    "ingress.networking.k8s.io/corner",
    "poddisruptionbudget.policy/corner",
    "role.rbac.authorization.k8s.io/corner",
    "rolebinding.rbac.authorization.k8s.io/corner",
    "secret/corner",
    "service/corner-web",
    "serviceaccount/corner",
]


def table(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("\t")] for line in text.splitlines()]


def test_the_life_of_a_release(terminal: Terminal) -> None:
    helm, says = terminal.helm, terminal.says
    chart = terminal.home / "chart"
    shutil.copytree(CHART, chart)
    said = helm("install corner chart").out
    assert "STATUS: deployed\nREVISION: 1\n" in said
    assert said.endswith("NOTES:\ncorner is blue\n")
    found = says(f"get {KINDS} -o name").split()
    found.remove("serviceaccount/default")
    assert sorted(found) == sorted([*MADE, "secret/sh.helm.release.v1.corner.v1"])
    listed = table(helm("list").out)
    assert [listed[0], *(row[:3] + row[4:] for row in listed[1:])] == [
        ["NAME", "NAMESPACE", "REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION"],
        ["corner", terminal.namespace, "1", "deployed", "shop-0.1.0", "1.27"],
    ]
    said = helm("upgrade corner chart --set color=red --set replicas=3").out
    assert said.startswith('Release "corner" has been upgraded. Happy Helming!\n')
    state = "{.spec.replicas} {.spec.template.metadata.annotations.color} {.metadata.generation}"
    assert says("get deployment corner-web -o", f"jsonpath={state}") == "3 red 2"
    assert says("get configmap corner-settings -o jsonpath={.data.color}") == "red"
    assert helm("rollback corner 1").out == "Rollback was a success! Happy Helming!\n"
    assert says("get deployment corner-web -o", f"jsonpath={state}") == "2 blue 3"
    history = table(helm("history corner").out)
    assert [(row[0], row[2], row[5]) for row in history] == [
        ("REVISION", "STATUS", "DESCRIPTION"),
        ("1", "superseded", "Install complete"),
        ("2", "superseded", "Upgrade complete"),
        ("3", "deployed", "Rollback to 1"),
    ]
    assert re.search(r"==> v1/Deployment\nNAME .*\ncorner-web ", helm("status corner").out)
    assert "image: nginx:1.27" in helm("get manifest corner").out
    assert helm("uninstall corner").out == 'release "corner" uninstalled\n'
    assert says(f"get {KINDS} -o name") == "serviceaccount/default\n"
    assert len(table(helm("list").out)) == 1


def test_what_cannot_be_installed(terminal: Terminal) -> None:
    helm = terminal.helm
    chart = terminal.home / "chart"
    shutil.copytree(CHART, chart)
    said = helm("install corner chart --set replicas=-1", code=1)
    assert (
        'Deployment.apps "corner-web" is invalid: spec.replicas: Invalid value: -1: '
        "must be greater than or equal to 0"
    ) in said.err
    helm("uninstall corner")
    helm("install corner chart")
    said = helm("install corner chart", code=1)
    assert "cannot reuse a name that is still in use" in said.err
    helm("install other chart --dry-run=server")
    assert terminal.says("get deployments -o name") == "deployment.apps/corner-web\n"
    # Another manager owns a field: helm's own apply is told so, and may take it.
    terminal.says("scale deployment corner-web --replicas=9")
    said = helm("upgrade corner chart --set replicas=4", code=1)
    assert "conflict" in said.err
    helm("upgrade corner chart --set replicas=4 --force-conflicts")
    replicas = "get deployment corner-web -o jsonpath={.spec.replicas}"
    assert terminal.says(replicas) == "4"
