"""The objects that the load sends: pods of some 3 KB as people write them, and small config maps.

Used by `rows.py` and `pipeline.py`. Everything is a function of a number, so that two servers get
the same bytes.
"""

from __future__ import annotations

import json
from typing import Any

TENTHS = 10  # values of the label by which a tenth of the pods is chosen


def _container(number: int, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": f"registry.example.org/shop/{name}:1.{number % 40}.2",
        "args": ["--listen=0.0.0.0:8080", "--config=/etc/shop/config.yaml", f"--shard={number}"],
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9}],
        "env": [
            {"name": "REGION", "value": "eu-central"},
            {"name": "SHARD", "value": str(number)},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {
                "name": "PASSWORD",
                "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}},
            },
        ],
        "resources": {
            "requests": {"cpu": "250m", "memory": "128Mi"},
            "limits": {"cpu": "1", "memory": "512Mi"},
        },
        "livenessProbe": {"httpGet": {"path": "/livez", "port": 8080}, "periodSeconds": 20},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "failureThreshold": 2},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/shop", "readOnly": True},
            {"name": "scratch", "mountPath": "/var/tmp"},
        ],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def pod(number: int) -> dict[str, Any]:
    """Some 3 KB of JSON; every tenth pod has the same label `tenth`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"shop-{number:06d}",
            "labels": {
                "app.kubernetes.io/name": "shop",
                "app.kubernetes.io/instance": f"shop-{number % 7}",
                "app.kubernetes.io/managed-by": "bench",
                "tenth": f"t{number % TENTHS}",
            },
            "annotations": {
                "checksum/config": f"{number:064x}",
                "prometheus.io/scrape": "true",
                "example.org/owner": "the team that looks after the shop",
            },
        },
        "spec": {
            "containers": [_container(number, "web"), _container(number, "sidecar")],
            "volumes": [
                {"name": "config", "configMap": {"name": "shop", "optional": True}},
                {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
            ],
            "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "shop"}],
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "topology.kubernetes.io/zone",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "shop"}},
                }
            ],
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000},
        },
    }


def config_map(name: str, number: int = 0) -> dict[str, Any]:
    """Some 400 bytes."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "data": {"number": str(number), "text": "what a small configuration says " * 8},
    }


def labels_patch(number: int) -> dict[str, Any]:
    """A merge patch that changes a pod."""
    return {"metadata": {"labels": {"touched": f"n{number}"}}}


def applied(name: str, number: int) -> dict[str, Any]:
    """What a controller applies to a config map: a field of its own."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {f"of-{number % 4}": str(number)},
    }


def encoded(obj: dict[str, Any]) -> bytes:
    return json.dumps(obj, separators=(",", ":")).encode()
