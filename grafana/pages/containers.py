"""Pods and containers: which are not well, since when, what they use, and what happened to them.

The families are kube-state-metrics' own, from the pod exporter with the tenant on each series. A series that is absent is
normal: a container that does not wait has no reason to.
"""

from grafana.model import Column, Page, Panel, Prom, Row, Sql, Variable
from grafana.pages.columns import CHANGES, LEVEL, MOMENT, TENANT, alerts

_PODS = 'job="kube-state-metrics", tenant=~"$tenant", namespace=~"$namespace"'
_WHICH = "tenant, namespace, pod, container"
_ONE = "{{pod}}/{{container}}"


def _share_of_limit(usage: str, resource: str) -> Prom:
    """Return the ten containers that are nearest to their limit."""
    return Prom(
        f"topk(10, max by ({_WHICH}) ({usage}{{{_PODS}}}) / on ({_WHICH}) "
        f'max by ({_WHICH}) (kube_pod_container_resource_limits{{{_PODS}, resource="{resource}"}}))',
        _ONE,
    )


def _use(usage: str, resource: str) -> tuple[Prom, ...]:
    """Return what is used, asked for and allowed, of all that is chosen."""
    return (
        Prom(f"sum(max by ({_WHICH}) ({usage}{{{_PODS}}}))", "used"),
        *(
            Prom(f'sum(max by ({_WHICH}) (kube_pod_container_resource_{kind}{{{_PODS}, resource="{resource}"}}))', kind)
            for kind in ("requests", "limits")
        ),
    )


NOW = Row(
    "Now",
    (
        Panel(
            "Pods",
            "Pods by phase.",
            (Prom(f"sum by (phase) (max by (phase, namespace, pod) (kube_pod_status_phase{{{_PODS}}}))", "{{phase}}"),),
            "stat", width=10, height=4,
        ),
        Panel(
            "Not ready",
            "Pods that run and are not ready.",
            (
                Prom(
                    f'count(max by (namespace, pod) (kube_pod_status_phase{{{_PODS}, phase="Running"}}) == 1 '
                    "and on (namespace, pod) "
                    f'max by (namespace, pod) (kube_pod_status_ready{{{_PODS}, condition="true"}}) == 0) or vector(0)'
                ),
            ),
            "stat", width=4, height=4, steps=((1, "red"),),
        ),
        Panel(
            "Can't be scheduled",
            "Pods that no node takes.",
            (Prom(f"count(max by (namespace, pod) (kube_pod_status_unschedulable{{{_PODS}}})) or vector(0)"),),
            "stat", width=5, height=4, steps=((1, "orange"),),
        ),
        Panel(
            "Tenants without a ready pod",
            "Tenants that have pods, of which none is ready.",
            (
                Prom(
                    f'count(sum by (tenant) (kube_pod_status_ready{{{_PODS}, condition="true", tenant!=""}}) == 0) or vector(0)'
                ),
            ),
            "stat", width=5, height=4, steps=((1, "red"),),
        ),
        Panel(
            "Waiting, and why",
            "Containers that wait: a crash loop, an image that can't be pulled, a configuration that is not there.",
            (Prom(f"max by ({_WHICH}, reason) (kube_pod_container_status_waiting_reason{{{_PODS}}} == 1)", "waiting"),),
            "table", columns={"tenant": TENANT, "waiting": Column(hidden=True)}, empty="No container waits.",
        ),
        Panel(
            "How the run before ended",
            "Containers whose run before this one ended with an error, and with which exit code; it stays for the pod's life.",
            (
                Prom(
                    f"max by ({_WHICH}) (kube_pod_container_status_last_terminated_exitcode{{{_PODS}}} != 0) "
                    f"* on ({_WHICH}) group_left (reason) "
                    f"max by ({_WHICH}, reason) (kube_pod_container_status_last_terminated_reason{{{_PODS}}} == 1)",
                    "exit code",
                ),
            ),
            "table", columns={"tenant": TENANT}, empty="None ended with an error.",
        ),
        Panel(
            "Ready, by tenant",
            "Pods that are ready, the ten tenants with the fewest.",
            (Prom(f'bottomk(10, sum by (tenant) (kube_pod_status_ready{{{_PODS}, condition="true"}}))', "{{tenant}}"),),
        ),
        Panel(
            "Restarts in 10 minutes",
            "The ten containers that were restarted most.",
            (
                Prom(
                    f"topk(10, max by ({_WHICH}) (increase(kube_pod_container_status_restarts_total{{{_PODS}}}[10m])) > 0)",
                    _ONE, quiet=True,
                ),
            ),
            empty="No restarts.",
        ),
    ),
)  # fmt: skip

