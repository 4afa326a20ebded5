"""One tenant: its alerts, runs, failures, containers and requests, and who was told of them."""

# ruff: noqa: S608  (parts of our own are put in, never a value)

from grafana.model import Page, Panel, Prom, Row, Sql, Variable
from grafana.pages.columns import ALERTS, CHANGES, FIRING_COLUMNS, LEVEL, MOMENT, TOLD, WORST_FIRST, alerts

_CLIENT = 'job="gateway-client", tenant="$tenant"'
_TASKS = _CLIENT + ', task=~"$task"'
_PODS = 'job="kube-state-metrics", tenant="$tenant"'
_GATEWAY = 'job="route-management", tenant="$tenant"'
_THRESHOLD = 'policy:mission_policy_threshold:known{policy="%s", tenant=~"$tenant|\\\\*"}'

NOW = Row(
    "Now",
    (
        Panel(
            "Alerts firing",
            "Of this tenant, as Prometheus evaluates them.",
            (Prom('count(ALERTS{alertstate="firing", tenant="$tenant", severity!="none"}) or vector(0)'),),
            "stat", width=4, height=4, steps=((1, "red"),),
        ),
        Panel(
            "Failed in a row",
            "Runs of one task that failed one after the other; the worst task.",
            (
                Prom(
                    'max(tenant_task:mission_consecutive_failures:last1h{tenant="$tenant"}) '
                    f"or 0 * max(mission_consecutive_failures{{{_CLIENT}}})"
                ),
            ),
            "stat", width=4, height=4, steps=((1, "orange"), (3, "red")), empty="no runs",
        ),
        Panel(
            "Since the last success",
            "Time since a run of this tenant last succeeded, whichever task.",
            (Prom(f"time() - max(mission_run_last_success_timestamp_seconds{{{_CLIENT}}})"),),
            "stat", "s", width=4, height=4, empty="none known",
        ),
        Panel(
            "Pods ready",
            "Pods that are ready, and all that there are.",
            (
                Prom(f'sum(kube_pod_status_ready{{{_PODS}, condition="true"}})', "ready"),
                Prom(f"count(kube_pod_info{{{_PODS}}})", "pods"),
            ),
            "stat", width=4, height=4, empty="no pods",
        ),
        Panel(
            "Requests that fail",
            "Share of the requests of the last 5 minutes.",
            (
                Prom(
                    f"sum(rate(mission_gateway_request_failures_total{{{_GATEWAY}}}[5m])) "
                    f"/ sum(rate(mission_gateway_requests_total{{{_GATEWAY}}}[5m]))"
                ),
            ),
            "stat", "percentunit", width=4, height=4, steps=((0.05, "orange"), (0.5, "red")), empty="no requests",
        ),
        Panel(
            "Reports wait for",
            "Age of the oldest report that this tenant's clients could not send yet.",
            (Prom(f"max(mission_spool_oldest_seconds{{{_CLIENT}}})"),),
            "stat", "s", width=4, height=4, steps=((60, "orange"), (600, "red")), empty="no client",
        ),
        Panel(
            "Firing",
            "What the bridge holds as firing for this tenant, the worst first.",
            (
                Sql(
                    f"""
                    SELECT {FIRING_COLUMNS} FROM grafana_alerts a
                    WHERE a.state = 'firing' AND a.tenant = ${{tenant:sqlstring}}
                    ORDER BY {WORST_FIRST}, a.starts_at DESC LIMIT 100
                    """
                ),
            ),
            "table", width=24, height=7, columns=ALERTS, empty="Nothing is firing.",
        ),
    ),
)  # fmt: skip

