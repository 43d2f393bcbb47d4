"""kubectl changes things: labels to patches, both kinds of apply, edit, replace, delete."""

from __future__ import annotations

import re

import pytest
from clients_harness import Terminal, steady

pytestmark = pytest.mark.client

APP = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app
  labels: {app: app}
spec:
  replicas: 1
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
      - name: main
        image: nginx:1.27
        ports: [{containerPort: 80}]
        env: [{name: A, value: "1"}]
---
apiVersion: v1
kind: Service
metadata: {name: app, labels: {app: app}}
spec:
  selector: {app: app}
  ports: [{port: 80}]
"""
CHANGED = APP.replace("1.27", "1.28").replace("replicas: 1", "replicas: 4")
SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: "1", b: "2"}
"""


def spec_of(terminal: Terminal, name: str, path: str) -> str:
    return terminal.says(f"get {name} -o jsonpath={path}")


def test_apply_twice_with_a_change(terminal: Terminal) -> None:
    says = terminal.says
    assert says("apply -f -", stdin=APP) == "deployment.apps/app created\nservice/app created\n"
    assert says("apply -f -", stdin=APP) == "deployment.apps/app unchanged\nservice/app unchanged\n"
    diff = terminal.kubectl("diff -f -", stdin=CHANGED, code=1)
    assert not diff.err
    changed = [line for line in diff.lines if re.match(r"[-+] ", line)]
    assert changed == [
        "-  generation: 1", "+  generation: 2",
        "-  replicas: 1", "+  replicas: 4",
        "-        image: nginx:1.27", "+        image: nginx:1.28",
    ]  # fmt: skip
    assert spec_of(terminal, "deployment/app", "{.metadata.generation}") == "1"
    said = says("apply -f -", stdin=CHANGED)
    assert said == "deployment.apps/app configured\nservice/app unchanged\n"
    path = "{.spec.replicas} {.spec.template.spec.containers[0].image} {.metadata.generation}"
    assert terminal.says("get deployment app -o", f"jsonpath={path}") == "4 nginx:1.28 2"
    assert terminal.kubectl("diff -f -", stdin=CHANGED).out == ""
    said = says("apply view-last-applied deployment app")
    assert "replicas: 4" in said
    without = CHANGED.replace('        env: [{name: A, value: "1"}]\n', "")
    says("apply -f -", stdin=without)
    assert spec_of(terminal, "deployment/app", "{.spec.template.spec.containers[0].env}") == ""


def test_apply_by_the_server(terminal: Terminal) -> None:
    says = terminal.says
    said = says("apply --server-side -f -", stdin=SETTINGS)
    assert said == "configmap/settings serverside-applied\n"
    other = SETTINGS.replace('"1"', '"9"')
    assert terminal.fails("apply --server-side --field-manager=other -f -", stdin=other) == (
        """\
error: Apply failed with 1 conflict: conflict with "kubectl": .data.a
Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts
"""
    )
    says("apply --server-side --field-manager=other --force-conflicts -f -", stdin=other)
    assert spec_of(terminal, "configmap/settings", "{.data}") == '{"a":"9","b":"2"}'
    meta = terminal.kubectl("get configmap settings -o json --show-managed-fields").json["metadata"]
    owners = {entry["manager"]: entry["fieldsV1"]["f:data"] for entry in meta["managedFields"]}
    assert owners == {"kubectl": {"f:b": {}}, "other": {"f:a": {}, "f:b": {}}}
    less = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {b: "2"}\n'
    says("apply --server-side --field-manager=other -f -", stdin=less)
    assert spec_of(terminal, "configmap/settings", "{.data}") == '{"b":"2"}'


def owners_of(terminal: Terminal, name: str) -> dict[tuple[str, str], list[str]]:
    """The keys of the data of a config map that each manager owns."""
    meta = terminal.kubectl(f"get configmap {name} -o json --show-managed-fields").json["metadata"]
    return {
        (entry["manager"], entry["operation"]): sorted(entry["fieldsV1"].get("f:data", {}))
        for entry in meta["managedFields"]
    }


