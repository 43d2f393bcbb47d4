"""Right objects of many kinds, with much in them: what tests of bad input spoil."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_LABELS_FIELD = {"fieldPath": "metadata.labels"}
POD_SPEC: Json = {
    "containers": [
        {
            "name": "web",
            "image": "nginx:1.27",
            "command": ["sh"],
            "args": ["-c", "true"],
            "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}],
            "env": [
                {"name": "A", "value": "$(B)"},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "c"}}],
            "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "100m", "memory": "1Gi"}},
            "volumeMounts": [{"name": "data", "mountPath": "/data", "subPath": "a"}],
            "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
            "readinessProbe": {"exec": {"command": ["true"]}},
            "startupProbe": {"tcpSocket": {"port": 80}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
            "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}, "runAsUser": 1},
        }
    ],
    "initContainers": [{"name": "init", "image": "busybox", "restartPolicy": "Always"}],
    "volumes": [
        {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "cm", "configMap": {"name": "c", "items": [{"key": "a", "path": "b"}]}},
        {
            "name": "all",
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                    {"downwardAPI": {"items": [{"path": "l", "fieldRef": _LABELS_FIELD}]}},
                ]
            },
        },
    ],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}
                ]
            }
        },
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 1,
                    "podAffinityTerm": {
                        "topologyKey": "zone",
                        "labelSelector": {"matchLabels": {"a": "b"}},
                    },
                }
            ]
        },
    },
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    ],
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
    "dnsConfig": {"nameservers": ["10.0.0.1"], "options": [{"name": "ndots", "value": "5"}]},
    "dnsPolicy": "None",
    "securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"}]},
    "readinessGates": [{"conditionType": "example.com/ready"}],
}  # fmt: skip
LABELS = {"app": "web"}
TEMPLATE: Json = {"metadata": {"labels": LABELS}, "spec": POD_SPEC}
SELECTOR: Json = {"matchLabels": LABELS}
_ONE: Json = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
_ONCE: Json = {**_ONE, "spec": {**_ONE["spec"], "restartPolicy": "Never"}}
_CLIENT: Json = {"url": "https://example.com/hook"}
_CRD_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "default": 1},
                "parts": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
                "more": {"type": "object", "additionalProperties": {"type": "string"}},
                "any": {"x-kubernetes-preserve-unknown-fields": True, "nullable": True},
            },
            "x-kubernetes-validations": [{"rule": "self.size < 10", "message": "too big"}],
        }
    },
}
_SCALING: Json = {"type": "Pods", "value": 1, "periodSeconds": 5}
_METRICS: list[Json] = [
    {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
]

# (collection, object)
OBJECTS: tuple[tuple[str, Json], ...] = (
    ("/api/v1/namespaces/default/pods", {"spec": POD_SPEC}),
    (
        "/api/v1/namespaces/default/services",
        {
            "spec": {
                "type": "NodePort",
                "selector": LABELS,
                "ports": [
                    {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"},
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                ],
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}},
                "externalIPs": ["192.0.2.1"],
            }
        },
    ),
    (
        "/apis/apps/v1/namespaces/default/deployments",
        {
            "spec": {
                "replicas": 2,
                "selector": SELECTOR,
                "template": TEMPLATE,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "10%"}},
            }
        },
    ),
    (
        "/apis/apps/v1/namespaces/default/statefulsets",
        {
            "spec": {
                "serviceName": "web",
                "selector": SELECTOR,
                "template": _ONE,
                "volumeClaimTemplates": [
                    {
                        "metadata": {"name": "data"},
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "1Gi"}},
                        },
                    }
                ],
            }
        },
    ),
    (
        "/apis/apps/v1/namespaces/default/daemonsets",
        {"spec": {"selector": SELECTOR, "template": _ONE}},
    ),
    (
        "/apis/apps/v1/namespaces/default/replicasets",
        {"spec": {"selector": SELECTOR, "template": _ONE}},
    ),
    (
        "/apis/batch/v1/namespaces/default/jobs",
        {"spec": {"template": _ONCE, "completions": 2, "parallelism": 1, "backoffLimit": 1}},
    ),
    (
        "/apis/batch/v1/namespaces/default/cronjobs",
        {"spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": _ONCE}}}},
    ),
    (
        "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
        {
            "spec": {
                "rules": [
                    {
                        "host": "a.example.com",
                        "http": {
                            "paths": [
                                {
                                    "path": "/",
                                    "pathType": "Prefix",
                                    "backend": {"service": {"name": "w", "port": {"number": 80}}},
                                }
                            ]
                        },
                    }
                ],
                "tls": [{"hosts": ["a.example.com"], "secretName": "s"}],
            }
        },
    ),
    (
        "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
        {
            "spec": {
                "podSelector": SELECTOR,
                "policyTypes": ["Ingress"],
                "ingress": [
                    {
                        "from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
                        "ports": [{"port": 80, "endPort": 90, "protocol": "TCP"}],
                    }
                ],
            }
        },
    ),
    (
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
        {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    ),
    (
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "view",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "default"}],
        },
    ),
    ("/api/v1/namespaces/default/secrets", {"type": "Opaque", "data": {"a": "aGFsbG8="}}),
    ("/api/v1/namespaces/default/configmaps", {"data": {"a": "b"}, "binaryData": {"c": "AA=="}}),
    (
        "/api/v1/namespaces/default/persistentvolumeclaims",
        {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": "",
            }
        },
    ),
    (
        "/api/v1/persistentvolumes",
        {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": "/data"},
            }
        },
    ),
    ("/api/v1/nodes", {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}),
    (
        "/api/v1/namespaces/default/events",
        {
            "involvedObject": {"kind": "Pod", "name": "a", "namespace": "default"},
            "reason": "R",
            "message": "m",
            "type": "Normal",
        },
    ),
    (
        "/api/v1/namespaces/default/resourcequotas",
        {"spec": {"hard": {"count/deployments.apps": "1000"}}},
    ),
    (
        "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
        {"spec": {"minAvailable": "50%", "selector": SELECTOR}},
    ),
    (
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
        {
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"},
                "minReplicas": 1,
                "maxReplicas": 3,
                "metrics": _METRICS,
                "behavior": {"scaleUp": {"policies": [_SCALING]}},
            }
        },
    ),
    (
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        {
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": True}}],
            "ports": [{"name": "http", "port": 80}],
        },
    ),
    (
        "/apis/storage.k8s.io/v1/storageclasses",
        {"provisioner": "example.com/disk", "parameters": {"a": "b"}, "mountOptions": ["ro"]},
    ),
    (
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        {
            "webhooks": [
                {
                    "name": "hook.example.com",
                    "clientConfig": _CLIENT,
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "namespaceSelector": {"matchLabels": {"none": "such"}},
                    "rules": [
                        {
                            "apiGroups": ["nothing.example.com"],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE"],
                            "resources": ["things"],
                        }
                    ],
                }
            ]
        },
    ),
    (
        "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
        {
            "spec": {
                "priorityLevelConfiguration": {"name": "global-default"},
                "matchingPrecedence": 900,
                "rules": [
                    {
                        "subjects": [{"kind": "User", "user": {"name": "nobody"}}],
                        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}],
                    }
                ],
            }
        },
    ),
    (
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {
            "metadata": {"name": "things.fuzz.example.com"},
            "spec": {
                "group": "fuzz.example.com",
                "scope": "Namespaced",
                "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": _CRD_SCHEMA},
                        "subresources": {"status": {}},
                        "additionalPrinterColumns": [
                            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
                        ],
                    }
                ],
            },
        },
    ),
    (
        "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims",
        {
            "spec": {
                "devices": {
                    "requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]
                }
            }
        },
    ),
)  # fmt: skip