RUNS = Row(
    "Runs",
    (
        Panel(
            "Runs that ended",
            "Runs a minute, by outcome.",
            (Prom(f"sum by (outcome) (rate(mission_runs_total{{{_TASKS}}}[$__rate_interval])) * 60", "{{outcome}}"),),
            unit="cpm", stacked=True,
        ),
        Panel(
            "Share of runs that failed",
            "Of the last 15 minutes, by task. A task without a run has no line.",
            (
                Prom(
                    f'sum by (task) (increase(mission_runs_total{{{_TASKS}, outcome="failure"}}[15m])) '
                    f"/ (sum by (task) (increase(mission_runs_total{{{_TASKS}}}[15m])) > 0)",
                    "{{task}}",
                ),
            ),
            unit="percentunit",
        ),
        Panel(
            "How long runs take",
            "Half of the runs of 15 minutes, and all but one in ten.",
            tuple(
                Prom(
                    f"histogram_quantile({q}, sum by (le) (rate(mission_run_duration_seconds_bucket{{{_TASKS}}}[15m])))", legend
                )
                for q, legend in ((0.5, "half"), (0.9, "9 of 10"))
            ),
            unit="s",
        ),
        Panel(
            "Runs under way",
            "By task. One that stays for hours may be stuck.",
            (Prom(f"sum by (task) (mission_runs_in_progress{{{_TASKS}}})", "{{task}}"),),
        ),
        Panel(
            "Tasks",
            "Failed runs in a row, by task: since its last success.",
            (
                Prom(
                    'max by (task) (tenant_task:mission_consecutive_failures:last1h{tenant="$tenant", task=~"$task"}) '
                    f"or 0 * max by (task) (mission_consecutive_failures{{{_TASKS}}})",
                    "failed in a row",
                ),
            ),
            "table",
        ),
        Panel(
            "Since the last success, by task",
            "A task that never succeeded has no line.",
            (
                Prom(
                    f"time() - max by (task) (mission_run_last_success_timestamp_seconds{{{_TASKS}}})", "since the last success"
                ),
            ),
            "table", "s",
        ),
    ),
)  # fmt: skip

FAILURES = Row(
    "Failures",
    (
        Panel(
            "Failures in 5 minutes, and the threshold",
            "By type, as RepeatedFailures counts them, with the threshold of this tenant and the one for all (`*`): "
            "its own goes first.",
            (
                Prom('tenant_type:mission_failures:count5m{tenant="$tenant"}', "{{failure_type}}"),
                Prom(_THRESHOLD % "repeated_failures", "threshold of {{tenant}}"),
            ),
        ),
        Panel(
            "Reports",
            "Events that the gateway was sent in this tenant's name, by what became of them, a minute.",
            (
                Prom(
                    f"sum by (result) (rate(mission_reports_received_total{{{_GATEWAY}}}[$__rate_interval])) * 60", "{{result}}"
                ),
            ),
            unit="cpm", stacked=True,
        ),
        Panel(
            "The last events",
            "What happened, newest first: failures of runs, changes of containers, failed requests. The whole detail "
            "stands in the admin service.",
            (
                Sql(
                    """
                    SELECT e.occurred_at AS at, e.event_type AS what, e.level, e.failure_type AS type, e.task, e.message
                    FROM grafana_events e
                    WHERE e.tenant = ${tenant:sqlstring} AND e.event_type IN ('gateway', 'container', 'request', 'custom')
                        AND $__timeFilter(e.received_at)
                    ORDER BY e.id DESC LIMIT 100
                    """
                ),
            ),
            "table", width=24, columns={"at": MOMENT, "level": LEVEL}, empty="Nothing happened.",
        ),
    ),
)  # fmt: skip

CONTAINERS = Row(
    "Containers",
    (
        Panel(
            "Pods by phase",
            "Pods of this tenant.",
            (Prom(f"sum by (phase) (kube_pod_status_phase{{{_PODS}}})", "{{phase}}"),),
            stacked=True,
        ),
        Panel(
            "Restarts in 10 minutes",
            "By container.",
            (
                Prom(
                    f"sum by (pod, container) (increase(kube_pod_container_status_restarts_total{{{_PODS}}}[10m]))",
                    "{{pod}}/{{container}}",
                ),
            ),
        ),
        Panel(
            "CPU of its limit",
            "Share of the limit that each container uses.",
            (
                Prom(
                    f"sum by (pod, container) (mission_container_cpu_usage_cores{{{_PODS}}}) / on (pod, container) "
                    f'sum by (pod, container) (kube_pod_container_resource_limits{{{_PODS}, resource="cpu"}})',
                    "{{pod}}/{{container}}",
                ),
            ),
            unit="percentunit",
        ),
        Panel(
            "Memory of its limit",
            "Share of the limit that each container's working set takes: at 1 it is killed.",
            (
                Prom(
                    f"sum by (pod, container) (mission_container_memory_working_set_bytes{{{_PODS}}}) / on (pod, container) "
                    f'sum by (pod, container) (kube_pod_container_resource_limits{{{_PODS}, resource="memory"}})',
                    "{{pod}}/{{container}}",
                ),
            ),
            unit="percentunit",
        ),
    ),
)  # fmt: skip

