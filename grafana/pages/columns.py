"""Columns that several tables have, with their links: to the alert's page, to its runbook, to the tenant's dashboard.

And the marks in graphs: when alerts began and ended, and what people changed.
"""

# ruff: noqa: S608  (parts of our own are put in, never a value)

from grafana.model import Column, Link, Mark, Sql

_TIME = "${__url_time_range}"
TENANT_PAGE = f"/d/mission-tenant?var-tenant=${{__value.raw}}&{_TIME}"

# values of fields, by the names that the SELECTs give them
ALERT = Column(
    width=70,
    links=(Link("The alert's page: its whole course", "${bridge:raw}/admin/userdb/alert/${__value.raw}/change/"),),
)
ALERTNAME = Column(width=220, links=(Link("Runbook", "${__data.fields.runbook}"),))
RUNBOOK = Column(hidden=True)
TENANT = Column(
    width=130,
    links=(
        Link("The tenant", TENANT_PAGE),
        Link("Its alerts so far", f"/d/mission-history?var-tenant=${{__value.raw}}&{_TIME}"),
    ),
)
SEVERITY = Column(
    width=90, colours=(("critical", "dark-red"), ("error", "red"), ("warning", "orange"), ("info", "blue"))
)
LEVEL = Column(width=80, colours=SEVERITY.colours)
STATE = Column(
    width=110,
    colours=(
        ("firing", "red"), ("resolved", "green"), ("delivered", "green"), ("dead", "dark-red"), ("owed", "orange"),
        ("sending", "orange"), ("unconfirmed", "orange"), ("late", "yellow"), ("in_digest", "blue"), ("void", "gray"),
    ),
)  # fmt: skip
MOMENT = Column(width=170)
SECONDS = Column(unit="s", width=110)
AGE = Column(unit="s", width=110)
CHANNEL = Column(width=150)

ALERTS = {
    "alert": ALERT, "alertname": ALERTNAME, "severity": SEVERITY, "tenant": TENANT, "since": MOMENT, "for": AGE,
    "until": MOMENT, "state": STATE, "runbook": RUNBOOK,
}  # fmt: skip
"""Of a table of alerts."""
TOLD = {
    "alert": ALERT, "alertname": ALERTNAME, "severity": SEVERITY, "tenant": TENANT, "told": MOMENT, "channel": CHANNEL,
    "state": STATE, "after": SECONDS, "owed": MOMENT, "runbook": RUNBOOK,
}  # fmt: skip
"""Of a table of notifications."""

FIRING_COLUMNS = """
    a.alert_id AS alert, a.alertname, a.severity, a.tenant, a.starts_at AS since,
    TIMESTAMPDIFF(SECOND, a.starts_at, UTC_TIMESTAMP()) AS `for`, a.summary,
    (SELECT GROUP_CONCAT(DISTINCT n.channel ORDER BY n.channel SEPARATOR ', ') FROM grafana_notifications n
        WHERE n.alert_id = a.alert_id AND n.state = 'delivered') AS `told by`,
    (SELECT GROUP_CONCAT(DISTINCT k.person ORDER BY k.person SEPARATOR ', ') FROM grafana_acknowledgements k
        WHERE k.alert_id = a.alert_id AND k.withdrawn_at IS NULL) AS `taken on by`,
    a.suppression AS suppressed, a.runbook_url AS runbook
"""
_RANK = "FIELD(a.severity, 'critical', 'error', 'warning', 'info')"
WORST_FIRST = f"{_RANK} = 0, {_RANK}"
"""Words that are no severity of ours come last."""


def episodes(condition: str, most: int) -> str:
    """Return the newest episodes that were firing at some moment of the time range, as a table that a SELECT can read from.

    Two questions, each of which goes along an index (one with OR read all of 1,000,000: 1.2 s instead of 0.01 s). There is
    none on an episode's end: one that ended within the range and had been firing for 7 days before it is left out.
    """
    newest = f"AND a.severity <> 'none' AND {condition} ORDER BY a.recorded_at DESC LIMIT {most}"
    return f"""(
        (SELECT a.* FROM grafana_alerts a WHERE a.state = 'firing' AND a.starts_at <= $__timeTo() {newest})
        UNION ALL
        (SELECT a.* FROM grafana_alerts a
            WHERE a.state <> 'firing' AND a.recorded_at BETWEEN $__timeFrom() - INTERVAL 7 DAY AND $__timeTo()
                AND a.ends_at >= $__timeFrom() {newest})
    )"""


def alerts(condition: str = "TRUE") -> Mark:
    """Return the spans in which alerts were firing."""
    return Mark(
        "Alerts",
        "red",
        Sql(
            f"""
            SELECT UNIX_TIMESTAMP(a.starts_at) * 1000 AS time,
                UNIX_TIMESTAMP(COALESCE(a.ends_at, UTC_TIMESTAMP())) * 1000 AS timeend,
                CONCAT(a.alertname, ': ', COALESCE(a.summary, '')) AS text, CONCAT(a.severity, ',', a.tenant) AS tags
            FROM {episodes(condition, 100)} a ORDER BY a.alert_id DESC LIMIT 100
            """
        ),
    )


CHANGES = Mark(
    "What people changed",
    "blue",
    Sql(
        """
        SELECT UNIX_TIMESTAMP(c.at) * 1000 AS time, CONCAT(c.person, ': ', c.action, ' ', c.kind, ' ', c.name) AS text,
            c.kind AS tags
        FROM grafana_changes c WHERE $__timeFilter(c.at) ORDER BY c.id DESC LIMIT 100
        """
    ),
)
