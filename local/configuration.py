"""The configurations of Prometheus and Alertmanager for one machine, made of the ones that production uses.

Changed are the intervals, so that a person need not wait, and the addresses; jobs, limits, rules and routes stay as they are.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from local import credentials
from local.places import ALERTMANAGER, PROMETHEUS, SOURCE
from local.ports import HOST, Ports, url

_INTERVAL = "5s"


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def _write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def write_prometheus(ports: Ports, tenant: str | None) -> Path:
    """Write Prometheus' configuration and its targets; return the configuration's path."""
    source = SOURCE / "prometheus"
    document = _read(source / "prometheus.yml")
    document["global"] |= {"scrape_interval": _INTERVAL, "scrape_timeout": "4s", "evaluation_interval": _INTERVAL}
    document["rule_files"] = [str(source / pattern) for pattern in document["rule_files"]]
    path = PROMETHEUS / "prometheus.yml"
    _write(path, document)
    own = {
        "alert-bridge": ports.bridge_metrics,
        "alert-relay": ports.relay,
        "alert-reconcile": ports.reconcile,
        "route-management": ports.gateway_metrics,
        "prometheus": ports.prometheus,
        "alertmanager": ports.alertmanager,
    }
    targets: dict[str, list[dict[str, Any]]] = {job: [{"targets": [f"{HOST}:{port}"]}] for job, port in own.items()}
    tenants = [{"targets": [f"{HOST}:{ports.client}"], "labels": {"tenant": tenant}}] if tenant else []
    # no pods here: the job is there, without targets
    for job, groups in (targets | {"gateway-client": tenants, "kube-state-metrics": []}).items():
        file = PROMETHEUS / "targets" / f"{job}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(groups))
    return path


def write_alertmanager(ports: Ports) -> Path:
    """Write Alertmanager's configuration with the webhook's token beside it; return the configuration's path.

    Its direct e-mails go to the inbox.
    """
    document = _read(SOURCE / "alertmanager" / "alertmanager.yml")
    document["global"] |= {"smtp_smarthost": f"{HOST}:{ports.smtp}", "smtp_require_tls": False}
    _quicken(document["route"])
    for receiver in document["receivers"]:
        for webhook in receiver.get("webhook_configs", []):
            webhook["url"] = url(ports.bridge) + "/webhooks/alertmanager"
    path = ALERTMANAGER / "alertmanager.yml"
    _write(path, document)
    shutil.copy(credentials.path("webhook-token"), ALERTMANAGER / "webhook.token")
    return path


def _quicken(route: dict[str, Any]) -> None:
    """Shorten the waits of a route and of those below it; one that was shorter already stays."""
    if "group_wait" in route and route["group_wait"] != "0s":
        route["group_wait"] = "1s"
    if "group_interval" in route:
        route["group_interval"] = _INTERVAL
    for below in route.get("routes", []):
        _quicken(below)
