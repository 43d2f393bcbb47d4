"""Admission policies as their authors install them: with kubectl."""

from __future__ import annotations

import pytest
from clients_harness import Terminal

pytestmark = pytest.mark.client

LIMITED = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {ns}.replicas}}
spec:
  failurePolicy: Fail
  paramKind: {{apiVersion: v1, kind: ConfigMap}}
  matchConstraints:
    resourceRules:
    - apiGroups: [apps]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [deployments, deployments/scale]
  matchConditions:
  - {{name: not-big, expression: "!object.metadata.name.startsWith('big')"}}
  variables:
  - {{name: max, expression: "int(params.data.max)"}}
  validations:
  - expression: object.spec.replicas <= variables.max
    messageExpression: "'at most ' + string(variables.max) + ' replicas'"
    reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {ns}.replicas}}
spec:
  policyName: {ns}.replicas
  validationActions: [{action}]
  paramRef: {{name: limits, parameterNotFoundAction: Deny}}
  matchResources:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {ns}}}}}
"""
SIDECAR = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {{name: {ns}.sidecar}}
spec:
  reinvocationPolicy: IfNeeded
  matchConstraints:
    resourceRules:
    - {{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}}
  matchConditions:
  - {{name: once, expression: "!object.spec.containers.exists(c, c.name == 'mesh')"}}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >
        Object{{
          metadata: Object.metadata{{labels: {{'mesh': 'yes'}}}},
          spec: Object.spec{{
            containers: [Object.spec.containers{{name: 'mesh', image: 'mesh:1'}}]
          }}
        }}
  - patchType: JSONPatch
    jsonPatch:
      expression: >
        [JSONPatch{{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'),
                    value: 'c'}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {{name: {ns}.sidecar}}
spec:
  policyName: {ns}.sidecar
  matchResources:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {ns}}}}}
"""


def test_a_policy_with_params(terminal: Terminal) -> None:
    ns = terminal.namespace
    terminal.says("create configmap limits --from-literal=max=3")
    terminal.says("apply -f -", stdin=LIMITED.format(ns=ns, action="Deny"))
    try:
        terminal.says("create deployment web --image=i --replicas=3")
        refused = terminal.fails("create deployment web2 --image=i --replicas=4")
        said = (
            f"ValidatingAdmissionPolicy '{ns}.replicas' with binding '{ns}.replicas' denied "
            "request: at most 3 replicas"
        )
        assert refused == (
            f'error: failed to create deployment: deployments.apps "web2" is forbidden: {said}\n'
        )
        assert said in terminal.fails("scale deployment web --replicas=5")
        terminal.says("create deployment big-one --image=i --replicas=9")
        terminal.says("patch configmap limits -p", '{"data":{"max":"5"}}')
        terminal.says("scale deployment web --replicas=5")
        binding = f"validatingadmissionpolicybinding/{ns}.replicas"
        terminal.says(f"patch {binding} --type=merge -p", '{"spec":{"validationActions":["Warn"]}}')
        warned = terminal.kubectl("scale deployment web --replicas=6")
        assert warned.err == (
            f"Warning: Validation failed for ValidatingAdmissionPolicy '{ns}.replicas' with "
            f"binding '{ns}.replicas': at most 5 replicas\n"
        )
        table = terminal.says("get validatingadmissionpolicies").splitlines()
        assert table[0].split()[:3] == ["NAME", "VALIDATIONS", "PARAMKIND"]
    finally:
        terminal.says(
            f"delete validatingadmissionpolicybinding,validatingadmissionpolicy {ns}.replicas"
        )
    terminal.says("scale deployment web --replicas=7")


def test_a_policy_that_changes_pods(terminal: Terminal) -> None:
    ns = terminal.namespace
    terminal.says("apply -f -", stdin=SIDECAR.format(ns=ns))
    try:
        terminal.says("run web --image=i")
        assert terminal.says("get pod web -o jsonpath={.spec.containers[*].name}") == "web mesh"
        assert terminal.says("get pod web -o jsonpath={.metadata.labels.mesh}") == "yes"
        assert terminal.says("get pods -l a/b=c -o name") == "pod/web\n"
    finally:
        terminal.says(f"delete mutatingadmissionpolicybinding,mutatingadmissionpolicy {ns}.sidecar")
    terminal.says("run plain --image=i")
    assert terminal.says("get pod plain -o jsonpath={.spec.containers[*].name}") == "plain"


def test_a_policy_that_does_not_compile(terminal: Terminal) -> None:
    text = LIMITED.format(ns=terminal.namespace, action="Deny").partition("---")[0]
    bad = text.replace(
        "object.spec.replicas <= variables.max", "object.spec.replicas <= variables.min"
    )
    refused = terminal.kubectl("create -f -", stdin=bad, code=1)
    name = f"{terminal.namespace}.replicas"
    assert refused.err.startswith(
        f'The ValidatingAdmissionPolicy "{name}" is invalid: spec.validations[0].expression: '
        'Invalid value: "object.spec.replicas <= variables.min": compilation failed: ERROR: '
        "<input>:1:34: undefined field 'min'\n"
    )
