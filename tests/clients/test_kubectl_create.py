"""kubectl creates every common kind, and shows each of them as a real cluster would."""

from __future__ import annotations

import re

import pytest
from clients_harness import Terminal, steady

pytestmark = pytest.mark.client


def test_workloads(terminal: Terminal) -> None:
    says = terminal.says
    line = "create deployment web --image=nginx:1.27 --replicas=2 --port=80"
    assert says(line) == "deployment.apps/web created\n"
    assert says("run cache --image=redis:7 --labels=app=cache,tier=back") == "pod/cache created\n"
    assert says("create job once --image=busybox -- true") == "job.batch/once created\n"
    said = says("create cronjob tick --image=busybox", "--schedule=*/5 * * * *", "--", "date")
    assert said == "cronjob.batch/tick created\n"
    assert says("create job now --from=cronjob/tick") == "job.batch/now created\n"
    assert says("expose deployment web --target-port=8080") == "service/web exposed\n"
    assert says("autoscale deployment web --max=5 --cpu=80%") == (
        "horizontalpodautoscaler.autoscaling/web autoscaled\n"
    )
    shown = re.sub(r"10\.0\.\d+\.\d+", "10.0.0.9", says("get all"))
    assert _columns(steady(shown)) == _columns(
        """\
NAME READY STATUS RESTARTS AGE
pod/cache 0/1 Pending 0 1s

NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE
service/web ClusterIP 10.0.0.9 <none> 80/TCP 1s

NAME READY UP-TO-DATE AVAILABLE AGE
deployment.apps/web 0/2 0 0 1s

NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE
horizontalpodautoscaler.autoscaling/web Deployment/web cpu: <unknown>/80% 1 5 0 1s

NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE
cronjob.batch/tick */5 * * * * <none> False 0 <none> 1s

NAME STATUS COMPLETIONS DURATION AGE
job.batch/now Running 0/1 1s
job.batch/once Running 0/1 1s
"""
    )