def test_apply_changes_sides_and_back(terminal: Terminal) -> None:
    says = terminal.says
    settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: "
    says("apply -f -", stdin=settings + '{a: "1", b: "2"}')
    assert owners_of(terminal, "settings") == {
        ("kubectl-client-side-apply", "Update"): [".", "f:a", "f:b"]
    }
    # To the server: no conflict with itself, and what the file no longer says goes.
    said = says("apply --server-side -f -", stdin=settings + '{a: "9"}')
    assert said == "configmap/settings serverside-applied\n"
    assert spec_of(terminal, "configmap/settings", "{.data}") == '{"a":"9"}'
    by_server = {("kubectl", "Apply"): ["f:a"], ("kubectl-last-applied", "Apply"): []}
    assert owners_of(terminal, "settings") == by_server
    # And back: the annotation was kept up meanwhile, so what it names and the file does not goes.
    assert says("apply -f -", stdin=settings + '{b: "3"}') == "configmap/settings configured\n"
    assert spec_of(terminal, "configmap/settings", "{.data}") == '{"b":"3"}'
    # Once more to the server.
    says("apply --server-side -f -", stdin=settings + '{b: "4", c: "5"}')
    assert spec_of(terminal, "configmap/settings", "{.data}") == '{"b":"4","c":"5"}'
    by_server[("kubectl", "Apply")] = ["f:b", "f:c"]
    assert owners_of(terminal, "settings") == by_server


def test_prune(terminal: Terminal) -> None:
    one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: keep, labels: {set: one}}\n"
    two = one.replace("keep", "drop")
    said = terminal.says("apply -f -", stdin=f"{one}---\n{two}")
    assert said == "configmap/keep created\nconfigmap/drop created\n"
    line = "apply --prune -l set=one --prune-allowlist=core/v1/ConfigMap -f -"
    said = terminal.kubectl(line, stdin=one).out
    assert said == "configmap/keep unchanged\nconfigmap/drop pruned\n"
    assert terminal.says("get configmaps -o name") == "configmap/keep\n"


def test_labels_and_annotations(terminal: Terminal) -> None:
    says = terminal.says
    says("create configmap c")
    assert says("label configmap c x=y z=1") == "configmap/c labeled\n"
    assert terminal.fails("label configmap c x=z") == (
        "error: 'x' already has a value (y), and --overwrite is false\n"
    )
    assert says("label configmap c x=z --overwrite") == "configmap/c labeled\n"
    assert says("label configmap c z-") == "configmap/c unlabeled\n"
    assert says("annotate configmap c", "note=two words") == "configmap/c annotated\n"
    shown = says("get configmap c -o jsonpath={.metadata.labels}{.metadata.annotations}")
    assert shown == '{"x":"z"}{"note":"two words"}'
    assert says("annotate configmap c note-") == "configmap/c annotated\n"
    assert terminal.fails("label configmap c", "bad key=1") == (
        'The ConfigMap "c" is invalid: metadata.labels: Invalid value: "bad key": name part must '
        "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
        "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')\n"
    )


