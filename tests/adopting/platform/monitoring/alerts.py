"""An alert that only code can know: said to Alertmanager, which groups, routes and hands it to the bridge."""

import os
from datetime import UTC, datetime, timedelta

import requests


def send_alert(alertname: str, tenant: str, severity: str, summary: str, lasts: timedelta) -> None:
    """Say that it fires; said again before `lasts` is over it goes on, else it ends and the end is told too."""
    alert = {
        "labels": {"alertname": alertname, "tenant": tenant, "severity": severity},
        "annotations": {"summary": summary},
        "endsAt": (datetime.now(UTC) + lasts).isoformat(),
    }
    url = f"{os.environ['ALERTMANAGER_URL']}/api/v2/alerts"
    requests.post(url, json=[alert], timeout=5).raise_for_status()
