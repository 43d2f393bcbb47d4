"""kubectl against a server with housekeeping controllers: namespaces, cascades, quotas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clients_harness import Serving, Terminal, serving

pytestmark = [pytest.mark.client, pytest.mark.timeout(120)]

WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
WIDGET = "{{apiVersion: example.com/v1, kind: Widget, metadata: {{name: {name}, {more}}}}}\n"
CONFIG_MAP = "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, {more}}}}}\n---\n"


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("keeping"), "--controllers=*") as running:
        yield running


@pytest.fixture
def tenant(binaries: Path, keeping: Serving, names: Iterator[str], tmp_path: Path) -> Terminal:
    """kubectl in a namespace of its own, and the kind Widget."""
    made = Terminal(binaries, tmp_path / "home", keeping)
    made.namespace = next(names)
    made.says(f"create namespace {made.namespace}")
    made.says(f"config set-context --current --namespace={made.namespace}")
    made.says("apply -f -", stdin=WIDGETS)
    made.says("wait --for=condition=established crd/widgets.example.com")
    return made


def test_a_pod_in_a_namespace_that_was_just_made(tenant: Terminal) -> None:
    assert tenant.says("run once --image=busybox") == "pod/once created\n"
    account = tenant.says("get pod once -o jsonpath={.spec.serviceAccountName}")
    assert account == "default"


def test_deleting_a_namespace_takes_all_of_it(tenant: Terminal) -> None:
    says, name = tenant.says, tenant.namespace
    maps = "".join(CONFIG_MAP.format(name=f"m{n}", more="") for n in range(100))
    says("create -f -", stdin=maps)
    says("create -f -", stdin=WIDGET.format(name="w", more=""))
    says("run once --image=busybox")
    assert says(f"delete namespace {name}") == f'namespace "{name}" deleted\n'
    assert "NotFound" in tenant.fails(f"get namespace {name}")
    assert says(f"get configmaps,widgets -n {name} --ignore-not-found -o name") == ""


def test_waiting_for_a_namespace_that_something_holds(tenant: Terminal) -> None:
    says, name = tenant.says, tenant.namespace
    held = WIDGET.format(name="w", more="finalizers: [example.com/hold]")
    says("create -f -", stdin=held)
    says(f"delete namespace {name} --wait=false")
    says(f"wait namespace/{name} --for=condition=NamespaceFinalizersRemaining")
    conditions = says(f"describe namespace {name}")
    assert "widgets.example.com has 1 resource instances" in conditions
    says("patch widget w --type=merge -p", '{"metadata":{"finalizers":null}}')
    says(f"wait --for=delete namespace/{name}")


def owner(tenant: Terminal) -> str:
    """A Deployment that owns a widget that owns a ConfigMap; the line that names the widget."""
    says = tenant.says
    says("create deployment web --image=web")
    uid = says("get deployment web -o jsonpath={.metadata.uid}")
    more = "ownerReferences: [{{apiVersion: {}, kind: {}, name: {}, uid: {}, {}}}]"
    blocks = "blockOwnerDeletion: true"
    above = more.format("apps/v1", "Deployment", "web", uid, blocks)
    says("create -f -", stdin=WIDGET.format(name="low", more=above))
    uid = says("get widget low -o jsonpath={.metadata.uid}")
    below = more.format("example.com/v1", "Widget", "low", uid, blocks)
    says("create -f -", stdin=CONFIG_MAP.format(name="lowest", more=below))
    return below


@pytest.mark.parametrize("way", ["background", "foreground"])
def test_a_cascade(tenant: Terminal, way: str) -> None:
    owner(tenant)
    tenant.says(f"delete deployment web --cascade={way}")
    tenant.says("wait --for=delete widget/low configmap/lowest")


def test_a_cascade_that_waits_for_the_last(tenant: Terminal) -> None:
    below = owner(tenant)
    more = f"finalizers: [example.com/hold], {below}"
    tenant.says("create -f -", stdin=CONFIG_MAP.format(name="held", more=more))
    tenant.says("delete deployment web --cascade=foreground --wait=false")
    tenant.says("wait --for=delete configmap/lowest")
    finalizers = tenant.says("get deployment web -o jsonpath={.metadata.finalizers}")
    assert finalizers == '["foregroundDeletion"]'
    tenant.says("patch configmap held --type=merge -p", '{"metadata":{"finalizers":null}}')
    tenant.says("wait --for=delete deployment/web widget/low configmap/held")


def test_orphans(tenant: Terminal) -> None:
    owner(tenant)
    tenant.says("delete deployment web --cascade=orphan")
    assert tenant.says("get widget low -o jsonpath={.metadata.ownerReferences}") == ""
    tenant.says("get configmap lowest")


def test_a_custom_kind_that_is_deleted_takes_its_instances_and_theirs(tenant: Terminal) -> None:
    owner(tenant)
    tenant.says("delete crd widgets.example.com")
    tenant.says("wait --for=delete configmap/lowest")


def test_a_quota_counts_right_again(tenant: Terminal) -> None:
    says = tenant.says
    says("create quota q --hard=count/configmaps=3,count/widgets.example.com=1")
    used = r"{.status.used.count/configmaps}"
    says(f"wait quota/q --for=jsonpath={used}=1")
    says("create configmap a")
    says("create configmap b")
    assert "exceeded quota: q" in tenant.fails("create configmap c")
    wrong = '{"status":{"used":{"count/configmaps":"0"}}}'
    says("patch quota q --subresource=status --type=merge -p", wrong)
    says(f"wait quota/q --for=jsonpath={used}=3")
    says("delete configmap a")
    says(f"wait quota/q --for=jsonpath={used}=2")
    says("create configmap c")
