"""The first page of an incident: its five rows are its five questions, over all tenants."""

# ruff: noqa: S608  (parts of our own are put in, never a value)

from grafana.model import Column, Page, Panel, Prom, Row, Sql
from grafana.pages.columns import (
    ALERTS,
    CHANGES,
    FIRING_COLUMNS,
    MOMENT,
    SEVERITY,
    TENANT,
    TOLD,
    WORST_FIRST,
    alerts,
)  # fmt: skip

_ALERTS = 'ALERTS{alertstate="firing", severity="%s"}'
_OURS = "gateway-client|route-management|kube-state-metrics|alert-bridge|alert-relay|alert-reconcile|prometheus|alertmanager"

NOW = Row(
    "What is wrong now?",
    (
        Panel(
            "Alerts firing",
            "Alerts that Prometheus evaluates as firing, by severity. For 5 minutes after a restart of Prometheus it may "
            "still show those of the process before.",
            tuple(Prom(f"count({_ALERTS % level}) or vector(0)", level) for level in ("critical", "error", "warning")),
            "stat", width=8, height=5, steps=((1, "red"),),
        ),
        Panel(
            "Tenants concerned",
            "Tenants with at least one firing alert.",
            (Prom('count(count by (tenant) (ALERTS{alertstate="firing", tenant!="", severity!="none"})) or vector(0)'),),
            "stat", width=4, height=5, steps=((1, "orange"),),
        ),
        Panel(
            "Targets down",
            "Processes of the chain, and tenants' clients, that can't be scraped: what they would say is missing here.",
            (Prom(f'count(up{{job=~"{_OURS}"}} == 0) or vector(0)'),),
            "stat", width=4, height=5, steps=((1, "red"),),
        ),
        Panel(
            "Owed, and given up",
            "Notifications that wait to be sent, and those that wait for a person because they were refused for good.",
            (
                Prom('sum(max by (channel) (mission_outbox_pending{job="alert-bridge"}))', "waiting"),
                Prom('sum(max by (channel) (mission_outbox_dead{job="alert-bridge"}))', "given up"),
            ),
            "stat", width=4, height=5, steps=((1, "orange"), (100, "red")),
        ),
        Panel(
            "Last word of Alertmanager",
            "Time since its last webhook. Watchdog comes about once a minute: after some minutes the chain is cut "
            "before the bridge.",
            (Sql("SELECT TIMESTAMPDIFF(SECOND, MAX(w.received_at), UTC_TIMESTAMP()) AS seconds FROM grafana_webhooks w"),),
            "stat", "s", width=4, height=5, steps=((180, "orange"), (360, "red")), empty="never",
        ),
        Panel(
            "Firing",
            "What the bridge holds as firing, the worst first: whose, since when, who was told, who took it on, and whether "
            "Alertmanager holds it back (silenced, inhibited). The number leads to the alert's page, the name to its runbook.",
            (
                Sql(
                    f"""
                    SELECT {FIRING_COLUMNS} FROM grafana_alerts a
                    WHERE a.state = 'firing' AND a.severity <> 'none'
                    ORDER BY {WORST_FIRST}, a.starts_at DESC LIMIT 200
                    """
                ),
            ),
            "table", width=24, height=9, columns=ALERTS, empty="Nothing is firing.",
        ),
    ),
)  # fmt: skip

WHOSE = Row(
    "Whose is it?",
    (
        Panel(
            "Tenants with alerts",
            "Each tenant with a firing alert, the most alerts first. `no tenant` is the chain itself.",
            (
                Sql(
                    f"""
                    SELECT a.tenant, COUNT(*) AS alerts, MIN(a.starts_at) AS since,
                        SUBSTRING_INDEX(GROUP_CONCAT(a.severity ORDER BY {WORST_FIRST} SEPARATOR ','), ',', 1) AS severity,
                        GROUP_CONCAT(DISTINCT a.alertname ORDER BY a.alertname SEPARATOR ', ') AS names
                    FROM grafana_alerts a WHERE a.state = 'firing' AND a.severity <> 'none'
                    GROUP BY a.tenant ORDER BY alerts DESC LIMIT 100
                    """
                ),
            ),
            "table", columns={"tenant": TENANT, "since": MOMENT, "severity": SEVERITY}, empty="Nothing is firing.",
        ),
        Panel(
            "Failures in 5 minutes by tenant",
            "Business failures of level error or critical, as RepeatedFailures counts them; the ten highest.",
            (Prom("topk(10, sum by (tenant) (tenant_type:mission_failures:count5m))", "{{tenant}}"),),
        ),
    ),
)  # fmt: skip

