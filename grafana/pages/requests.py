"""Requests through the user gateway: how many, which failed and why, how long they took, by tenant."""

from grafana.model import Page, Panel, Prom, Row, Sql, Variable
from grafana.pages.columns import CHANGES, LEVEL, MOMENT, TENANT, alerts

_GATEWAY = 'job="route-management", tenant=~"$tenant"'
_FAILURES = f"mission_gateway_request_failures_total{{{_GATEWAY}}}"
_REQUESTS = f"mission_gateway_requests_total{{{_GATEWAY}}}"
_BUCKETS = f"mission_gateway_request_duration_seconds_bucket{{{_GATEWAY}}}"

NOW = Row(
    "Now",
    (
        Panel(
            "Requests a second",
            "Of the last 5 minutes.",
            (Prom(f"sum(rate({_REQUESTS}[5m]))"),),
            "stat", "reqps", width=6, height=4, empty="none",
        ),
        Panel(
            "Failing share",
            "Of the last 5 minutes; a client's own mistake (404, 422) is no failure.",
            (Prom(f"sum(rate({_FAILURES}[5m])) / sum(rate({_REQUESTS}[5m]))"),),
            "stat", "percentunit", width=6, height=4, steps=((0.05, "orange"), (0.2, "red")), empty="no requests",
        ),
        Panel(
            "99 of 100 take at most",
            "Of the last 5 minutes. The limit of the policy `request_latency` is 0.3 s unless an admin changed it.",
            (Prom(f"histogram_quantile(0.99, sum by (le) (rate({_BUCKETS}[5m])))"),),
            "stat", "s", width=6, height=4, steps=((0.3, "orange"), (1, "red")), empty="no requests",
        ),
        Panel(
            "Under way",
            "Requests that have begun and not ended, streamed bodies included.",
            (Prom(f"sum(mission_gateway_requests_in_progress{{{_GATEWAY}}})"),),
            "stat", width=6, height=4,
        ),
    ),
)  # fmt: skip

RATES = Row(
    "How many, and which fail",
    (
        Panel(
            "Requests by class of status",
            "A second, of all that is chosen.",
            (Prom(f"sum by (code) (rate({_REQUESTS}[$__rate_interval]))", "{{code}}"),),
            unit="reqps", stacked=True,
        ),
        Panel(
            "Failures by reason",
            "A second: timeout, auth (refused for its credentials), refused, upstream (the tenant's pods), error (the "
            "gateway's own), client_gone.",
            (Prom(f"sum by (reason) (rate({_FAILURES}[$__rate_interval]))", "{{reason}}"),),
            unit="reqps", stacked=True,
        ),
        Panel(
            "Failing share by tenant",
            "Of the last 5 minutes; the ten highest.",
            (
                Prom(
                    f"topk(10, sum by (tenant) (rate({_FAILURES}[5m])) / (sum by (tenant) (rate({_REQUESTS}[5m])) > 0))",
                    "{{tenant}}",
                ),
            ),
            unit="percentunit",
        ),
        Panel(
            "Requests by tenant",
            "A second; the ten with the most.",
            (Prom(f"topk(10, sum by (tenant) (rate({_REQUESTS}[$__rate_interval])))", "{{tenant}}"),),
            unit="reqps",
        ),
    ),
)  # fmt: skip

DURATIONS = Row(
    "How long they take",
    (
        Panel(
            "Durations",
            "From a request's arrival to the end of its answer: the darker, the more requests.",
            (Prom(f"sum by (le) (increase({_BUCKETS}[$__rate_interval]))", "{{le}}"),),
            "heatmap", "s",
        ),
        Panel(
            "All but one in a hundred, by tenant",
            "Of 5 minutes; the ten slowest.",
            (Prom(f"topk(10, histogram_quantile(0.99, sum by (tenant, le) (rate({_BUCKETS}[5m]))))", "{{tenant}}"),),
            unit="s",
        ),
    ),
)  # fmt: skip

HISTORY = Row(
    "What happened",
    (
        Panel(
            "Requests a minute, from userdb",
            "Minutes as the gateway counted them: success, or why they failed. Kept longer than Prometheus keeps its own.",
            (
                Sql(
                    """
                    SELECT $__timeGroupAlias(r.minute, $__interval), r.outcome AS metric,
                        SUM(r.requests) / COUNT(DISTINCT r.minute) AS value
                    FROM grafana_requests r WHERE r.tenant IN (${tenant:sqlstring}) AND $__timeFilter(r.minute)
                    GROUP BY 1, 2 ORDER BY 1
                    """
                ),
            ),
            unit="cpm", stacked=True,
        ),
        Panel(
            "By tenant",
            "Of the time range: requests, how many of them failed, and how long they took on average.",
            (
                Sql(
                    """
                    SELECT r.tenant, SUM(r.requests) AS requests,
                        SUM(CASE WHEN r.outcome = 'success' THEN 0 ELSE r.requests END) AS failed,
                        SUM(r.seconds) / NULLIF(SUM(r.requests), 0) AS `mean seconds`
                    FROM grafana_requests r WHERE r.tenant IN (${tenant:sqlstring}) AND $__timeFilter(r.minute)
                    GROUP BY r.tenant ORDER BY failed DESC, requests DESC LIMIT 100
                    """
                ),
            ),
            "table", columns={"tenant": TENANT}, empty="No requests.",
        ),
        Panel(
            "Failed requests",
            "The newest, with what the gateway says of them; beyond a rate they are summed into a minute's count.",
            (
                Sql(
                    """
                    SELECT e.occurred_at AS at, e.tenant, e.level, e.failure_type AS type, e.message
                    FROM grafana_events e
                    WHERE e.tenant IN (${tenant:sqlstring}) AND e.event_type = 'request' AND $__timeFilter(e.received_at)
                    ORDER BY e.received_at DESC, e.id DESC LIMIT 200
                    """
                ),
            ),
            "table", width=24, columns={"at": MOMENT, "tenant": TENANT, "level": LEVEL}, empty="No request failed.",
        ),
    ),
)  # fmt: skip

PAGE = Page(
    "mission-requests",
    "Mission: requests",
    "Requests through the user gateway by tenant: how many, which failed and why, how long they took.",
    (NOW, RATES, DURATIONS, HISTORY),
    (
        Variable(
            "tenant", "Tenant", Prom('label_values(mission_gateway_requests_total{job="route-management"}, tenant)')
        ),
    ),
    (alerts("a.tenant IN (${tenant:sqlstring})"), CHANGES),
)