def test_scale_and_set(terminal: Terminal) -> None:
    says = terminal.says
    says("apply -f -", stdin=APP)
    assert says("scale deployment app --replicas=5") == "deployment.apps/app scaled\n"
    assert terminal.fails("scale deployment app --current-replicas=2 --replicas=6") == (
        "error: Expected replicas to be 2, was 5\n"
    )
    assert says("set image deployment/app main=nginx:1.29") == "deployment.apps/app image updated\n"
    assert says("set env deployment/app B=2") == "deployment.apps/app env updated\n"
    said = says("set resources deployment/app --limits=cpu=200m,memory=512Mi")
    assert said == "deployment.apps/app resource requirements updated\n"
    assert says("set serviceaccount deployment/app default") == (
        "deployment.apps/app serviceaccount updated\n"
    )
    assert says("set selector service app a=b") == "service/app selector updated\n"
    container = terminal.kubectl("get deployment app -o json").json["spec"]["template"]["spec"]
    assert container["serviceAccountName"] == "default"
    assert container["containers"] == [
        {
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "image": "nginx:1.29",
            "imagePullPolicy": "IfNotPresent",
            "name": "main",
            "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "resources": {"limits": {"cpu": "200m", "memory": "512Mi"}},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }
    ]


def test_patches(terminal: Terminal) -> None:
    says = terminal.says
    says("apply -f -", stdin=APP)
    side = '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"busybox"}]}}}}'
    assert says("patch deployment app -p", side) == "deployment.apps/app patched\n"
    assert says("patch deployment app -p", side) == "deployment.apps/app patched (no change)\n"
    images = "{.spec.template.spec.containers[*].image}"
    assert spec_of(terminal, "deployment/app", images) == "busybox nginx:1.27"
    says("patch deployment app --type=merge -p", '{"spec":{"replicas":2}}')
    replace = '[{"op":"replace","path":"/spec/replicas","value":3}]'
    assert says("patch deployment app --type=json -p", replace) == "deployment.apps/app patched\n"
    assert spec_of(terminal, "deployment/app", "{.spec.replicas}") == "3"
    test = '[{"op":"test","path":"/spec/replicas","value":9}]'
    assert terminal.fails("patch deployment app --type=json -p", test) == (
        "The request is invalid: the server rejected our request due to an error in our request\n"
    )
    said = terminal.kubectl("patch deployment app -p", '{"spec":{"nope":1}}')
    assert said.err == 'Warning: unknown field "spec.nope"\n'
    assert terminal.fails("patch deployment app -p", '{"spec":{"replicas":"x"}}').startswith(
        "The request is invalid: patch: Invalid value: "
    )
    assert terminal.fails("patch deployment app -p", '{"spec":{"replicas":-1}}') == (
        'The Deployment "app" is invalid: spec.replicas: Invalid value: -1: '
        "must be greater than or equal to 0\n"
    )


def test_rollouts_without_controllers(terminal: Terminal) -> None:
    says = terminal.says
    says("create deployment app --image=a")
    assert says("rollout restart deployment/app") == "deployment.apps/app restarted\n"
    assert says("rollout pause deployment/app") == "deployment.apps/app paused\n"
    assert says("rollout resume deployment/app") == "deployment.apps/app resumed\n"
    assert says("rollout history deployment/app") == (
        "deployment.apps/app \nNo rollout history found.\n"
    )
    assert terminal.fails("rollout undo deployment/app") == (
        'error: no rollout history found for deployment "app"\n'
    )
    path = "{.metadata.generation}"
    generation = spec_of(terminal, "deployment/app", path)
    counts = '"replicas":1,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1'
    status = f'{{"status":{{{counts},"observedGeneration":{generation}}}}}'
    says("patch deployment app --subresource=status --type=merge -p", status)
    assert spec_of(terminal, "deployment/app", path) == generation
    assert says("rollout status deployment/app --timeout=20s") == (
        'deployment "app" successfully rolled out\n'
    )
    assert steady(says("get deployment app")) == (
        "NAME   READY   UP-TO-DATE   AVAILABLE   AGE\napp    1/1     1            1           1s\n"
    )


def test_edit(terminal: Terminal) -> None:
    terminal.says("apply -f -", stdin=APP)
    edit = ("kubectl", "edit", "deployment", "app")
    said = terminal.run(*edit, env={"KUBE_EDITOR": "sed -i s/replicas:.1/replicas:\\ 7/"})
    assert said.out == "deployment.apps/app edited\n"
    assert spec_of(terminal, "deployment/app", "{.spec.replicas}") == "7"
    said = terminal.run(*edit, env={"KUBE_EDITOR": "true"})
    assert said.err == "Edit cancelled, no changes made.\n"
    said = terminal.run(*edit, env={"KUBE_EDITOR": "sed -i s/image:/imagee:/"}, code=1)
    assert said.err.startswith('error: deployments.apps "app" is invalid\n')


def test_replace(terminal: Terminal) -> None:
    says = terminal.says
    says("create -f -", stdin=SETTINGS)
    shown = says("get configmap settings -o yaml")
    said = says("replace -f -", stdin=shown.replace('a: "1"', 'a: "3"'))
    assert said == "configmap/settings replaced\n"
    assert terminal.fails("replace -f -", stdin=shown) == (
        'Error from server (Conflict): error when replacing "STDIN": Operation cannot be fulfilled '
        'on configmaps "settings": the object has been modified; please apply your changes to the '
        "latest version and try again\n"
    )
    uid = spec_of(terminal, "configmap/settings", "{.metadata.uid}")
    said = says("replace --force -f -", stdin=SETTINGS)
    assert said == (
        f'configmap "settings" deleted from {terminal.namespace} namespace\n'
        "configmap/settings replaced\n"
    )
    assert spec_of(terminal, "configmap/settings", "{.metadata.uid}") != uid
    assert terminal.fails("create -f -", stdin=SETTINGS) == (
        'Error from server (AlreadyExists): error when creating "STDIN": '
        'configmaps "settings" already exists\n'
    )


def test_dry_runs(terminal: Terminal) -> None:
    says = terminal.says
    assert says("create -f - --dry-run=client", stdin=SETTINGS) == (
        "configmap/settings created (dry run)\n"
    )
    shown = says("create -f - --dry-run=server -o yaml", stdin=SETTINGS)
    assert "uid:" in shown
    assert "resourceVersion" not in shown
    said = says("apply -f - --server-side --dry-run=server", stdin=SETTINGS)
    assert said == "configmap/settings serverside-applied (server dry run)\n"
    assert says("get configmaps --ignore-not-found -o name") == ""
    says("create -f -", stdin=SETTINGS)
    said = says("delete configmap settings --dry-run=server")
    where = terminal.namespace
    assert said == f'configmap "settings" deleted from {where} namespace (server dry run)\n'
    assert says("get configmaps -o name") == "configmap/settings\n"


def test_delete(terminal: Terminal) -> None:
    says, where = terminal.says, terminal.namespace
    says("apply -f -", stdin=APP)
    said = says("delete deployment,service -l app=app")
    assert said == (
        f'deployment.apps "app" deleted from {where} namespace\n'
        f'service "app" deleted from {where} namespace\n'
    )
    says("create -f -", stdin=SETTINGS)
    assert says("delete configmap --all") == (
        f'configmap "settings" deleted from {where} namespace\n'
    )
    assert terminal.fails("delete configmap nope") == (
        'Error from server (NotFound): configmaps "nope" not found\n'
    )
    assert says("delete configmap nope --ignore-not-found") == ""
    says("create deployment app --image=a")
    says("delete deployment app --cascade=foreground --wait=false")
    finalizers = spec_of(terminal, "deployment/app", "{.metadata.finalizers}")
    assert finalizers == '["foregroundDeletion"]'


def test_pods_on_a_node(terminal: Terminal) -> None:
    says, unique = terminal.says, terminal.namespace
    says("create -f -", stdin=f"apiVersion: v1\nkind: Node\nmetadata: {{name: {unique}}}\n")
    assert says(f"cordon {unique}") == f"node/{unique} cordoned\n"
    assert says(f"taint node {unique} k=v:NoSchedule") == f"node/{unique} tainted\n"
    assert says(f"uncordon {unique}") == f"node/{unique} uncordoned\n"
    overrides = f'--overrides={{"spec":{{"nodeName":"{unique}"}}}}'
    says("run placed --image=a", overrides)
    says("run waiting --image=a")
    # One that never ran is gone at once; one on a node waits for its kubelet.
    says("delete pod waiting")
    says("delete pod placed --wait=false")
    shown = steady(says("get pods"))
    assert shown == (
        "NAME     READY   STATUS        RESTARTS   AGE\n"
        "placed   0/1     Terminating   0          1s\n"
    )
    forced = terminal.kubectl("delete pod placed --force --grace-period=0")
    assert forced.out == f'pod "placed" force deleted from {unique} namespace\n'
    assert forced.err == (
        "Warning: Immediate deletion does not wait for confirmation that the running resource has "
        "been terminated. The resource may continue to run on the cluster indefinitely.\n"
    )
    says("run tested --image=a")
    said = says("debug tested --image=busybox --target=tested --container=probe")
    assert said == (
        'Targeting container "tested". If you don\'t see processes from this container it may be '
        "because the container runtime doesn't support this feature.\n"
    )
    assert spec_of(terminal, "pod/tested", "{.spec.ephemeralContainers[*].name}") == "probe"
    assert terminal.kubectl("exec tested -c tested -- ls", code=1).err == (
        "error: unable to upgrade connection: pod tested does not have a host assigned\n"
    )