USE = Row(
    "Use of CPU and memory",
    (
        Panel(
            "CPU of its limit",
            "The ten containers nearest to their limit; above 1 they are slowed down. Needs the pod exporter's `--usage`.",
            (_share_of_limit("mission_container_cpu_usage_cores", "cpu"),),
            unit="percentunit", empty="No usage: metrics.k8s.io is not asked.",
        ),
        Panel(
            "Memory of its limit",
            "The ten containers nearest to their limit, by working set; at 1 they are killed.",
            (_share_of_limit("mission_container_memory_working_set_bytes", "memory"),),
            unit="percentunit", empty="No usage: metrics.k8s.io is not asked.",
        ),
        Panel(
            "CPU",
            "Cores used, asked for, and allowed, of all that is chosen.",
            _use("mission_container_cpu_usage_cores", "cpu"),
        ),
        Panel(
            "Memory",
            "Bytes used, asked for, and allowed, of all that is chosen.",
            _use("mission_container_memory_working_set_bytes", "memory"),
            unit="bytes",
        ),
        Panel(
            "CPU by tenant, from userdb",
            "Cores, a mean of each minute as userdb keeps it: longer than Prometheus does.",
            (
                Sql(
                    """
                    SELECT $__timeGroupAlias(u.minute, $__interval), u.tenant AS metric,
                        SUM(u.cpu_cores) / COUNT(DISTINCT u.minute) AS value
                    FROM grafana_container_usage u WHERE u.tenant IN (${tenant:sqlstring}) AND $__timeFilter(u.minute)
                    GROUP BY 1, 2 ORDER BY 1
                    """
                ),
            ),
        ),
        Panel(
            "Memory by tenant, from userdb",
            "Working sets, a mean of each minute as userdb keeps it.",
            (
                Sql(
                    """
                    SELECT $__timeGroupAlias(u.minute, $__interval), u.tenant AS metric,
                        SUM(u.memory_bytes) / COUNT(DISTINCT u.minute) AS value
                    FROM grafana_container_usage u WHERE u.tenant IN (${tenant:sqlstring}) AND $__timeFilter(u.minute)
                    GROUP BY 1, 2 ORDER BY 1
                    """
                ),
            ),
            unit="bytes",
        ),
    ),
)  # fmt: skip

HISTORY = Row(
    "What happened",
    (
        Panel(
            "Changes of containers",
            "Each end with an error, wait, restart and eviction, as the pod exporter saw it: one row, once.",
            (
                Sql(
                    """
                    SELECT e.occurred_at AS at, e.tenant, e.level, e.failure_type AS type, e.message, e.source
                    FROM grafana_events e
                    WHERE e.tenant IN (${tenant:sqlstring}) AND e.event_type = 'container' AND $__timeFilter(e.received_at)
                    ORDER BY e.received_at DESC, e.id DESC LIMIT 200
                    """
                ),
            ),
            "table", width=16, columns={"at": MOMENT, "tenant": TENANT, "level": LEVEL}, empty="Nothing happened.",
        ),
        Panel(
            "By tenant",
            "How many of them, and of which level.",
            (
                Sql(
                    """
                    SELECT e.tenant, e.level, COUNT(*) AS events FROM grafana_events e
                    WHERE e.tenant IN (${tenant:sqlstring}) AND e.event_type = 'container' AND $__timeFilter(e.received_at)
                    GROUP BY e.tenant, e.level ORDER BY events DESC LIMIT 100
                    """
                ),
            ),
            "table", width=8, columns={"tenant": TENANT, "level": LEVEL}, empty="Nothing happened.",
        ),
    ),
)  # fmt: skip

PAGE = Page(
    "mission-containers",
    "Mission: containers",
    "Pods and containers by tenant: which are not well, what they use, what happened to them.",
    (NOW, USE, HISTORY),
    (
        Variable("tenant", "Tenant", Prom('label_values(kube_pod_info{job="kube-state-metrics"}, tenant)')),
        Variable(
            "namespace",
            "Namespace",
            Prom('label_values(kube_pod_info{job="kube-state-metrics", tenant=~"$tenant"}, namespace)'),
            all_value=".*",
        ),
    ),
    (alerts("a.tenant IN (${tenant:sqlstring})"), CHANGES),
)
