"""The cast of the pod exporter's benchmarks: synthetic pods of 3 containers, about 6.6 kB of JSON each. No script itself."""

import json
import uuid
from typing import Any

_EPOCH = "2026-03-{:02}T{:02}:{:02}:{:02}Z"


def moment(seconds: int) -> str:
    """Return a time in March 2026 as the API server writes it."""
    return _EPOCH.format(1 + seconds // 86400 % 28, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60)


def _container(number: int, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": f"registry.example.com/simulation/{name}:2026.3.{number % 7}",
        "args": ["--case", f"ieee{number}", "--steps", "8760"],
        "env": [{"name": f"SETTING_{i}", "value": f"value-{number}-{i}"} for i in range(8)],
        "resources": {"limits": {"cpu": "1500m", "memory": "2Gi"}, "requests": {"cpu": "500m", "memory": "512Mi"}},
        "volumeMounts": [{"name": "kube-api-access", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io"}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 9810, "scheme": "HTTP"}, "periodSeconds": 10},
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _status(number: int, name: str, restarts: int) -> dict[str, Any]:
    digest = f"{number:08x}" * 8
    return {
        "name": name,
        "state": {"running": {"startedAt": moment(number * 7 % 86400 + restarts)}},
        "lastState": {},
        "ready": True,
        "restartCount": restarts,
        "image": f"registry.example.com/simulation/{name}:2026.3.{number % 7}",
        "imageID": f"registry.example.com/simulation/{name}@sha256:{digest}",
        "containerID": f"containerd://{uuid.uuid5(uuid.NAMESPACE_OID, f'{number}{name}{restarts}').hex * 2}",
        "started": True,
        "allocatedResources": {"cpu": "500m", "memory": "512Mi"},
    }


def pod(number: int, restarts: int = 0, version: int = 1) -> dict[str, Any]:
    """Return pod `number` of 200 tenants, running, with `restarts` restarts of its first container."""
    tenant = f"tenant-{number % 200}"
    names = ("solver", "federate", "collector")
    began = moment(number * 7 % 86400)
    statuses = [_status(number, name, restarts if name == "solver" else 0) for name in names]
    if restarts:
        ended = {"exitCode": 137, "reason": "OOMKilled", "startedAt": began, "finishedAt": moment(number + restarts)}
        statuses[0]["lastState"] = {"terminated": ended | {"containerID": f"containerd://{number:032x}{restarts:032x}"}}
    return {
        "metadata": {
            "name": f"user-container-{number:05}-7f9c6b5d4-x{number % 997:03}",
            "generateName": f"user-container-{number:05}-7f9c6b5d4-",
            "namespace": tenant,
            "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
            "resourceVersion": str(version),
            "creationTimestamp": began,
            "labels": {"app": "user-container", "tenant": tenant, "pod-template-hash": "7f9c6b5d4"},
            "annotations": {"platform.example.com/revision": "x" * 600},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"user-container-{number:05}-7f9c6b5d4",
                 "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))), "controller": True, "blockOwnerDeletion": True}
            ],
        },
        "spec": {
            "volumes": [{"name": "kube-api-access", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
            "containers": [_container(number, name) for name in names],
            "restartPolicy": "Always",
            "nodeName": f"node-{number % 100:03}.cluster.example.com",
            "schedulerName": "default-scheduler",
            "serviceAccountName": "user-container",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": began}
                for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled", "PodReadyToStartContainers")
            ],
            "hostIP": f"10.0.{number % 100}.1",
            "podIP": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
            "startTime": began,
            "containerStatuses": statuses,
            "qosClass": "Burstable",
        },
    }  # fmt: skip


def page(start: int, stop: int, of: int, version: int = 1) -> bytes:
    """Return a page of a list of `of` pods."""
    items = [pod(number) for number in range(start, stop)]
    metadata = {"resourceVersion": str(version)} | ({"continue": str(stop)} if stop < of else {})
    return json.dumps({"kind": "PodList", "metadata": metadata, "items": items}, separators=(",", ":")).encode()
