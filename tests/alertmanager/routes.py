"""One example of each kind of alert of the rules, who is to be told, and in which group: the tests of the routing use them."""

from dataclasses import dataclass

import yaml

from tests.prometheus.rule_files import ROOT

CONFIGURATION = ROOT / "alertmanager" / "alertmanager.yml"
BRIDGE, DIRECT = "alert-bridge", "direct"


@dataclass(frozen=True)
class Route:
    labels: dict[str, str]
    group: dict[str, str]
    """The labels of the group in which the bridge is told it."""
    receivers: tuple[str, ...] = (BRIDGE,)

    def __str__(self) -> str:
        return "-".join([self.labels["alertname"], *(self.labels[k] for k in ("job", "tenant") if k in self.labels)])


def _route(group: dict[str, str], receivers: tuple[str, ...] = (BRIDGE,), **labels: str) -> Route:
    return Route(labels, group | {"alertname": labels["alertname"]}, receivers)


def _of_tenant(alertname: str, severity: str, policy: str = "", **labels: str) -> Route:
    labels |= {"policy": policy} if policy else {}
    return _route({"tenant": "a"}, alertname=alertname, severity=severity, tenant="a", **labels)


def _of_job(alertname: str, severity: str, job: str, direct: bool = False, **labels: str) -> Route:
    receivers = (DIRECT, BRIDGE) if direct else (BRIDGE,)
    return _route({"job": job}, receivers, alertname=alertname, severity=severity, job=job, **labels)


_CONTAINER = {"namespace": "a", "pod": "p", "container": "solver"}
_POD = {"namespace": "a", "pod": "p"}
ROUTES = [
    _route({}, alertname="Watchdog", severity="none"),
    # business runs
    _of_tenant("RepeatedFailures", "error", "repeated_failures", failure_type="timeout"),
    _of_tenant("SimulationFailing", "error", "consecutive_failures", task="t"),
    _of_tenant("FailingShare", "warning", "failing_share"),
    _of_tenant("NoSuccessfulRun", "warning", "no_success"),
    _of_tenant("RunStuck", "warning", "run_stuck", task="t"),
    _of_tenant("LateEvents", "warning", "late_events"),
    # requests
    _of_tenant("RequestErrors", "error", "request_errors"),
    _of_tenant("RequestTimeouts", "warning", "request_timeouts"),
    _of_tenant("RequestAuthFailures", "warning", "request_auth_failures"),
    _of_tenant("RequestsSlow", "warning", "request_latency"),
    # containers
    _of_tenant("TenantDown", "critical"),
    _of_tenant("PodNotReady", "warning", "container_not_ready", **_POD),
    _of_tenant("PodPending", "warning", "container_pending", **_POD),
    _of_tenant("PodTerminating", "warning", "container_terminating", **_POD),
    _of_tenant("PodEvicted", "warning", **_POD),
    _of_tenant("ContainerRestarting", "warning", "container_restarts", **_CONTAINER),
    _of_tenant("ContainerCrashLooping", "critical", **_CONTAINER),
    _of_tenant("ContainerOOMKilled", "error", **_CONTAINER),
    _of_tenant("ContainerCannotStart", "error", reason="ImagePullBackOff", **_CONTAINER),
    _of_tenant("ContainerCPUHigh", "info", "container_cpu", resource="cpu", **_CONTAINER),
    _of_tenant("ContainerMemoryHigh", "warning", "container_memory", resource="memory", **_CONTAINER),
    _of_tenant("ContainerRising", "warning", "container_rising", resource="memory", **_CONTAINER),
    # the chain, of tenants
    _of_tenant("TargetDown", "error", job="gateway-client", instance="p"),
    _of_tenant("TenantNotScraped", "warning"),
    _of_tenant("TenantSeriesFlood", "warning"),
    _of_tenant("TenantSamplesNearLimit", "warning", instance="p"),
    _of_tenant("ReportsWaiting", "warning", instance="p"),
    _of_tenant("ReportsDropped", "error", reason="rows"),
    _of_tenant("ReportsRefused", "warning", instance="p"),
    _of_tenant("SpoolUnreadable", "error", instance="p"),
    # the chain, of its processes
    _of_job("TargetDown", "error", "route-management", instance="g"),
    _of_job("TargetDown", "error", "alert-bridge", direct=True, instance="b"),
    _of_job("TargetDown", "error", "alert-relay", direct=True, instance="r"),
    _of_job("JobMissing", "critical", "kube-state-metrics"),
    _of_job("JobMissing", "critical", "alert-bridge", direct=True),
    _of_job("JobMissing", "critical", "alert-relay", direct=True),
    _of_job("UserdbDown", "critical", "route-management"),
    _of_job("UserdbDown", "critical", "alert-bridge", direct=True),
    _of_job("UserdbDown", "critical", "alert-relay", direct=True),
    _of_job("PoliciesUnread", "warning", "alert-bridge"),
    _of_job("ReconciliationStale", "warning", "alert-reconcile"),
    _of_job("RetentionStale", "warning", "alert-reconcile"),
    _of_job("ConfigurationStale", "error", "prometheus", instance="p"),
    _of_job("AlertmanagerCannotDeliver", "critical", "alertmanager", direct=True, instance="m", integration="webhook"),
    _route({}, (DIRECT, BRIDGE), alertname="OutboxOld", severity="critical", channel="mail"),
    _route({}, alertname="NotificationsDead", severity="error", channel="mail"),
    _route({}, alertname="ChannelFailing", severity="error", channel="mail"),
    _route({}, alertname="UserdbReadsSlow", severity="warning", instance="b"),
    _route({}, alertname="PodExporterUnsynced", severity="error", instance="k"),
    _route({}, alertname="AlertmanagerUnreachable", severity="error", instance="p", alertmanager="http://m:9093"),
    _route({}, alertname="RuleEvaluationFailing", severity="critical", instance="p", rule_group="rules;business"),
    _route({}, alertname="RuleEvaluationLate", severity="warning", instance="p", rule_group="rules;business"),
]


def configuration() -> dict[str, object]:
    document: dict[str, object] = yaml.safe_load(CONFIGURATION.read_text())
    return document
