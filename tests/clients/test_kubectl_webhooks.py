"""Webhooks as their authors install them: with kubectl, against a server of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients_harness import Terminal
from webhook_of_teams import Team, serving_team

pytestmark = pytest.mark.client

SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: hooks}}
spec: {{type: ExternalName, externalName: localhost}}
"""
MUTATING = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {{name: {ns}}}
webhooks:
- name: label.blue.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig:
    caBundle: {bundle}
    service: {{name: hooks, namespace: {ns}, port: {port}, path: /label}}
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {ns}}}}}
  rules:
  - {{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}}
"""
VALIDATING = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: {ns}}}
webhooks:
- name: deny.blue.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {{url: "https://127.0.0.1:{port}/deny", caBundle: {bundle}}}
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {ns}}}}}
  matchConditions:
  - {{name: not-ours, expression: "!object.metadata.name.startsWith('kube-')"}}
  rules:
  - {{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE, UPDATE]}}
"""
DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: shops.{ns}.example.com}}
spec:
  group: {ns}.example.com
  scope: Namespaced
  names: {{plural: shops, singular: shop, kind: Shop}}
  conversion:
    strategy: Webhook
    webhook:
      conversionReviewVersions: [v1]
      clientConfig: {{url: "https://127.0.0.1:{port}/convert", caBundle: {bundle}}}
  versions:
  - name: v1
    served: true
    storage: false
    additionalPrinterColumns: [{{name: City, type: string, jsonPath: .spec.city}}]
    schema:
      openAPIV3Schema:
        type: object
        properties: {{spec: {{type: object, properties: {{city: {{type: string}}}}}}}}
  - name: v2
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              address: {{type: object, properties: {{city: {{type: string}}}}}}
"""
SHOP = """
apiVersion: {ns}.example.com/v1
kind: Shop
metadata: {{name: corner}}
spec: {{city: {city}}}
"""


def install(terminal: Terminal, team: Team, text: str) -> None:
    body = text.format(ns=terminal.namespace, port=team.port, bundle=team.bundle)
    terminal.says("apply -f -", stdin=body)


def test_a_team_labels_and_refuses(terminal: Terminal, tmp_path: Path) -> None:
    with serving_team(tmp_path, f"hooks.{terminal.namespace}.svc") as team:
        install(terminal, team, SERVICE)
        install(terminal, team, MUTATING)
        install(terminal, team, VALIDATING)
        try:
            made = terminal.kubectl("create configmap fine --from-literal=a=b")
            assert made.out == "configmap/fine created\n"
            assert made.err == "Warning: looked at by the blue team\n"
            team_of = "get configmap fine -o jsonpath={.metadata.labels.team}"
            assert terminal.says(team_of) == "blue"
            refused = terminal.fails("create configmap bad --from-literal=password=b")
            assert refused == (
                'error: failed to create configmap: admission webhook "deny.blue.example.com" '
                "denied the request: passwords belong into secrets\n"
            )
            dry = "create configmap bad --from-literal=password=b --dry-run=server"
            assert "denied the request" in terminal.fails(dry)
            left_out = terminal.kubectl("create configmap kube-x --from-literal=password=b")
            assert left_out.err == ""
            said = terminal.kubectl("patch configmap fine -p", '{"data":{"password":"x"}}', code=1)
            assert said.err == (
                "Error from server (Forbidden): admission webhook "
                '"deny.blue.example.com" denied the request: passwords belong into secrets\n'
            )
        finally:
            name = terminal.namespace
            terminal.says(f"delete validatingwebhookconfiguration {name}")
            terminal.says(f"delete mutatingwebhookconfiguration {name}")
        terminal.says("create configmap free --from-literal=password=b")


def test_a_webhook_that_is_down(terminal: Terminal, tmp_path: Path) -> None:
    with serving_team(tmp_path) as team:
        pass
    install(terminal, team, VALIDATING)
    try:
        refused = terminal.fails("create configmap a")
        url = f"https://127.0.0.1:{team.port}/deny?timeout=10s"
        assert refused == (
            "error: failed to create configmap: Internal error occurred: failed calling webhook "
            f'"deny.blue.example.com": failed to call webhook: Post "{url}": '
            f"dial tcp 127.0.0.1:{team.port}: connect: connection refused\n"
        )
    finally:
        terminal.says(f"delete validatingwebhookconfiguration {terminal.namespace}")


def test_a_kind_of_two_versions(terminal: Terminal, tmp_path: Path) -> None:
    group = f"{terminal.namespace}.example.com"
    with serving_team(tmp_path) as team:
        install(terminal, team, DEFINITION)
        terminal.says(f"wait --for=condition=Established crd/shops.{group}")
        try:
            terminal.says("apply -f -", stdin=SHOP.format(ns=terminal.namespace, city="Bern"))
            terminal.says("apply -f -", stdin=SHOP.format(ns=terminal.namespace, city="Basel"))
            table = terminal.says(f"get shops.v1.{group}")
            assert table.split() == ["NAME", "CITY", "corner", "Basel"]
            city = "-o jsonpath={.spec.address.city}"
            assert terminal.says(f"get shops.v2.{group} corner {city}") == "Basel"
            terminal.says(f"patch shops.v1.{group} corner --type=merge -p", '{"spec":{"city":"Z"}}')
            assert terminal.says(f"get shops.v2.{group} corner {city}") == "Z"
            terminal.says(f"delete shops.v1.{group} corner")
        finally:
            terminal.says(f"delete crd shops.{group}")
