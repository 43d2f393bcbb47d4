"""kubectl as somebody else: who am I, what may I do, tokens, impersonation."""

from __future__ import annotations

import re

import pytest
from clients_harness import Terminal

pytestmark = pytest.mark.client


def test_who_am_i(terminal: Terminal) -> None:
    shown = terminal.says("auth whoami")
    assert re.sub(r"X509SHA256=[0-9a-f]{64}", "X509SHA256=…", shown) == (
        "ATTRIBUTE                                           VALUE\n"
        "Username                                            kubernetes-admin\n"
        "Groups                                              "
        "[system:masters system:authenticated]\n"
        "Extra: authentication.kubernetes.io/credential-id   [X509SHA256=…]\n"
    )
    assert terminal.says("--as jane --as-group=dev auth whoami") == (
        "ATTRIBUTE   VALUE\nUsername    jane\nGroups      [dev system:authenticated]\n"
    )


def test_what_may_i_do(terminal: Terminal) -> None:
    says = terminal.says
    assert says("auth can-i create pods") == "yes\n"
    assert terminal.kubectl("auth can-i list secrets --as=jane", code=1).out == "no\n"
    says("create role reader --verb=get,list --resource=pods")
    says("create rolebinding readers --role=reader --user=jane")
    assert says("auth can-i list pods --as=jane") == "yes\n"
    assert terminal.kubectl("auth can-i delete pods --as=jane", code=1).out == "no\n"
    assert says("auth can-i get /healthz --as=jane") == "yes\n"
    rows = [re.split(r" {2,}", line) for line in says("auth can-i --list --as=jane").splitlines()]
    assert rows[0] == ["Resources", "Non-Resource URLs", "Resource Names", "Verbs"]
    assert ["pods", "[]", "[]", "[get list]"] in rows
    assert ["selfsubjectreviews.authentication.k8s.io", "[]", "[]", "[create]"] in rows
    assert ["", "[/healthz]", "[]", "[get]"] in rows
    mine = says("auth can-i --list").splitlines()
    assert re.split(r" {2,}", mine[1]) == ["*.*", "[]", "[]", "[*]"]
    assert terminal.fails("--as=jane get secrets") == (
        'Error from server (Forbidden): secrets is forbidden: User "jane" cannot list resource '
        f'"secrets" in API group "" in the namespace "{terminal.namespace}"\n'
    )
    assert terminal.fails("--as=jane get nodes") == (
        'Error from server (Forbidden): nodes is forbidden: User "jane" cannot list resource '
        '"nodes" in API group "" at the cluster scope\n'
    )
    assert says("--as=jane get pods -o name") == ""
    role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n"
    role += f"metadata: {{name: reader, namespace: {terminal.namespace}}}\n"
    role += "rules: [{apiGroups: [''], resources: [pods], verbs: [get, list, watch]}]\n"
    said = terminal.kubectl("auth reconcile -f -", stdin=role)
    assert said.out + said.err == (
        "role.rbac.authorization.k8s.io/reader reconciled\n\treconciliation required update\n"
        "\tmissing rules added:\n"
        "\t\t{Verbs:[watch] APIGroups:[] Resources:[pods] ResourceNames:[] NonResourceURLs:[]}\n"
    )
    assert says("auth can-i watch pods --as=jane") == "yes\n"


def test_tokens_of_a_service_account(terminal: Terminal) -> None:
    says, where = terminal.says, terminal.namespace
    token = says("create token default --duration=20m").strip()
    assert token.count(".") == 2
    terminal.kubectl(f"config set-credentials robot --token={token}")
    terminal.kubectl("config set-context robot --cluster=kapi --user=robot", f"--namespace={where}")
    robot = f"system:serviceaccount:{where}:default"
    shown = says("--context=robot auth whoami")
    assert re.search(rf"^Username +{robot}$", shown, re.MULTILINE)
    groups = f"[system:serviceaccounts system:serviceaccounts:{where} system:authenticated]"
    assert re.search(rf"^Groups +{re.escape(groups)}$", shown, re.MULTILINE)
    assert terminal.fails("--context=robot get pods") == (
        f'Error from server (Forbidden): pods is forbidden: User "{robot}" cannot list resource '
        f'"pods" in API group "" in the namespace "{where}"\n'
    )
    says("create role reader --verb=list --resource=pods")
    says(f"create rolebinding robot --role=reader --serviceaccount={where}:default")
    assert says("--context=robot get pods -o name") == ""
    spare = says("create token default").strip()  # one in use is believed for some seconds more
    says("delete serviceaccount default")
    terminal.kubectl(f"config set-credentials robot --token={spare}")
    assert terminal.fails("--context=robot get pods") == (
        "error: You must be logged in to the server (Unauthorized)\n"
    )
    assert terminal.fails("create token default") == (
        'error: failed to create token: serviceaccounts "default" not found\n'
    )


def test_a_user_may_not_give_what_it_has_not(terminal: Terminal) -> None:
    says = terminal.says
    says("create role maker --verb=create,get --resource=roles.rbac.authorization.k8s.io")
    says("create rolebinding makers --role=maker --user=jane")
    said = terminal.fails("--as=jane create role more --verb=delete --resource=secrets")
    assert said == (
        'Error from server (Forbidden): roles.rbac.authorization.k8s.io "more" is forbidden: user '
        '"jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not '
        'currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["delete"]}\n'
    )
