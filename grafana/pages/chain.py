"""The chain on itself, in the way of the data: scrapes, rules, Alertmanager, webhooks, userdb; the rest is `chain_out.py`'s."""

from grafana.model import Column, Page, Panel, Prom, Row, Sql
from grafana.pages.chain_out import EDGES, OUTBOX, RECONCILIATION, WATCH
from grafana.pages.columns import MOMENT, TENANT

_BRIDGE = 'job="alert-bridge"'
_PROMETHEUS = 'job="prometheus"'
_DJANGO = 'job=~"alert-bridge|alert-relay|alert-reconcile|route-management"'
_OURS = (
    'job=~"gateway-client|route-management|kube-state-metrics|alert-bridge|alert-relay|alert-reconcile'
    '|prometheus|alertmanager"'
)

SCRAPES = Row(
    "Scrapes and rules: Prometheus",
    (
        Panel(
            "Targets",
            "Targets that can be scraped, by job.",
            (Prom(f"sum by (job) (up{{{_OURS}}})", "{{job}}"),),
            "stat", width=16, height=5, steps=(),
        ),
        Panel(
            "Tenants that nobody scrapes",
            "Tenants of userdb without a client that can be scraped: their failures are known by reports alone.",
            (
                Prom(
                    f"count(max by (tenant) (mission_tenant_info{{{_BRIDGE}}}) "
                    'unless on (tenant) max by (tenant) (up{job="gateway-client"} == 1)) or vector(0)'
                ),
            ),
            "stat", width=8, height=5, steps=((1, "orange"),),
        ),
        Panel(
            "Targets down",
            "What can't be scraped now.",
            (Prom(f"max by (job, instance, tenant) (up{{{_OURS}}} == 0)", "up", quiet=True),),
            "table", columns={"tenant": TENANT, "up": Column(hidden=True)}, empty="Every target is up.",
        ),
        Panel(
            "How much of their interval rules take",
            "Duration of the last evaluation of each group, as a share of its interval: at 1 evaluations are missed.",
            (
                Prom(
                    f"prometheus_rule_group_last_duration_seconds{{{_PROMETHEUS}}} "
                    f"/ prometheus_rule_group_interval_seconds{{{_PROMETHEUS}}}",
                    "{{rule_group}}",
                ),
            ),
            unit="percentunit",
        ),
        Panel(
            "Evaluations that failed or were missed",
            "In 5 minutes, by group. A rule that can't be evaluated fires nothing.",
            (
                Prom(
                    f"sum by (rule_group) (increase(prometheus_rule_evaluation_failures_total{{{_PROMETHEUS}}}[5m]) "
                    f"+ increase(prometheus_rule_group_iterations_missed_total{{{_PROMETHEUS}}}[5m]))",
                    "{{rule_group}}",
                ),
            ),
        ),
        Panel(
            "Series, and samples a second",
            "What Prometheus holds in memory (about 4 kB a series), and what it takes in.",
            (
                Prom(f"sum(prometheus_tsdb_head_series{{{_PROMETHEUS}}})", "series"),
                Prom(f"sum(rate(prometheus_tsdb_head_samples_appended_total{{{_PROMETHEUS}}}[5m]))", "samples a second"),
            ),
        ),
    ),
)  # fmt: skip

ALERTMANAGER = Row(
    "Alerts handed on: Alertmanager",
    (
        Panel(
            "Alerts that Prometheus could not hand over",
            "In 5 minutes: dropped because the queue was full, or refused by an Alertmanager.",
            (
                Prom(f"sum(increase(prometheus_notifications_dropped_total{{{_PROMETHEUS}}}[5m]))", "dropped"),
                Prom(
                    f"sum by (alertmanager) (increase(prometheus_notifications_errors_total{{{_PROMETHEUS}}}[5m]))",
                    "errors of {{alertmanager}}",
                ),
            ),
        ),
        Panel(
            "Webhooks that Alertmanager sent, and that failed",
            "A minute. It tries again after a 5xx; after a 4xx only at the next group_interval.",
            (
                Prom(
                    'sum(rate(alertmanager_notifications_total{job="alertmanager", integration="webhook"}[5m])) * 60', "sent"
                ),
                Prom(
                    'sum(rate(alertmanager_notifications_failed_total{job="alertmanager", integration="webhook"}[5m])) * 60',
                    "failed",
                ),
            ),
            unit="cpm",
        ),
        Panel(
            "What Alertmanager holds",
            "Alerts by state: suppressed ones are silenced or inhibited.",
            (Prom('max by (state) (alertmanager_alerts{job="alertmanager"})', "{{state}}"),),
        ),
        Panel(
            "Alertmanagers, as reconciliation hears them",
            "Each configured one: when it last answered, what it lists. While any of them does not answer, nothing is closed "
            "by comparison.",
            (
                Sql(
                    """
                    SELECT p.url, p.asked_at AS asked, p.answered_at AS answered, p.started_at AS started, p.firing, p.error
                    FROM grafana_alertmanagers p ORDER BY p.url
                    """
                ),
            ),
            "table", columns={"asked": MOMENT, "answered": MOMENT, "started": MOMENT}, empty="Reconciliation does not run.",
        ),
    ),
)  # fmt: skip

