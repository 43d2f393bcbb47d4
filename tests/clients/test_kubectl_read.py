"""kubectl looks at things: every form of output, selectors, pages, watches, documentation."""

from __future__ import annotations

import re
import time

import pytest
from clients_harness import Terminal, line_of, steady

pytestmark = pytest.mark.client

POD_ROW = "web    0/1     Pending   0          1s"
EVENT = """
apiVersion: v1
kind: Event
metadata: {name: web.1}
involvedObject: {apiVersion: v1, kind: Pod, name: web, namespace: %s, uid: %s}
reason: Scheduled
message: Successfully assigned
type: Normal
count: 3
source: {component: default-scheduler}
firstTimestamp: "%s"
lastTimestamp: "%s"
"""


def test_forms_of_output(terminal: Terminal) -> None:
    says = terminal.says
    says("run web --image=nginx:1.27 --labels=app=web,tier=front --port=80")
    head = "NAME   READY   STATUS    RESTARTS   AGE"
    assert steady(says("get pods")) == f"{head}\n{POD_ROW}\n"
    assert steady(says("get pod web --no-headers")) == "web   0/1   Pending   0     1s\n"
    assert steady(says("get pods -o wide")) == (
        f"{head}   IP       NODE     NOMINATED NODE   READINESS GATES\n"
        f"{POD_ROW}    <none>   <none>   <none>           <none>\n"
    )
    shown = steady(says("get pods --show-labels -L tier"))
    assert shown == f"{head}   TIER    LABELS\n{POD_ROW}    front   app=web,tier=front\n"
    assert says("get pods -o name") == "pod/web\n"
    path = "-o=jsonpath={range .items[*]}{.metadata.name}={.spec.containers[0].image}{'\\n'}{end}"
    assert says("get pods", path) == "web=nginx:1.27\n"
    columns = "custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[*].image"
    assert says(f"get pods -o {columns}") == "NAME   IMAGE\nweb    nginx:1.27\n"
    template = "go-template={{range .items}}{{.metadata.name}} {{.status.phase}};{{end}}"
    assert says("get pods -o", template) == "web Pending;"
    pod = terminal.kubectl("get pod web -o json").json
    assert list(pod) == ["apiVersion", "kind", "metadata", "spec", "status"]
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert pod["spec"]["containers"][0]["image"] == "nginx:1.27"
    assert "managedFields" not in pod["metadata"]
    shown = says("get pod web -o yaml --show-managed-fields")
    assert re.search(r"manager: kubectl-run\n    operation: Update\n    time:", shown)
    listed = terminal.kubectl("get pods,configmaps -o json").json
    assert (listed["kind"], listed["metadata"]) == ("List", {"resourceVersion": ""})
    assert [item["kind"] for item in listed["items"]] == ["Pod"]


def test_yaml_of_a_fresh_deployment(terminal: Terminal) -> None:
    terminal.says("create deployment web --image=nginx:1.27")
    shown = terminal.says("get deployment web -o yaml")
    shown = re.sub(r'(creationTimestamp|resourceVersion|uid): "?[-0-9a-zA-Z:]+"?', r"\1: X", shown)
    assert shown == (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  creationTimestamp: X\n"
        "  generation: 1\n  labels:\n    app: web\n  name: web\n"
        f"  namespace: {terminal.namespace}\n  resourceVersion: X\n  uid: X\n"
        "spec:\n  progressDeadlineSeconds: 600\n  replicas: 1\n  revisionHistoryLimit: 10\n"
        "  selector:\n    matchLabels:\n      app: web\n"
        "  strategy:\n    rollingUpdate:\n      maxSurge: 25%\n      maxUnavailable: 25%\n"
        "    type: RollingUpdate\n"
        "  template:\n    metadata:\n      labels:\n        app: web\n"
        "    spec:\n      containers:\n      - image: nginx:1.27\n"
        "        imagePullPolicy: IfNotPresent\n        name: nginx\n        resources: {}\n"
        "        terminationMessagePath: /dev/termination-log\n"
        "        terminationMessagePolicy: File\n"
        "      dnsPolicy: ClusterFirst\n      restartPolicy: Always\n"
        "      schedulerName: default-scheduler\n      securityContext: {}\n"
        "      terminationGracePeriodSeconds: 30\nstatus: {}\n"
    )


