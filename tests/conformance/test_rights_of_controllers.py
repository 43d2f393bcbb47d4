"""What kube-controller-manager, its controllers and kube-scheduler ask for is allowed to them by
the roles that a fresh server holds, and what they do not ask for is not.

A line is what one of them does: verbs, resource (with its group and subresource), and names or a
namespace where the role is bound to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from server_harness import Client, running

Json = dict[str, Any]
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
ACCOUNT = "system:serviceaccount:kube-system:"
GROUPS = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"]
EVENTS = "create,patch events; create,patch events.events.k8s.io"

MANAGER = "system:kube-controller-manager"
SCHEDULER = "system:kube-scheduler"

# Who → what, one entry for each `;`. `@ns` is a namespace, `=name` a name.
ALLOWED = {
    MANAGER: f"""
        list,watch *.*; get,create,update leases.coordination.k8s.io @kube-system
        =kube-controller-manager; get configmaps @kube-system =extension-apiserver-authentication;
        list,watch configmaps @kube-system; get namespaces; get,create,update serviceaccounts;
        create serviceaccounts/token @kube-system; get,create,update,delete secrets;
        create tokenreviews.authentication.k8s.io; {EVENTS};
        create subjectaccessreviews.authorization.k8s.io""",
    SCHEDULER: f"""
        get,create,update leases.coordination.k8s.io @kube-system =kube-scheduler;
        list,watch nodes; list,watch namespaces; list,watch services; list,watch,delete pods;
        create pods/binding; patch pods/status; list,watch replicasets.apps;
        list,watch statefulsets.apps; list,watch replicationcontrollers;
        list,watch poddisruptionbudgets.policy; list,watch,update persistentvolumes;
        list,watch,update persistentvolumeclaims; list,watch storageclasses.storage.k8s.io;
        list,watch csinodes.storage.k8s.io; list,watch csidrivers.storage.k8s.io;
        list,watch csistoragecapacities.storage.k8s.io;
        list,watch volumeattachments.storage.k8s.io; list,watch deviceclasses.resource.k8s.io;
        list,watch resourceslices.resource.k8s.io; list,watch devicetaintrules.resource.k8s.io;
        list,watch,create,update,delete resourceclaims.resource.k8s.io;
        update,patch resourceclaims.resource.k8s.io/status;
        update,patch resourceclaims.resource.k8s.io/binding; update pods/finalizers;
        get configmaps @kube-system =extension-apiserver-authentication;
        list,watch configmaps @kube-system =extension-apiserver-authentication;
        create tokenreviews.authentication.k8s.io; {EVENTS};
        create subjectaccessreviews.authorization.k8s.io""",
    "attachdetach-controller": f"""
        list,watch persistentvolumes; list,watch persistentvolumeclaims; get,list,watch nodes;
        patch nodes/status; list,watch pods; list,watch csidrivers.storage.k8s.io;
        get,list,watch csinodes.storage.k8s.io; {EVENTS};
        get,list,watch,create,delete volumeattachments.storage.k8s.io""",
    "bootstrap-signer": """
        list,watch secrets @kube-system; get,list,watch configmaps @kube-public;
        update configmaps @kube-public =cluster-info""",
    "certificate-controller": f"""
        get,list,watch,delete certificatesigningrequests.certificates.k8s.io;
        update certificatesigningrequests.certificates.k8s.io/approval;
        update certificatesigningrequests.certificates.k8s.io/status;
        approve signers.certificates.k8s.io =kubernetes.io/kube-apiserver-client-kubelet;
        sign signers.certificates.k8s.io =kubernetes.io/kube-apiserver-client-kubelet;
        sign signers.certificates.k8s.io =kubernetes.io/kube-apiserver-client;
        sign signers.certificates.k8s.io =kubernetes.io/kubelet-serving;
        sign signers.certificates.k8s.io =kubernetes.io/legacy-unknown;
        create subjectaccessreviews.authorization.k8s.io; {EVENTS}""",
    "clusterrole-aggregation-controller": """
        escalate,get,list,watch,update,patch clusterroles.rbac.authorization.k8s.io""",
    "cronjob-controller": f"""
        get,list,watch,update cronjobs.batch; update cronjobs.batch/status;
        get,list,watch,create,update,delete,patch jobs.batch; list,delete pods; {EVENTS};
        update cronjobs.batch/finalizers""",
    "daemon-set-controller": f"""
        get,list,watch daemonsets.apps; update daemonsets.apps/status; list,watch nodes;
        update daemonsets.apps/finalizers; list,watch,create,delete,patch pods;
        get,list,watch,create,delete,update,patch controllerrevisions.apps; {EVENTS}""",
    "deployment-controller": f"""
        get,list,watch,update deployments.apps; update deployments.apps/status;
        update deployments.apps/finalizers; list,watch pods; {EVENTS};
        get,list,watch,create,update,patch,delete replicasets.apps""",
    "device-taint-eviction-controller": f"""
        get,list,watch,delete pods; patch pods/status; list,watch resourceclaims.resource.k8s.io;
        list,watch resourceslices.resource.k8s.io; list,watch deviceclasses.resource.k8s.io;
        list,watch devicetaintrules.resource.k8s.io; {EVENTS};
        update,patch devicetaintrules.resource.k8s.io/status""",
    "disruption-controller": f"""
        list,watch poddisruptionbudgets.policy; update poddisruptionbudgets.policy/status;
        get deployments.apps; get replicasets.apps; get statefulsets.apps; {EVENTS};
        get replicationcontrollers; get anything.example.com/scale; patch,update pods/status""",
    "endpoint-controller": f"""
        list,watch services; list,watch pods; get,list,watch,create,update,delete endpoints;
        create endpoints/restricted; {EVENTS}""",
    "endpointslice-controller": f"""
        list,watch services; list,watch pods; list,watch nodes; update services/finalizers;
        list,watch,create,update,delete endpointslices.discovery.k8s.io; {EVENTS}""",
    "endpointslicemirroring-controller": f"""
        list,watch services; list,watch endpoints; update endpoints/finalizers; {EVENTS};
        list,watch,create,update,delete endpointslices.discovery.k8s.io""",
    "ephemeral-volume-controller": f"""
        list,watch pods; update pods/finalizers; {EVENTS};
        get,list,watch,create persistentvolumeclaims""",
    "expand-controller": f"""
        get,list,watch,update,patch persistentvolumes; list,watch persistentvolumeclaims;
        update,patch persistentvolumeclaims/status; {EVENTS}""",
    "generic-garbage-collector": "get,list,watch,patch,update,delete anything.example.com",
    "horizontal-pod-autoscaler": f"""
        get,list,watch horizontalpodautoscalers.autoscaling; list pods; {EVENTS};
        update horizontalpodautoscalers.autoscaling/status; get,update replicasets.apps/scale;
        get,update anything.example.com/scale; list pods.metrics.k8s.io;
        get,list anything.custom.metrics.k8s.io; list anything.external.metrics.k8s.io""",
    "job-controller": f"""
        get,list,watch,update,patch jobs.batch; update jobs.batch/status; {EVENTS};
        update jobs.batch/finalizers; list,watch,create,delete,patch pods""",
    "kube-apiserver-serving-clustertrustbundle-publisher": f"""
        list,watch,create,update,delete clustertrustbundles.certificates.k8s.io; {EVENTS};
        attest signers.certificates.k8s.io =kubernetes.io/kube-apiserver-serving""",
    "legacy-service-account-token-cleaner": """
        get configmaps @kube-system =kube-apiserver-legacy-service-account-token-tracking;
        patch,delete secrets""",
    "namespace-controller": """
        get,list,watch,delete namespaces; update namespaces/finalize; update namespaces/status;
        list,delete,deletecollection anything.example.com""",
    "node-controller": f"""
        get,list,watch,update,delete,patch nodes; patch,update nodes/status; {EVENTS};
        patch,update pods/status; get,list,watch,delete pods""",
    "persistent-volume-binder": f"""
        get,list,watch,update,create,delete persistentvolumes; update persistentvolumes/status;
        get,list,watch,update persistentvolumeclaims; update persistentvolumeclaims/status;
        list,watch,get,create,delete pods; list,watch storageclasses.storage.k8s.io;
        list,watch nodes; watch events; {EVENTS}""",
    "pod-garbage-collector": "list,watch,delete pods; get,list,watch nodes; patch pods/status",
    "podcertificaterequestcleaner": """
        get,list,watch,delete podcertificaterequests.certificates.k8s.io""",
    "pv-protection-controller": f"get,list,watch,update persistentvolumes; {EVENTS}",
    "pvc-protection-controller": f"""
        get,list,watch,update persistentvolumeclaims; update persistentvolumeclaims/status;
        get,list,watch pods; {EVENTS}""",
    "replicaset-controller": f"""
        get,list,watch,update replicasets.apps; update replicasets.apps/status; {EVENTS};
        update replicasets.apps/finalizers; list,watch,create,delete,patch pods""",
    "replication-controller": f"""
        get,list,watch,update replicationcontrollers; update replicationcontrollers/status;
        update replicationcontrollers/finalizers; list,watch,create,delete,patch pods; {EVENTS}""",
    "resource-claim-controller": f"""
        list,watch pods; update pods/finalizers; update,patch pods/status; {EVENTS};
        get,list,watch,create,delete,update resourceclaims.resource.k8s.io;
        update,patch resourceclaims.resource.k8s.io/status;
        update,patch resourceclaims.resource.k8s.io/binding""",
    "resourcequota-controller": f"""
        list,watch anything.example.com; update resourcequotas/status; {EVENTS}""",
    "root-ca-cert-publisher": f"create,update configmaps; {EVENTS}",
    "selinux-warning-controller": f"""
        list,watch persistentvolumes; list,watch persistentvolumeclaims; list,watch pods;
        list,watch csidrivers.storage.k8s.io; {EVENTS}""",
    "service-account-controller": f"create serviceaccounts; {EVENTS}",
    "service-cidrs-controller": f"""
        list,watch,patch,update servicecidrs.networking.k8s.io; {EVENTS};
        patch,update servicecidrs.networking.k8s.io/status; list ipaddresses.networking.k8s.io""",
    "statefulset-controller": f"""
        get,list,watch statefulsets.apps; update statefulsets.apps/status; {EVENTS};
        update statefulsets.apps/finalizers; get,list,watch,create,delete,update,patch pods;
        get,list,watch,create,delete,update,patch controllerrevisions.apps;
        get,list,watch,create,update persistentvolumeclaims; update pods/finalizers""",
    "storage-version-migrator-controller": """
        list,patch anything.example.com;
        update storageversionmigrations.storagemigration.k8s.io/status;
        get customresourcedefinitions.apiextensions.k8s.io;
        patch customresourcedefinitions.apiextensions.k8s.io/status""",
    "token-cleaner": "get,list,watch,delete secrets @kube-system",
    "ttl-after-finished-controller": f"get,list,watch,delete jobs.batch; {EVENTS}",
    "ttl-controller": f"update,patch,list,watch nodes; {EVENTS}",
    "validatingadmissionpolicy-status-controller": f"""
        list,watch validatingadmissionpolicies.admissionregistration.k8s.io; {EVENTS};
        get,patch,update validatingadmissionpolicies.admissionregistration.k8s.io/status""",
    "volumeattributesclass-protection-controller": f"""
        list,watch persistentvolumeclaims; list,watch persistentvolumes; {EVENTS};
        get,list,watch,update volumeattributesclasses.storage.k8s.io""",
}

REFUSED = {
    MANAGER: """
        update leases.coordination.k8s.io @kube-node-lease =node; create pods;
        update deployments.apps; delete namespaces;
        create clusterroles.rbac.authorization.k8s.io""",
    SCHEDULER: """
        create,update pods; list secrets; update nodes; get configmaps;
        update resourceclaims.resource.k8s.io/driver;
        update leases.coordination.k8s.io @default =another""",
    "bootstrap-signer": "update configmaps @kube-public =another; list secrets @default",
    "certificate-controller": "sign signers.certificates.k8s.io =example.com/x",
    "deployment-controller": "create,delete pods; delete deployments.apps",
    "generic-garbage-collector": "create anything.example.com; deletecollection pods",
    "legacy-service-account-token-cleaner": "get secrets; get configmaps @kube-system =another",
    "namespace-controller": "create,update,patch anything.example.com",
    "replicaset-controller": "update pods; delete replicasets.apps; patch nodes",
    "resource-claim-controller": "arbitrary-node:update resourceclaims.resource.k8s.io/driver",
    "storage-version-migrator-controller": "create,delete,get anything.example.com",
    "token-cleaner": "delete secrets @default",
}


def questions(text: str) -> Iterator[Json]:
    for entry in text.split(";"):
        verbs, what, *places = entry.split()
        path, _, subresource = what.partition("/")
        resource, _, group = path.partition(".")
        asked = {"group": group, "resource": resource, "subresource": subresource}
        asked["namespace"] = "some"
        for place in places:
            asked["namespace" if place[0] == "@" else "name"] = place[1:]
        for verb in verbs.split(","):
            yield {"verb": verb, **asked}


async def answers(client: Client, who: str, text: str) -> dict[str, bool]:
    user = who if who.startswith("system:") else ACCOUNT + who
    groups = GROUPS if user.startswith(ACCOUNT) else GROUPS[-1:]
    out = {}
    for asked in questions(text):
        spec = {"user": user, "groups": groups, "resourceAttributes": asked}
        review = await client.post(REVIEWS, {"spec": spec})
        out[" ".join(filter(None, asked.values()))] = review["status"]["allowed"]
    return out


async def test_what_controllers_ask_for_is_allowed() -> None:
    async with running(authorization_mode=("Node", "RBAC")) as run:
        for who, text in ALLOWED.items():
            found = await answers(run.client, who, text)
            assert not [asked for asked, allowed in found.items() if not allowed], who


async def test_what_is_not_theirs_is_refused() -> None:
    async with running(authorization_mode=("Node", "RBAC")) as run:
        for who, text in REFUSED.items():
            found = await answers(run.client, who, text)
            assert not [asked for asked, allowed in found.items() if allowed], who


async def test_every_controller_with_a_role_is_here() -> None:
    prefix = "system:controller:"
    ours = {"route-controller", "service-controller"}  # of cloud providers
    async with running(authorization_mode=("RBAC",)) as run:
        roles = await run.client.get("/apis/rbac.authorization.k8s.io/v1/clusterroles")
        names = {
            r["metadata"]["name"].removeprefix(prefix)
            for r in roles["items"]
            if r["metadata"]["name"].startswith(prefix)
        }
    bound_to_namespaces = {"bootstrap-signer", "token-cleaner"}
    assert names - ours == set(ALLOWED) - {MANAGER, SCHEDULER} - bound_to_namespaces


@pytest.mark.parametrize("who", [MANAGER, SCHEDULER])
async def test_a_component_finds_how_clients_authenticate(who: str) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps"
    named = f"{path}?fieldSelector=metadata.name%3Dextension-apiserver-authentication"
    headers = {"Impersonate-User": who, "Impersonate-Group": "system:authenticated"}
    async with running(authorization_mode=("RBAC",)) as run:
        body = {"metadata": {"name": "extension-apiserver-authentication"}}
        await run.client.post(path, body)
        await run.client.post(path, {"metadata": {"name": "another"}})
        found = (await run.client("GET", named, headers=headers)).expect(200)
        assert [c["metadata"]["name"] for c in found["items"]] == [
            "extension-apiserver-authentication"
        ]
