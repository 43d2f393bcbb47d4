"""Stories that a cluster's administrator lives through with kubectl."""

from __future__ import annotations

import base64
import re

import orjson
import pytest
from clients_harness import Terminal, steady
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.client

REPLICA_SET = """
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-{n}
  labels: {{app: web, pod-template-hash: h{n}}}
  annotations: {{deployment.kubernetes.io/revision: "{n}", kubernetes.io/change-cause: v{n}}}
  ownerReferences:
  - {{apiVersion: apps/v1, kind: Deployment, name: web, uid: {uid}, controller: true}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: web, pod-template-hash: h{n}}}}}
  template:
    metadata: {{labels: {{app: web, pod-template-hash: h{n}}}}}
    spec: {{containers: [{{name: web, image: "web:{n}"}}]}}
---"""
LIMITS = """
apiVersion: v1
kind: LimitRange
metadata: {name: limits}
spec:
  limits:
  - type: Container
    default: {cpu: 500m, memory: 128Mi}
    defaultRequest: {cpu: 100m}
    max: {cpu: "1"}
"""


def test_the_end_of_a_namespace(terminal: Terminal) -> None:
    says, name = terminal.says, f"{terminal.namespace}-old"
    says(f"create namespace {name}")
    assert says(f"delete namespace {name} --wait=false") == f'namespace "{name}" deleted\n'
    row = says(f"get namespace {name} --no-headers").split()
    assert row[:2] == [name, "Terminating"]
    assert terminal.fails(f"create configmap late -n {name}") == (
        'error: failed to create configmap: configmaps "late" is forbidden: unable to create new '
        f"content in namespace {name} because it is being terminated\n"
    )
    # No controller empties and finalizes it: what administrators type when one hangs.
    body = terminal.kubectl(f"get namespace {name} -o json").json
    body["spec"]["finalizers"] = []
    path = f"/api/v1/namespaces/{name}/finalize"
    says(f"replace --raw {path} -f -", stdin=orjson.dumps(body).decode())
    assert terminal.fails(f"get namespace {name}") == (
        f'Error from server (NotFound): namespaces "{name}" not found\n'
    )


def test_a_certificate_is_asked_for_and_approved(terminal: Terminal) -> None:
    says, name = terminal.says, terminal.namespace
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ada")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    wanted = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
            "request": base64.b64encode(pem).decode(),
        },
    }
    full = f"certificatesigningrequest.certificates.k8s.io/{name}"
    assert says("create -f -", stdin=orjson.dumps(wanted).decode()) == f"{full} created\n"
    described = says(f"describe csr {name}")
    assert "Requesting User:    kubernetes-admin\n" in described
    assert "Common Name:    ada\n" in described
    assert says(f"certificate approve {name}") == f"{full} approved\n"
    rows = [re.split(r" {2,}", line) for line in says(f"get csr {name}").splitlines()]
    assert (rows[0][-1], rows[1][-1]) == ("CONDITION", "Approved")
    assert terminal.fails(f"certificate deny {name}") == (
        f'error: certificate signing request "{name}" is already Approved\n'
    )


def test_the_revisions_of_a_deployment(terminal: Terminal) -> None:
    says = terminal.says
    says("create deployment web --image=web:1")
    uid = says("get deployment web -o jsonpath={.metadata.uid}")
    sets = "".join(REPLICA_SET.format(n=n, uid=uid) for n in (1, 2))
    assert says("create -f -", stdin=sets) == (
        "replicaset.apps/web-1 created\nreplicaset.apps/web-2 created\n"
    )
    assert says("rollout history deployment/web") == (
        "deployment.apps/web \nREVISION  CHANGE-CAUSE\n1         v1\n2         v2\n\n"
    )
    assert says("rollout undo deployment/web --to-revision=2") == (
        "deployment.apps/web rolled back\n"
    )
    image = "get deployment web -o jsonpath={.spec.template.spec.containers[0].image}"
    assert says(image) == "web:2"
    described = says("describe deployment web")
    assert "OldReplicaSets:    web-1 (0/0 replicas created)\n" in described
    assert "NewReplicaSet:     web-2 (0/0 replicas created)\n" in described
    assert steady(says("get replicasets")) == (
        "NAME    DESIRED   CURRENT   READY   AGE\n"
        "web-1   0         0         0       1s\n"
        "web-2   0         0         0       1s\n"
    )


def test_limits_of_a_namespace(terminal: Terminal) -> None:
    says = terminal.says
    says("create -f -", stdin=LIMITS)
    says("run small --image=a")
    pod = terminal.kubectl("get pod small -o json").json
    assert pod["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m", "memory": "128Mi"},
        "requests": {"cpu": "100m", "memory": "128Mi"},
    }
    assert pod["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu, memory request for container "
        "small; cpu, memory limit for container small"
    }
    container = '{"name":"large","image":"a","resources":{"limits":{"cpu":"2"}}}'
    overrides = f'--overrides={{"spec":{{"containers":[{container}]}}}}'
    assert terminal.fails("run large --image=a", overrides) == (
        'Error from server (Forbidden): pods "large" is forbidden: maximum cpu usage per Container '
        "is 1, but limit is 2\n"
    )
    *head, one, other = says("describe limitrange limits").splitlines()
    assert head == [
        "Name:       limits",
        f"Namespace:  {terminal.namespace}",
        "Type        Resource  Min  Max  Default Request  Default Limit  Max Limit/Request Ratio",
        "----        --------  ---  ---  ---------------  -------------  -----------------------",
    ]
    assert {one, other} == {  # kubectl walks through a map, in any order
        "Container   cpu       -    1    100m             500m           -",
        "Container   memory    -    -    128Mi            128Mi          -",
    }
