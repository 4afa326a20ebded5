"""The second half of the chain on itself: messages out, reconciliation, the bridge's own watch, and where things come from."""

from grafana.model import Panel, Prom, Row, Sql
from grafana.pages.columns import CHANNEL, MOMENT

_BRIDGE = 'job="alert-bridge"'
_RELAY = 'job="alert-relay"'
_RECONCILE = 'job="alert-reconcile"'
_WATCHING = 'job=~"alert-bridge|alert-reconcile"'
_PODS = 'job="kube-state-metrics"'

OUTBOX = Row(
    "Messages out: outbox and relay",
    (
        Panel(
            "Owed",
            "Notifications that wait, by channel.",
            (Prom(f"max by (channel) (mission_outbox_pending{{{_BRIDGE}}})", "{{channel}}"),),
            stacked=True, width=8,
        ),
        Panel(
            "Age of the oldest",
            "By channel; what waits for the end of quiet hours is 0 s old.",
            (Prom(f"max by (channel) (mission_outbox_oldest_seconds{{{_BRIDGE}}})", "{{channel}}"),),
            unit="s", width=8,
        ),
        Panel(
            "Given up",
            "By channel: refused for good, or tried too often. They wait for a person.",
            (Prom(f"max by (channel) (mission_outbox_dead{{{_BRIDGE}}})", "{{channel}}"),),
            width=8,
        ),
        Panel(
            "Tries to send",
            "A minute, by channel and result.",
            (
                Prom(
                    f"sum by (channel, result, reason) (rate(mission_notifications_total{{{_RELAY}}}[$__rate_interval])) * 60",
                    "{{channel}} {{result}} {{reason}}",
                ),
            ),
            unit="cpm", stacked=True,
        ),
        Panel(
            "Time to notify",
            "From the webhook's receipt to the destination's acceptance, all but one in a hundred of 15 minutes, by channel.",
            (
                Prom(
                    "histogram_quantile(0.99, sum by (channel, le) "
                    f"(rate(mission_notification_delay_seconds_bucket{{{_RELAY}}}[15m])))",
                    "{{channel}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            "Told later, and together",
            "A minute: messages too late to be told as if they were new, and digests over a channel's limit or of late ones.",
            (
                Prom(f"sum by (channel) (rate(mission_notifications_late_total{{{_RELAY}}}[5m])) * 60", "late: {{channel}}"),
                Prom(f"sum by (channel) (rate(mission_digests_total{{{_RELAY}}}[5m])) * 60", "digests: {{channel}}"),
            ),
            unit="cpm",
        ),
        Panel(
            "Returned alerts, asked for before they were told",
            "In an hour: listed by an Alertmanager (told), not listed (closed), in doubt (told), overtaken.",
            (Prom(f"sum by (result) (increase(mission_confirmations_total{{{_RELAY}}}[1h]))", "{{result}}"),),
        ),
        Panel(
            "Relays",
            "Time since each relay last looked for what is owed.",
            (Prom(f"time() - mission_relay_last_round_timestamp_seconds{{{_RELAY}}}", "{{instance}}"),),
            "stat", "s", width=8, height=6, steps=((30, "orange"), (120, "red")), empty="no relay is scraped",
        ),
        Panel(
            "Channels",
            "Each channel, and when it last took a message.",
            (
                Sql(
                    """
                    SELECT c.channel, c.channel_kind AS kind, c.enabled,
                        (SELECT n.delivered_at FROM grafana_notifications n
                            WHERE n.channel_id = c.channel_id AND n.state = 'delivered'
                            ORDER BY n.due_at DESC LIMIT 1) AS `last delivered`
                    FROM grafana_channels c ORDER BY c.channel
                    """
                ),
            ),
            "table", width=16, height=6, columns={"channel": CHANNEL, "last delivered": MOMENT},
            empty="No channels: nobody will be told.",
        ),
    ),
)  # fmt: skip

RECONCILIATION = Row(
    "What webhooks never say: reconciliation with every Alertmanager",
    (
        Panel(
            "Alertmanagers",
            "1: it answered the last round. While one of them does not, nothing is closed by comparison.",
            (Prom(f"min by (alertmanager) (mission_alertmanager_up{{{_RECONCILE}}})", "{{alertmanager}}"),),
            "stat", width=8, height=6, empty="reconciliation is not scraped",
        ),
        Panel(
            "Since the last certain round",
            "Time since a round in which every Alertmanager was believed.",
            (Prom(f"time() - max(mission_reconcile_last_success_timestamp_seconds{{{_RECONCILE}}} > 0)", quiet=True),),
            "stat", "s", width=5, height=6, steps=((300, "orange"), (900, "red")), empty="none yet",
        ),
        Panel(
            "Listed and never sent",
            "Alerts that an Alertmanager lists for the bridge and that no webhook brought.",
            (Prom(f"max(mission_reconcile_unsent_alerts{{{_RECONCILE}}})"),),
            "stat", width=5, height=6, steps=((1, "red"),), empty="reconciliation is not scraped",
        ),
        Panel(
            "A round takes",
            "Seconds of the last round, of each reconciler.",
            (Prom(f"mission_reconcile_duration_seconds{{{_RECONCILE}}}", "{{instance}}"),),
            "stat", "s", width=6, height=6, empty="reconciliation is not scraped",
        ),
        Panel(
            "Rounds",
            "A minute, by whether every Alertmanager could be believed.",
            (Prom(f"sum by (result) (rate(mission_reconcile_rounds_total{{{_RECONCILE}}}[5m])) * 60", "{{result}}"),),
            unit="cpm", stacked=True,
        ),
        Panel(
            "What it changed",
            "Alerts in an hour: closed because none lists them, superseded, marked as silenced or inhibited, found.",
            (Prom(f"sum by (change) (increase(mission_reconcile_alerts_total{{{_RECONCILE}}}[1h]))", "{{change}}"),),
            stacked=True,
        ),
    ),
)  # fmt: skip

WATCH = Row(
    "The bridge's own watch: without Prometheus or Alertmanager",
    (
        Panel(
            "What it says is wrong",
            "Alerts of its own: Watchdog stays away, an Alertmanager is silent, a channel is dead, userdb is slow. They are "
            "told through the same channels.",
            (Prom(f"max by (alertname) (mission_selfwatch_findings{{{_WATCHING}}})", "{{alertname}}"),),
            stacked=True, width=10, height=7,
        ),
        Panel(
            "Last round",
            "Time since each watch, in the bridge and beside reconciliation, last saw all that it looks at.",
            (Prom(f"time() - mission_selfwatch_last_round_timestamp_seconds{{{_WATCHING}}}", "{{job}} {{instance}}"),),
            "stat", "s", width=6, height=7, steps=((120, "orange"), (300, "red")), empty="no bridge is scraped",
        ),
        Panel(
            "Heartbeats",
            "Calls of the address outside, a minute; withheld while something is wrong. Without an address there are none.",
            (Prom(f"sum by (result) (rate(mission_heartbeats_total{{{_RECONCILE}}}[5m])) * 60", "{{result}}"),),
            unit="cpm", width=8, height=7,
        ),
    ),
)  # fmt: skip

EDGES = Row(
    "The edges: tenants' clients and the pod exporter",
    (
        Panel(
            "Reports that wait in the tenants",
            "Age of the oldest report that could not be sent; the ten worst tenants.",
            (Prom('topk(10, max by (tenant) (mission_spool_oldest_seconds{job="gateway-client"}))', "{{tenant}}"),),
            unit="s", width=8,
        ),
        Panel(
            "Reports that were lost",
            "In an hour, by tenant and reason: the spool was full, broken, or could not be written.",
            (
                Prom(
                    'sum by (tenant, reason) (increase(mission_spool_dropped_total{job="gateway-client"}[1h]))',
                    "{{tenant}} {{reason}}",
                ),
            ),
            width=8,
        ),
        Panel(
            "Reports received",
            "A minute, by what became of them.",
            (
                Prom(
                    "sum by (result) (rate(mission_reports_received_total"
                    '{job="route-management"}[$__rate_interval])) * 60',
                    "{{result}}",
                ),
            ),
            unit="cpm", stacked=True, width=8,
        ),
        Panel(
            "The pod exporter is in step",
            "1: the pods of every watched namespace have been listed.",
            (Prom(f"min(mission_pod_exporter_synced{{{_PODS}}})"),),
            "stat", width=8, height=6, empty="none is scraped",
        ),
        Panel(
            "Pods of nobody",
            "Pods whose label names no tenant: no tenant's page shows them.",
            (Prom(f"sum(mission_pod_exporter_unknown_tenant_pods{{{_PODS}}})"),),
            "stat", width=8, height=6, steps=((1, "orange"),), empty="none is scraped",
        ),
        Panel(
            "Last word of the API server",
            "Time since the last event, bookmark or list: bookmarks come about once a minute.",
            (Prom(f"time() - max(mission_pod_exporter_last_event_timestamp_seconds{{{_PODS}}})"),),
            "stat", "s", width=8, height=6, steps=((180, "orange"), (300, "red")), empty="none is scraped",
        ),
        Panel(
            "Lists and watches",
            "A minute, by how they ended.",
            (
                Prom(
                    f"sum by (result) (rate(mission_pod_exporter_lists_total{{{_PODS}}}[$__rate_interval])) * 60",
                    "list {{result}}",
                ),
                Prom(
                    f"sum by (result) (rate(mission_pod_exporter_watches_total{{{_PODS}}}[$__rate_interval])) * 60",
                    "watch {{result}}",
                ),
            ),
            unit="cpm",
        ),
        Panel(
            "Events of containers on their way",
            "That wait for userdb.",
            (Prom(f"sum(mission_pod_exporter_history_queue_events{{{_PODS}}})"),),
        ),
    ),
)  # fmt: skip
