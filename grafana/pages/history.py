"""What the bridge kept: every episode, every change of it, everyone who was told, and how long that took."""

# ruff: noqa: S608  (parts of our own are put in, never a value)

from grafana.model import Column, Page, Panel, Prom, Row, Sql, Variable
from grafana.pages.columns import ALERTNAME, ALERTS, CHANNEL, MOMENT, SECONDS, SEVERITY, TOLD, episodes

_CHOSEN = (
    "{0}.tenant IN (${{tenant:sqlstring}}) AND {0}.alertname IN (${{alertname:sqlstring}}) AND {0}.severity <> 'none'"
)
_ALERT = _CHOSEN.format("a")
_NOTIFICATION = "n.tenant IN (${tenant:sqlstring}) AND n.channel IN (${channel:sqlstring})"

EPISODES = Row(
    "What happened, and since when",
    (
        Panel(
            "Episodes",
            "From firing to resolved, newest first, with the channels that were told. closed_by: a webhook, a later start "
            "(superseded), or a comparison with Alertmanager (reconciliation). The number leads to the alert's page.",
            (
                Sql(
                    f"""
                    SELECT a.alert_id AS alert, a.alertname, a.severity, a.tenant, a.starts_at AS since, a.ends_at AS until,
                        TIMESTAMPDIFF(SECOND, a.starts_at, COALESCE(a.ends_at, UTC_TIMESTAMP())) AS `for`, a.state,
                        a.closed_by, a.summary,
                        (SELECT GROUP_CONCAT(DISTINCT n.channel ORDER BY n.channel SEPARATOR ', ')
                            FROM grafana_notifications n WHERE n.alert_id = a.alert_id AND n.state = 'delivered') AS `told by`,
                        a.runbook_url AS runbook
                    FROM {episodes(_ALERT, 500)} a
                    ORDER BY a.alert_id DESC LIMIT 500
                    """
                ),
            ),
            "table", width=24, height=10, columns=ALERTS, empty="No alert in this time.",
        ),
        Panel(
            "Most often",
            "Alerts by how many episodes began in the time range, and how long they lasted on average.",
            (
                Sql(
                    f"""
                    SELECT a.alertname, a.severity, COUNT(*) AS episodes, COUNT(DISTINCT a.tenant) AS tenants,
                        AVG(TIMESTAMPDIFF(SECOND, a.starts_at, COALESCE(a.ends_at, UTC_TIMESTAMP()))) AS `for`,
                        MAX(a.runbook_url) AS runbook
                    FROM grafana_alerts a WHERE {_ALERT} AND $__timeFilter(a.recorded_at)
                    GROUP BY a.alertname, a.severity ORDER BY episodes DESC LIMIT 50
                    """
                ),
            ),
            "table", empty="No alert began.",
            columns={"alertname": ALERTNAME, "severity": SEVERITY, "for": SECONDS, "runbook": Column(hidden=True)},
        ),
        Panel(
            "Begun",
            "Episodes that began, by severity.",
            (
                Sql(
                    f"""
                    SELECT $__timeGroupAlias(a.recorded_at, $__interval), a.severity AS metric, COUNT(*) AS value
                    FROM grafana_alerts a WHERE {_ALERT} AND $__timeFilter(a.recorded_at) GROUP BY 1, 2 ORDER BY 1
                    """
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Changes",
            "Each change of what is known of an alert, and who brought it: a webhook, a replay, the comparison with "
            "Alertmanager, the relay, or the bridge itself.",
            (
                Sql(
                    f"""
                    SELECT x.at, x.alert_id AS alert, x.alertname, x.severity, x.tenant, x.kind, x.source,
                        x.webhook_id AS webhook, x.runbook_url AS runbook
                    FROM grafana_transitions x WHERE {_CHOSEN.format("x")} AND $__timeFilter(x.at)
                    ORDER BY x.id DESC LIMIT 200
                    """
                ),
            ),
            "table", width=16, columns=ALERTS | {"at": MOMENT}, empty="Nothing changed.",
        ),
        Panel(
            "Taken on",
            "Who acknowledged an alert, what they wrote, and who withdrew it.",
            (
                Sql(
                    f"""
                    SELECT k.at, k.person, k.alert_id AS alert, k.alertname, k.tenant, k.note,
                        k.withdrawn_by AS `withdrawn by`, k.withdrawn_at AS `withdrawn at`, k.runbook_url AS runbook
                    FROM grafana_acknowledgements k WHERE {_CHOSEN.format("k")} AND $__timeFilter(k.at)
                    ORDER BY k.id DESC LIMIT 100
                    """,
                    quiet=True,
                ),
            ),
            "table", width=8, columns=ALERTS | {"at": MOMENT, "withdrawn at": MOMENT}, empty="Nobody took an alert on.",
        ),
    ),
)  # fmt: skip

WHO = Row(
    "Who was told, and how soon",
    (
        Panel(
            "Messages",
            "Every message owed: to whom, what for, how it ended, how long after Alertmanager's word, in how many tries.",
            (
                Sql(
                    f"""
                    SELECT n.owed_at AS owed, n.delivered_at AS told, n.alert_id AS alert, n.alertname, n.severity, n.tenant,
                        n.kind, n.channel, n.state, n.seconds AS after, n.attempts, n.reason, n.digest_id AS digest,
                        n.runbook_url AS runbook
                    FROM grafana_notifications n WHERE {_NOTIFICATION} AND $__timeFilter(n.owed_at)
                    ORDER BY n.owed_at DESC, n.id DESC LIMIT 500
                    """
                ),
            ),
            "table", width=24, height=10, columns=TOLD, empty="Nobody was told anything.",
        ),
        Panel(
            "By channel",
            "Messages of the time range: delivered, still owed, given up; the time to notify on average and at most.",
            (
                Sql(
                    f"""
                    SELECT n.channel, n.channel_kind AS kind, SUM(n.state = 'delivered') AS delivered,
                        SUM(n.state IN ('unconfirmed', 'owed', 'sending')) AS owed, SUM(n.state = 'dead') AS dead,
                        SUM(n.state = 'late') AS late, SUM(n.state = 'in_digest') AS `in a digest`,
                        AVG(n.seconds) AS `mean seconds`, MAX(n.seconds) AS `most seconds`
                    FROM grafana_notifications n WHERE {_NOTIFICATION} AND $__timeFilter(n.owed_at)
                    GROUP BY n.channel, n.channel_kind ORDER BY n.channel
                    """
                ),
            ),
            "table", width=16, columns={"channel": CHANNEL}, empty="Nobody was told anything.",
        ),
        Panel(
            "Time to notify",
            "From Alertmanager's webhook to the destination's acceptance, as the relays measured it over the time range.",
            tuple(
                Prom(
                    f"histogram_quantile({q}, sum by (le) (rate(mission_notification_delay_seconds_bucket{{"
                    'job="alert-relay", channel=~"$channel"}[$__range])))',
                    legend,
                )
                for q, legend in ((0.5, "half"), (0.9, "9 of 10"), (0.99, "99 of 100"))
            ),
            "stat", "s", width=8, steps=((60, "orange"), (300, "red")), empty="nobody was told",
        ),
        Panel(
            "Time to notify, by channel",
            "Seconds from Alertmanager's webhook to the destination's acceptance; the longest of each interval.",
            (
                Sql(
                    f"""
                    SELECT $__timeGroupAlias(n.owed_at, $__interval), n.channel AS metric, MAX(n.seconds) AS value
                    FROM grafana_notifications n
                    WHERE {_NOTIFICATION} AND n.delivered_at IS NOT NULL AND $__timeFilter(n.owed_at) GROUP BY 1, 2 ORDER BY 1
                    """
                ),
            ),
            unit="s",
        ),
        Panel(
            "Tries that failed",
            "Tries to send that did not succeed, and why. `unknown`: its process died or was paused, the message may have "
            "arrived. The destination's own answer stands on the alert's page.",
            (
                Sql(
                    """
                    SELECT t.started_at AS at, t.channel, t.alert_id AS alert, t.alertname, t.number AS `try`, t.outcome,
                        t.reason, t.status, t.milliseconds / 1000 AS took, t.after_lease AS `after lease`,
                        t.runbook_url AS runbook
                    FROM grafana_attempts t
                    WHERE t.channel IN (${channel:sqlstring}) AND t.outcome NOT IN ('delivered', 'started')
                        AND $__timeFilter(t.started_at)
                    ORDER BY t.id DESC LIMIT 200
                    """,
                    quiet=True,
                ),
            ),
            "table", columns=ALERTS | {"at": MOMENT, "took": SECONDS, "channel": CHANNEL}, empty="Every try succeeded.",
        ),
    ),
)  # fmt: skip

PAGE = Page(
    "mission-history",
    "Mission: alert history",
    "Every episode, every change of it, who was told and how soon.",
    (EPISODES, WHO),
    (
        Variable("tenant", "Tenant", Sql("SELECT DISTINCT i.tenant FROM grafana_identities i ORDER BY 1")),
        Variable("alertname", "Alert", Sql("SELECT DISTINCT i.alertname FROM grafana_identities i ORDER BY 1")),
        Variable("channel", "Channel", Sql("SELECT c.channel FROM grafana_channels c ORDER BY 1")),
    ),
    since="now-24h",
)
