"""One example of each kind of alert of the rules, and how it is to be grouped: what the tests of the routing go through."""

from dataclasses import dataclass

import yaml

from tests.prometheus.rule_files import ROOT

CONFIGURATION = ROOT / "alertmanager" / "alertmanager.yml"


@dataclass(frozen=True)
class Route:
    labels: dict[str, str]
    group: dict[str, str]
    """The labels of the group in which it is told."""

    def __str__(self) -> str:
        return "-".join([self.labels["alertname"], *(self.labels[k] for k in ("job", "tenant") if k in self.labels)])


def _route(group: dict[str, str], **labels: str) -> Route:
    return Route(labels, group | {"alertname": labels["alertname"]})


ROUTES = [
    _route({}, alertname="Watchdog", severity="none"),
    _route({"tenant": "a"}, alertname="RepeatedFailures", severity="error", policy="repeated_failures", tenant="a",
           failure_type="timeout"),
    _route({"tenant": "a"}, alertname="SimulationFailing", severity="error", policy="consecutive_failures", tenant="a",
           task="t"),
    _route({"tenant": "a"}, alertname="TargetDown", severity="error", job="gateway-client", instance="p", tenant="a"),
    _route({"job": "alert-relay"}, alertname="TargetDown", severity="error", job="alert-relay", instance="r"),
    _route({"job": "alert-bridge"}, alertname="UserdbDown", severity="critical", job="alert-bridge"),
    _route({}, alertname="OutboxOld", severity="critical", channel="mail"),
    _route({}, alertname="NotificationsDead", severity="error", channel="mail"),
    _route({"job": "alert-bridge"}, alertname="PoliciesUnread", severity="warning", job="alert-bridge"),
    _route({}, alertname="RuleEvaluationFailing", severity="critical", instance="p", rule_group="rules;business"),
]  # fmt: skip


def configuration() -> dict[str, object]:
    document: dict[str, object] = yaml.safe_load(CONFIGURATION.read_text())
    return document
