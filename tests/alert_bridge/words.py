"""Bodies as Alertmanager writes them, in a line each."""

import json
from typing import Any

ZERO = "0001-01-01T00:00:00Z"


def at(second: int | float) -> str:
    """Return a time of the tests' day, so many seconds after ten o'clock."""
    whole, milliseconds = divmod(round(second * 1000), 1000)
    return f"2026-11-24T{10 + whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{milliseconds:03}Z"


def firing(fingerprint: str = "a1", start: float = 0, **labels: str) -> dict[str, Any]:
    names = {"alertname": "SimulationFailing", "tenant": "alpha", "severity": "error"} | labels
    return {
        "status": "firing", "labels": names, "annotations": {"summary": "it fails"}, "startsAt": at(start),
        "endsAt": ZERO, "generatorURL": "http://prometheus/graph", "fingerprint": fingerprint,
    }  # fmt: skip


def resolved(fingerprint: str = "a1", start: float = 0, end: float = 60, **labels: str) -> dict[str, Any]:
    return firing(fingerprint, start, **labels) | {"status": "resolved", "endsAt": at(end)}


def webhook(*alerts: dict[str, Any], **fields: Any) -> bytes:
    status = "firing" if any(a.get("status") == "firing" for a in alerts) else "resolved"
    return json.dumps(
        {
            "receiver": "alert-bridge", "status": status, "alerts": alerts, "groupLabels": {}, "commonLabels": {},
            "commonAnnotations": {}, "externalURL": "http://am", "version": "4", "groupKey": "{}:{}",
            "truncatedAlerts": 0,
        } | fields
    ).encode()  # fmt: skip
