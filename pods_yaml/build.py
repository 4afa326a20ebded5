"""Makes the files of pods_yaml/ that say again what stands in prometheus/: its configuration, and jobs and rules as objects.

`python pods_yaml/build.py` writes them; a test shows that they are what it writes. In a cluster targets are found by the API
server and not by files, and nothing else of the configuration differs.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
PROMETHEUS = HERE.parent / "prometheus"
_PLATFORM, _TENANTS = "mission-monitor", "tenants"
_PODS = {
    "alert-bridge": "app.kubernetes.io/name=alert-bridge,app.kubernetes.io/component=web",
    "alert-relay": "app.kubernetes.io/name=alert-bridge,app.kubernetes.io/component=relay",
    "alert-reconcile": "app.kubernetes.io/name=alert-bridge,app.kubernetes.io/component=reconcile",
    "alertmanager": "app.kubernetes.io/name=alertmanager",
    "gateway-client": "app.kubernetes.io/name=user-container",
    "kube-state-metrics": "app.kubernetes.io/name=pod-exporter",
    "prometheus": "app.kubernetes.io/name=prometheus",
    "route-management": "app.kubernetes.io/name=user-gateway",
}
_MADE = "# Made by pods_yaml/build.py: never edited by hand.\n"


def _discovery(job: str) -> list[dict[str, Any]]:
    namespace = _TENANTS if job == "gateway-client" else _PLATFORM
    return [
        {
            "role": "pod",
            "namespaces": {"names": [namespace]},
            "selectors": [{"role": "pod", "label": _PODS[job]}],
        }
    ]


def _relabelling(job: str) -> list[dict[str, Any]]:
    """Keep a pod's port of metrics, and name the instance after the pod: its address is another's tomorrow."""
    rules: list[dict[str, Any]] = [
        {"action": "keep", "source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": "metrics"},
        {"action": "drop", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Succeeded|Failed"},
        {
            "source_labels": ["__meta_kubernetes_pod_name", "__meta_kubernetes_pod_container_port_number"],
            "separator": ":",
            "target_label": "instance",
        },
    ]
    if job == "gateway-client":
        rules.append({"source_labels": ["__meta_kubernetes_pod_label_tenant"], "target_label": "tenant"})
    return rules


def configuration() -> str:
    """Return prometheus.yml with its targets found by the API server."""
    document: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    for job in document["scrape_configs"]:
        name = job["job_name"]
        del job["file_sd_configs"]
        job["kubernetes_sd_configs"] = _discovery(name)
        # before the job's own, which refuse a target without a tenant
        job["relabel_configs"] = _relabelling(name) + job.get("relabel_configs", [])
    for manager in document["alerting"]["alertmanagers"]:
        del manager["file_sd_configs"]
        manager["kubernetes_sd_configs"] = _discovery("alertmanager")
        manager["relabel_configs"] = _relabelling("alertmanager")[:1]
    return _MADE + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def rules() -> str:
    """Return one PrometheusRule for each rule file."""
    objects = [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": f"mission-{file.name.removesuffix('.rules.yml')}", "namespace": _PLATFORM},
            "spec": yaml.safe_load(file.read_text()),
        }
        for file in sorted((PROMETHEUS / "rules").glob("*.rules.yml"))
    ]
    return _MADE + _documents(objects)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _relabelings(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{_camel(name): value for name, value in rule.items()} for rule in found]


_LIMITS = ("honor_labels", "honor_timestamps", "follow_redirects", "body_size_limit", "sample_limit", "label_limit",
           "label_value_length_limit")  # fmt: skip


def _pod_monitor(job: dict[str, Any]) -> dict[str, Any]:
    """Return what the operator makes the same scrape job of: its name, its limits and what it believes."""
    name = job["job_name"]
    endpoint: dict[str, Any] = {"port": "metrics", "relabelings": [{"targetLabel": "job", "replacement": name}]}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": dict(pair.split("=") for pair in _PODS[name].split(","))},
        "podMetricsEndpoints": [endpoint],
    }
    for setting in _LIMITS:
        if setting in job:
            # the ones that count are the monitor's, the others an endpoint's
            (spec if setting.endswith("limit") else endpoint)[_camel(setting)] = job[setting]
    endpoint["relabelings"] += _relabelings(_relabelling(name)[1:] + job.get("relabel_configs", []))
    if "metric_relabel_configs" in job:
        endpoint["metricRelabelings"] = _relabelings(job["metric_relabel_configs"])
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": name, "namespace": _TENANTS if name == "gateway-client" else _PLATFORM},
        "spec": spec,
    }


def pod_monitors() -> str:
    """Return one PodMonitor for each job whose targets are ours."""
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    theirs = ("prometheus", "alertmanager")  # the operator watches its own
    return _MADE + _documents(_pod_monitor(job) for job in jobs if job["job_name"] not in theirs)


def _documents(objects: Iterable[dict[str, Any]]) -> str:
    text: str = yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True, width=120)
    return text


WRITTEN = {
    HERE / "monitoring" / "prometheus.yml": configuration,
    HERE / "overlays" / "operator" / "prometheus-rules.yaml": rules,
    HERE / "overlays" / "operator" / "pod-monitors.yaml": pod_monitors,
}

if __name__ == "__main__":
    for path, make in WRITTEN.items():
        path.write_text(make())