def test_selectors_and_pages(terminal: Terminal) -> None:
    says = terminal.says
    for name, tier in (("a", "front"), ("b", "back"), ("c", "front")):
        says(f"run {name} --image={name} --labels=tier={tier}")
    assert says("get pods -l tier=front -o name") == "pod/a\npod/c\n"
    assert says("get pods -o name -l", "tier in (back), !nope") == "pod/b\n"
    assert says("get pods -o name --field-selector=metadata.name!=b") == "pod/a\npod/c\n"
    assert says("get pods -o name --field-selector=status.phase=Running") == ""
    assert says("get pods -o name --sort-by={.spec.containers[0].image}").split() == [
        "pod/a", "pod/b", "pod/c",
    ]  # fmt: skip
    assert len(says("get pods --chunk-size=1 -o name").split()) == 3
    assert terminal.fails("get pods --field-selector=spec.foo=bar") == (
        'Error from server (BadRequest): Unable to find "/v1, Resource=pods" that match label '
        'selector "", field selector "spec.foo=bar": field label not supported: spec.foo\n'
    )
    assert terminal.fails("get pods -l a=b=c") == (
        'Error from server (BadRequest): Unable to find "/v1, Resource=pods" that match label '
        "selector \"a=b=c\", field selector \"\": found '=', expected: ',' or 'end of string'\n"
    )
    assert terminal.fails("get pods/nope configmaps/nope") == (
        'Error from server (NotFound): pods "nope" not found\n'
        'Error from server (NotFound): configmaps "nope" not found\n'
    )
    assert terminal.fails("get nopes") == (
        'error: the server doesn\'t have a resource type "nopes"\n'
    )
    nothing = terminal.kubectl("get statefulsets,persistentvolumeclaims")
    assert (nothing.out, nothing.err) == (
        "",
        f"No resources found in {terminal.namespace} namespace.\n",
    )


def test_describe_with_events(terminal: Terminal) -> None:
    says = terminal.says
    says("run web --image=nginx:1.27 --port=80 --env=A=1")
    uid = says("get pod web -o jsonpath={.metadata.uid}")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    says("create -f -", stdin=EVENT % (terminal.namespace, uid, now, now))
    shown = steady(says("describe pod web"))
    shown = re.sub(r"kube-api-access-\w{5}", "kube-api-access-xxxxx", shown)
    assert shown == steady(
        f"""\
Name:             web
Namespace:        {terminal.namespace}
Priority:         0
Service Account:  default
Node:             <none>
Labels:           run=web
Annotations:      <none>
Status:           Pending
IP:
IPs:              <none>
Containers:
  web:
    Image:      nginx:1.27
    Port:       80/TCP
    Host Port:  0/TCP
    Environment:
      A:  1
    Mounts:
      /var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-xxxxx (ro)
Volumes:
  kube-api-access-xxxxx:
    Type:                    Projected (a volume that contains injected data from multiple sources)
    TokenExpirationSeconds:  3607
    ConfigMapName:           kube-root-ca.crt
    Optional:                false
    DownwardAPI:             true
QoS Class:                   BestEffort
Node-Selectors:              <none>
Tolerations:                 node.kubernetes.io/not-ready:NoExecute op=Exists for 300s
                             node.kubernetes.io/unreachable:NoExecute op=Exists for 300s
Events:
  Type    Reason     Age              From               Message
  ----    ------     ----             ----               -------
  Normal  Scheduled  1s (x3 over 1s)  default-scheduler  Successfully assigned
"""
    )
    assert steady(says("get events")) == (
        "LAST SEEN   TYPE     REASON      OBJECT    MESSAGE\n"
        "1s          Normal   Scheduled   pod/web   Successfully assigned\n"
    )
    assert "Normal   Scheduled   Pod/web   Successfully assigned" in says("events --for=pod/web")


def test_watches(terminal: Terminal) -> None:
    says = terminal.says
    says("create configmap before")
    command = ["kubectl", "get", "configmaps", "--watch", "--output-watch-events"]
    with terminal.background(*command) as watch:
        assert line_of(watch.stdout).split() == ["EVENT", "NAME", "DATA", "AGE"]
        assert line_of(watch.stdout).split()[:3] == ["ADDED", "before", "0"]
        says("create configmap after --from-literal=a=1")
        assert line_of(watch.stdout).split()[:3] == ["ADDED", "after", "1"]
        says("patch configmap after --type=merge -p", '{"data":{"b":"2"}}')
        assert line_of(watch.stdout).split()[:3] == ["MODIFIED", "after", "2"]
        says("delete configmap after")
        assert line_of(watch.stdout).split()[:3] == ["DELETED", "after", "2"]
    only = ["kubectl", "get", "pods", "-o", "name", "--watch-only", "-l", "a=b", "-v=6"]
    with terminal.background(*only) as watch:
        while "watch=true" not in line_of(watch.stdout):
            pass  # until the request is answered
        says("run web --image=a")
        says("label pod web a=b")
        while (line := line_of(watch.stdout)).startswith("I"):
            pass  # what -v=6 tells
        assert line == "pod/web"
    waiting = ["kubectl", "wait", "--for=jsonpath={.spec.replicas}=3", "deployment/web"]
    says("create deployment web --image=a")
    with terminal.background(*waiting, "--timeout=20s") as wait:
        says("scale deployment web --replicas=3")
        assert line_of(wait.stdout) == "deployment.apps/web condition met"


