"""The cast: pods of the tenants alpha and beta in every state, as the API server writes them."""

import uuid
from typing import Any

T0 = "2026-03-01T08:00:00Z"
UNIX_T0 = 1772352000


def at(seconds: int) -> str:
    """Return T0 and so many seconds."""
    return f"2026-03-01T{8 + seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"


def running(started: str = T0) -> dict[str, Any]:
    return {"running": {"startedAt": started}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def ended(reason: str, code: int, finished: str, run: str = "1", **fields: Any) -> dict[str, Any]:
    said = {
        "reason": reason,
        "exitCode": code,
        "startedAt": T0,
        "finishedAt": finished,
        "containerID": f"containerd://{run}",
    }
    return {"terminated": said | fields}


def status(
    name: str = "solver", state: dict[str, Any] | None = None, last: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    known = {
        "name": name, "ready": True, "restartCount": 0, "image": "solver:1", "imageID": "sha256:1", "containerID": "containerd://1",
    }  # fmt: skip
    return known | {"state": running() if state is None else state, "lastState": last or {}} | fields


def condition(kind: str, said: str = "True", since: str = T0, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "status": said, "lastTransitionTime": since} | fields


def pod(name: str = "sim-0", namespace: str = "alpha", uid: str = "", **parts: Any) -> dict[str, Any]:
    """Return a running pod of one container; `metadata`, `spec` and `status` are laid over it."""
    uid = uid or str(uuid.uuid5(uuid.NAMESPACE_OID, f"{namespace}/{name}"))
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "creationTimestamp": T0,
        "labels": {"tenant": namespace},
    }
    spec = {"nodeName": "node-1", "restartPolicy": "Always", "containers": [{"name": "solver", "image": "solver:1"}]}
    said = {
        "phase": "Running",
        "startTime": T0,
        "hostIP": "10.0.0.1",
        "podIP": "10.1.0.1",
        "qosClass": "Burstable",
        "conditions": [condition("PodScheduled"), condition("Ready")],
        "containerStatuses": [status()],
    }
    return {
        "metadata": metadata | parts.get("metadata", {}),
        "spec": spec | parts.get("spec", {}),
        "status": said | parts.get("status", {}),
    }