SINCE = Row(
    "Since when?",
    (
        Panel(
            "Alerts firing",
            "Firing alerts over time, by severity, as Prometheus evaluates them.",
            (Prom('count by (severity) (ALERTS{alertstate="firing", severity!="none"})', "{{severity}}"),),
            stacked=True,
        ),
        Panel(
            "Failures in 5 minutes by type",
            "Business failures of all tenants, by type.",
            (Prom("sum by (failure_type) (tenant_type:mission_failures:count5m)", "{{failure_type}}"),),
            stacked=True,
        ),
        Panel(
            "Requests that failed",
            "Failed requests a second through the gateway, by reason. A client's own mistake (404, 422) is none.",
            (
                Prom(
                    'sum by (reason) (rate(mission_gateway_request_failures_total{job="route-management"}[$__rate_interval]))',
                    "{{reason}}",
                ),
            ),
            unit="reqps", stacked=True,
        ),
        Panel(
            "Restarts of containers in 10 minutes",
            "The ten tenants with the most restarts.",
            (
                Prom(
                    "topk(10, sum by (tenant) (increase("
                    'kube_pod_container_status_restarts_total{job="kube-state-metrics"}[10m])))',
                    "{{tenant}}",
                ),
            ),
        ),
    ),
)  # fmt: skip

CHANGED = Row(
    "What changed?",
    (
        Panel(
            "What people changed",
            "Thresholds, channels, tenants, tokens, silences, messages sent again: who, when, what. Of a threshold the old "
            "and the new one. The whole record stands in the admin service.",
            (
                Sql(
                    """
                    SELECT c.at, c.person, c.action, c.kind, c.name, c.old_threshold AS `old`, c.new_threshold AS `new`
                    FROM grafana_changes c WHERE $__timeFilter(c.at) ORDER BY c.id DESC LIMIT 100
                    """
                ),
            ),
            "table", columns={"at": MOMENT}, empty="Nobody changed anything.",
        ),
        Panel(
            "Youngest pods",
            "Pods that were made within the time range, and how long ago: a rollout, a node that was drained, a crash.",
            (
                Prom(
                    "bottomk(20, time() - max by (tenant, namespace, pod) "
                    '(kube_pod_created{job="kube-state-metrics"}) < $__range_s)',
                    "age", quiet=True,
                ),
            ),
            "table", columns={"age": Column(unit="s"), "tenant": TENANT}, empty="No new pods.",
        ),
        Panel(
            "Versions that run",
            "Processes of the chain by version: two versions of one job are a rollout under way.",
            (Prom('count by (job, version) (mission_build_info{job=~".+"})', "{{job}} {{version}}"),),
        ),
        Panel(
            "Rules were loaded",
            "Time since Prometheus last read its configuration and its rules.",
            (Prom('time() - max(prometheus_config_last_reload_success_timestamp_seconds{job="prometheus"})'),),
            "stat", "s",
        ),
    ),
)  # fmt: skip

TOLD_ROW = Row(
    "Who was told?",
    (
        Panel(
            "Messages",
            "The newest messages: of which alert, to whom, how they ended, and how long after Alertmanager's word. "
            "Every try with the destination's answer stands on the alert's page.",
            (
                Sql(
                    """
                    SELECT n.delivered_at AS told, n.alert_id AS alert, n.alertname, n.severity, n.tenant, n.kind, n.channel,
                        n.state, n.seconds AS after, n.attempts, n.reason, n.runbook_url AS runbook
                    FROM grafana_notifications n WHERE $__timeFilter(n.owed_at) ORDER BY n.owed_at DESC, n.id DESC LIMIT 100
                    """
                ),
            ),
            "table", width=18, columns=TOLD, empty="Nobody was told anything.",
        ),
        Panel(
            "Time to notify",
            "From Alertmanager's webhook to the destination's acceptance, quiet hours left out; half of the messages, and all "
            "but one in a hundred.",
            tuple(
                Prom(
                    f"histogram_quantile({q}, sum by (le) "
                    '(rate(mission_notification_delay_seconds_bucket{job="alert-relay"}[$__range])))',
                    legend,
                )
                for q, legend in ((0.5, "half"), (0.99, "99 of 100"))
            ),
            "stat", "s", width=6, steps=((60, "orange"), (300, "red")), empty="nobody was told",
        ),
    ),
)  # fmt: skip

PAGE = Page(
    "mission-overview",
    "Mission: overview",
    "What is wrong now, whose, since when, what changed, and who was told.",
    (NOW, WHOSE, SINCE, CHANGED, TOLD_ROW),
    marks=(alerts(), CHANGES),
)