def test_waits(terminal: Terminal) -> None:
    terminal.says("create deployment web --image=a")
    said = terminal.fails("wait --for=condition=Available deployment/web --timeout=1s")
    assert said == "error: timed out waiting for the condition on deployments/web\n"
    status = '{"status":{"conditions":[{"type":"Available","status":"True"}]}}'
    terminal.says("patch deployment web --subresource=status --type=merge -p", status)
    said = terminal.says("wait --for=condition=Available deployment/web --timeout=20s")
    assert said == "deployment.apps/web condition met\n"
    assert terminal.says("wait --for=delete pod/nope --timeout=1s") == ""


def test_what_the_cluster_is(terminal: Terminal) -> None:
    says = terminal.says
    assert re.fullmatch(
        r"Client Version: v1\.37\.\d+\nKustomize Version: .*\nServer Version: v1\.37\.\d+\S*\n",
        says("version"),
    )
    shown = re.sub(r"\x1b\[[0-9;]*m", "", says("cluster-info"))
    assert shown.startswith(f"Kubernetes control plane is running at {terminal.serving.url}\n")
    versions = says("api-versions").split()
    assert versions == sorted(versions)
    assert {"apps/v1", "autoscaling/v1", "autoscaling/v2", "batch/v1", "v1"} <= set(versions)
    rows = [re.split(r" {2,}", line.strip()) for line in says("api-resources").splitlines()]
    assert rows[0] == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in rows
    assert ["nodes", "no", "v1", "false", "Node"] in rows
    assert len(rows) > 60
    listed = says("api-resources --api-group=apps --verbs=list,watch -o name").split()
    assert listed == [
        f"{plural}.apps"
        for plural in (
            "controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets",
        )
    ]  # fmt: skip
    assert says("get --raw /readyz") == "ok"
    assert says("get --raw /readyz?verbose").endswith("readyz check passed\n")
    assert '"major": "1"' in says("get --raw /version")
    assert says("get --raw /api/v1/namespaces/default").startswith('{"kind":"Namespace",')
    assert re.fullmatch(
        r"NAME +STATUS   AGE\ndefault   Active   \w+\n", says("get namespaces default")
    )
    old = terminal.kubectl("get componentstatuses")
    assert steady(old.out) == "NAME     STATUS    MESSAGE   ERROR\netcd-0   Healthy   ok\n"
    assert old.err == "Warning: v1 ComponentStatus is deprecated in v1.19+\n"
    config = says("config view")
    assert "certificate-authority-data: DATA+OMITTED" in config
    assert says("config current-context") == "kapi\n"


def test_documentation(terminal: Terminal) -> None:
    says = terminal.says
    assert says("explain deployment.spec.strategy") == (
        "GROUP:      apps\nKIND:       Deployment\nVERSION:    v1\n\n"
        "FIELD: strategy <DeploymentStrategy>\n\n\nDESCRIPTION:\n"
        "    The deployment strategy to use to replace existing pods with new ones.\n"
        "    DeploymentStrategy describes how to replace existing pods with new ones.\n"
        "    \nFIELDS:\n"
        "  rollingUpdate\t<RollingUpdateDeployment>\n"
        "    Rolling update config params. Present only if DeploymentStrategyType =\n"
        "    RollingUpdate.\n\n"
        "  type\t<string>\n  enum: Recreate, RollingUpdate\n"
        '    Type of deployment. Can be "Recreate" or "RollingUpdate". Default is\n'
        "    RollingUpdate.\n\n\n"
    )
    everything = says("explain pod --recursive")
    assert "\n    containers\t<[]Container> -required-\n" in everything
    assert "        containerPort\t<integer> -required-\n" in everything
    old = says("explain horizontalpodautoscaler.spec --api-version=autoscaling/v1")
    assert "targetCPUUtilizationPercentage\t<integer>" in old
    assert terminal.fails("explain pod.nope").endswith('error: field "nope" does not exist\n')
    assert "does not exist" not in says("explain ingress.spec.rules.http.paths.backend")