REQUESTS = Row(
    "Requests",
    (
        Panel(
            "Requests a second",
            "Through the gateway, by class of status.",
            (Prom(f"sum by (code) (rate(mission_gateway_requests_total{{{_GATEWAY}}}[$__rate_interval]))", "{{code}}"),),
            unit="reqps", stacked=True,
        ),
        Panel(
            "How long requests take",
            "Half of the requests of 5 minutes, and all but one in a hundred.",
            tuple(
                Prom(
                    "histogram_quantile("
                    f"{q}, sum by (le) (rate(mission_gateway_request_duration_seconds_bucket{{{_GATEWAY}}}[5m])))",
                    legend,
                )
                for q, legend in ((0.5, "half"), (0.99, "99 of 100"))
            ),
            unit="s",
        ),
    ),
)  # fmt: skip

CHANGED = Row(
    "What changed, and who was told",
    (
        Panel(
            "Its thresholds",
            "Thresholds of this tenant alone; for all else those for all hold.",
            (
                Sql(
                    """
                    SELECT p.policy, p.tenant, p.threshold, p.note, p.updated_at AS at, p.updated_by AS person
                    FROM grafana_policies p WHERE p.tenant IN (${tenant:sqlstring}, '*') ORDER BY p.tenant = '*', p.policy
                    """
                ),
            ),
            "table", columns={"at": MOMENT},
        ),
        Panel(
            "Announced work",
            "Maintenance windows of this tenant that are not over before the time range.",
            (
                Sql(
                    """
                    SELECT m.starts_at AS `from`, m.ends_at AS until, m.reason, m.created_by AS person
                    FROM grafana_maintenance m
                    WHERE m.tenant = ${tenant:sqlstring} AND m.ends_at >= $__timeFrom() ORDER BY m.starts_at DESC LIMIT 50
                    """,
                    quiet=True,
                ),
            ),
            "table", columns={"from": MOMENT, "until": MOMENT}, empty="No work was announced.",
        ),
        Panel(
            "Messages",
            "The newest messages about this tenant: to whom, how they ended, and how long after Alertmanager's word.",
            (
                Sql(
                    """
                    SELECT n.delivered_at AS told, n.alert_id AS alert, n.alertname, n.severity, n.kind, n.channel, n.state,
                        n.seconds AS after, n.attempts, n.reason, n.runbook_url AS runbook
                    FROM grafana_notifications n WHERE n.tenant = ${tenant:sqlstring} AND $__timeFilter(n.owed_at)
                    ORDER BY n.owed_at DESC, n.id DESC LIMIT 100
                    """
                ),
            ),
            "table", width=24, columns=TOLD, empty="Nobody was told anything.",
        ),
    ),
)  # fmt: skip

PAGE = Page(
    "mission-tenant",
    "Mission: tenant",
    "One tenant: alerts, runs, failures, containers, requests, what changed and who was told.",
    (NOW, RUNS, FAILURES, CONTAINERS, REQUESTS, CHANGED),
    (
        Variable(
            "tenant", "Tenant", Prom('label_values(mission_tenant_info{job="alert-bridge"}, tenant)'), several=False
        ),
        Variable("task", "Task", Prom(f"label_values(mission_runs_total{{{_CLIENT}}}, task)"), all_value=".*"),
    ),
    (alerts("a.tenant = ${tenant:sqlstring}"), CHANGES),
)