def _columns(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


def test_services(terminal: Terminal) -> None:
    says = terminal.says
    assert says("create service clusterip inner --tcp=80:8080") == "service/inner created\n"
    assert says("create service nodeport outer --tcp=81:8080") == "service/outer created\n"
    assert says("create service loadbalancer wide --tcp=82") == "service/wide created\n"
    said = says("create service externalname far --external-name=example.com")
    assert said == "service/far created\n"
    assert says("create service clusterip bare --clusterip=None") == "service/bare created\n"
    shown = says("get services -o wide")
    shown = re.sub(r"10\.0\.\d+\.\d+ *", "10.0.0.9     ", shown)
    shown = re.sub(r"8(\d):3\d{4}/TCP", r"8\1:30000/TCP", shown)
    rows = [re.split(r" {2,}", line) for line in steady(shown).splitlines()]
    assert rows == [
        ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"],
        ["bare", "ClusterIP", "None", "<none>", "<none>", "1s", "app=bare"],
        ["far", "ExternalName", "<none>", "example.com", "<none>", "1s", "app=far"],
        ["inner", "ClusterIP", "10.0.0.9", "<none>", "80/TCP", "1s", "app=inner"],
        ["outer", "NodePort", "10.0.0.9", "<none>", "81:30000/TCP", "1s", "app=outer"],
        ["wide", "LoadBalancer", "10.0.0.9", "<pending>", "82:30000/TCP", "1s", "app=wide"],
    ]
    taken = terminal.kubectl("get service inner -o jsonpath={.spec.clusterIP}").out
    said = terminal.fails(f"create service clusterip thief --tcp=80 --clusterip={taken}")
    assert said == (
        f'error: failed to create ClusterIP service: Service "thief" is invalid: spec.clusterIPs: '
        f'Invalid value: ["{taken}"]: failed to allocate IP {taken}: '
        "provided IP is already allocated\n"
    )


def test_configuration(terminal: Terminal) -> None:
    says = terminal.says
    (terminal.home / "app.ini").write_text("[app]\ncolor=blue\n")
    line = "create configmap settings --from-literal=size=L --from-file=app.ini"
    assert says(line) == "configmap/settings created\n"
    assert says("create secret generic creds --from-literal=user=admin") == "secret/creds created\n"
    line = "create secret docker-registry reg --docker-server=r --docker-username=u"
    assert says(line, "--docker-password=p") == "secret/reg created\n"
    assert says("get configmap settings -o jsonpath={.data}") == (
        '{"app.ini":"[app]\\ncolor=blue\\n","size":"L"}'
    )
    assert steady(says("get secrets")) == (
        "NAME    TYPE                             DATA   AGE\n"
        "creds   Opaque                           1      1s\n"
        "reg     kubernetes.io/dockerconfigjson   1      1s\n"
    )
    assert says("describe configmap settings") == (
        f"Name:         settings\nNamespace:    {terminal.namespace}\n"
        "Labels:       <none>\nAnnotations:  <none>\n\n"
        "Data\n====\napp.ini:\n----\n[app]\ncolor=blue\n\n\nsize:\n----\nL\n\n\n"
        "BinaryData\n====\n\nEvents:  <none>\n"
    )
    assert terminal.fails("create configmap settings") == (
        'error: failed to create configmap: configmaps "settings" already exists\n'
    )
    assert terminal.fails("create configmap Bad_name") == (
        'error: failed to create configmap: ConfigMap "Bad_name" is invalid: metadata.name: '
        'Invalid value: "Bad_name": a lowercase RFC 1123 subdomain must consist of lower case '
        "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
        "character (e.g. 'example.com', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')\n"
    )


def test_permissions(terminal: Terminal) -> None:
    says, unique = terminal.says, terminal.namespace
    line = "create role reader --verb=get,list --resource=pods,deployments.apps"
    assert says(line) == "role.rbac.authorization.k8s.io/reader created\n"
    line = f"create rolebinding readers --role=reader --user=jane --serviceaccount={unique}:default"
    assert says(line) == "rolebinding.rbac.authorization.k8s.io/readers created\n"
    line = f"create clusterrole {unique} --verb=get --resource=nodes --non-resource-url=/logs/*"
    assert says(line) == f"clusterrole.rbac.authorization.k8s.io/{unique} created\n"
    line = f"create clusterrolebinding {unique} --clusterrole={unique} --group=dev"
    assert says(line) == f"clusterrolebinding.rbac.authorization.k8s.io/{unique} created\n"
    assert says("describe role reader") == (
        "Name:         reader\nLabels:       <none>\nAnnotations:  <none>\nPolicyRule:\n"
        "  Resources         Non-Resource URLs  Resource Names  Verbs\n"
        "  ---------         -----------------  --------------  -----\n"
        "  pods              []                 []              [get list]\n"
        "  deployments.apps  []                 []              [get list]\n"
    )
    assert steady(says("get rolebindings -o wide")) == (
        "NAME      ROLE          AGE   USERS   GROUPS   SERVICEACCOUNTS\n"
        f"readers   Role/reader   1s    jane             {unique}/default\n"
    )
    said = terminal.fails("create rolebinding readers --role=other --user=jane")
    assert said == (
        "error: failed to create rolebinding: rolebindings.rbac.authorization.k8s.io "
        '"readers" already exists\n'
    )


def test_rules_of_a_namespace(terminal: Terminal) -> None:
    says, unique = terminal.says, terminal.namespace
    said = says("create ingress web", "--rule=foo.com/bar*=web:80,tls=cert", "--class=nginx")
    assert said == "ingress.networking.k8s.io/web created\n"
    line = "create poddisruptionbudget web --selector=app=web --min-available=1"
    assert says(line) == "poddisruptionbudget.policy/web created\n"
    assert says("create quota limits --hard=configmaps=10,secrets=5") == (
        "resourcequota/limits created\n"
    )
    line = f"create priorityclass {unique} --value=1000 --description=high"
    assert says(line) == f"priorityclass.scheduling.k8s.io/{unique} created\n"
    assert steady(says("get ingress,pdb")) == (
        "NAME                            CLASS   HOSTS     ADDRESS   PORTS     AGE\n"
        "ingress.networking.k8s.io/web   nginx   foo.com             80, 443   1s\n"
        "\n"
        "NAME                             MIN AVAILABLE   MAX UNAVAILABLE"
        "   ALLOWED DISRUPTIONS   AGE\n"
        "poddisruptionbudget.policy/web   1               N/A            "
        "   0                     1s\n"
    )
    assert says(f"describe priorityclass {unique}") == (
        f"Name:              {unique}\nValue:             1000\nGlobalDefault:     false\n"
        "PreemptionPolicy:  PreemptLowerPriority\nDescription:       high\n"
        "Annotations:       <none>\nEvents:            <none>\n"
    )
    assert says(
        "run urgent --image=a", f'--overrides={{"spec":{{"priorityClassName":"{unique}"}}}}'
    )
    assert says("get pod urgent -o jsonpath={.spec.priority}") == "1000"
    assert terminal.fails("create quota q --hard=pods=-1") == (
        'error: failed to create quota: ResourceQuota "q" is invalid: spec.hard[pods]: '
        'Invalid value: "-1": must be greater than or equal to 0\n'
    )


def test_what_cannot_be_created(terminal: Terminal) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: [{name: c}]}\n"
    assert terminal.fails("create -f -", stdin=pod) == (
        'The Pod "bad" is invalid: spec.containers[0].image: Required value\n'
    )
    typo = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndataa: {}\n"
    assert terminal.fails("create -f -", stdin=typo) == (
        'Error from server (BadRequest): error when creating "STDIN": ConfigMap in version "v1" '
        'cannot be handled as a ConfigMap: strict decoding error: unknown field "dataa"\n'
    )
    unknown = "apiVersion: nope/v1\nkind: Pod\nmetadata: {name: bad}\n"
    assert terminal.fails("create -f -", stdin=unknown) == (
        'error: resource mapping not found for name: "bad" namespace: "" from "STDIN": '
        'no matches for kind "Pod" in version "nope/v1"\nensure CRDs are installed first\n'
    )
    assert terminal.fails("create configmap x -n nowhere") == (
        'error: failed to create configmap: namespaces "nowhere" not found\n'
    )
    terminal.says("delete serviceaccount default")
    assert terminal.fails("run early --image=a") == (
        f'Error from server (Forbidden): pods "early" is forbidden: error looking up service '
        f'account {terminal.namespace}/default: serviceaccount "default" not found\n'
    )