INTAKE = Row(
    "Webhooks in: the bridge",
    (
        Panel(
            "Webhooks by what became of them",
            "A minute. `unchanged` are retries, repeats, the other peer's copies.",
            (Prom(f"sum by (result) (rate(mission_webhooks_total{{{_BRIDGE}}}[$__rate_interval])) * 60", "{{result}}"),),
            unit="cpm", stacked=True,
        ),
        Panel(
            "Changes of alerts",
            "A minute, by kind.",
            (Prom(f"sum by (kind) (rate(mission_alert_transitions_total{{{_BRIDGE}}}[$__rate_interval])) * 60", "{{kind}}"),),
            unit="cpm", stacked=True,
        ),
        Panel(
            "The last webhooks",
            "Entries, changes that they brought, entries set aside as odd. The bodies stand in the admin service.",
            (
                Sql(
                    """
                    SELECT w.id, w.received_at AS at, w.sender, w.receiver, w.alerts, w.changes, w.odd, w.result, w.error
                    FROM grafana_webhooks w WHERE $__timeFilter(w.received_at) ORDER BY w.id DESC LIMIT 100
                    """
                ),
            ),
            "table", width=24, columns={"at": MOMENT}, empty="No webhook came.",
        ),
    ),
)  # fmt: skip

USERDB = Row(
    "userdb",
    (
        Panel(
            "Within reach",
            "1: userdb answered when the process last asked; the worst of each job.",
            (Prom(f"min by (job) (mission_userdb_up{{{_DJANGO}}})", "{{job}}"),),
            "stat", width=8, height=6,
        ),
        Panel(
            "Policies are read",
            "Replicas of the bridge that read thresholds and events from userdb; with none the rules go on with the last word.",
            (Prom(f"sum(mission_policies_loaded{{{_BRIDGE}}})"),),
            "stat", width=8, height=6, empty="no bridge is scraped",
        ),
        Panel(
            "How long the bridge's reading takes",
            "Every 5 s the bridge reads recent events, thresholds and the outbox.",
            (Prom(f"mission_tick_duration_seconds{{{_BRIDGE}}}", "{{instance}}"),),
            unit="s", width=8, height=6,
        ),
        Panel(
            "Transactions run again",
            "A minute, by reason: some are normal under load, each one succeeded later or was answered with 503.",
            (
                Prom(
                    f"sum by (job, reason) (rate(mission_userdb_reruns_total{{{_DJANGO}}}[$__rate_interval])) * 60",
                    "{{job}} {{reason}}",
                ),
            ),
            unit="cpm",
        ),
        Panel(
            "Events that came late",
            "In an hour, by tenant: received more than 5 minutes after they happened. The ten with the most.",
            (
                Prom(
                    f"topk(10, max by (tenant) (increase(mission_late_events_total{{{_BRIDGE}}}[1h])))", "{{tenant}}"
                ),
            ),
            empty="No event came late.",
        ),
    ),
)  # fmt: skip

PAGE = Page(
    "mission-chain",
    "Mission: the chain itself",
    "Prometheus, Alertmanager, bridge, userdb, relay, and what feeds them: a sick monitor says so here.",
    (SCRAPES, ALERTMANAGER, INTAKE, USERDB, OUTBOX, RECONCILIATION, WATCH, EDGES),
)
