"""What Grafana's database user may read: views of the tables without secrets, on MySQL and MariaDB (docs/grafana.md).

Left out are a channel's settings, matchers and secret, tokens' hashes, raw webhooks, an event's detail and a destination's
answer. Each view is a plain join, so that the server can merge it into the query and use the tables' indexes.

There are none on SQLite: Grafana can't read it, and a table that a view names can't be made anew there, as later migrations
do (seen: "error in view ...: no such table").
"""

from django.db import migrations

ALERT = """a.id AS alert_id, i.alertname, COALESCE(NULLIF(i.tenant, ''), 'no tenant') AS tenant, i.severity,
    JSON_UNQUOTE(JSON_EXTRACT(a.annotations, '$.runbook_url')) AS runbook_url"""
VIEWS = {
    "grafana_tenants": "SELECT t.name AS tenant, t.title, t.enabled, t.created_at FROM userdb_tenant t",
    "grafana_identities": """
        SELECT i.fingerprint, i.alertname, COALESCE(NULLIF(i.tenant, ''), 'no tenant') AS tenant, i.severity, i.origin, i.state,
            i.suppression, i.episodes, i.last_start, i.last_end, i.last_told_at, i.heard_at
        FROM userdb_alertidentity i
    """,
    "grafana_alerts": """
        SELECT <alert>, i.fingerprint, i.origin, a.number AS episode, a.state,
            CASE WHEN a.state = 'firing' THEN i.suppression ELSE '' END AS suppression,
            a.starts_at, a.ends_at, a.closed_by, a.created_at AS recorded_at,
            JSON_UNQUOTE(JSON_EXTRACT(a.annotations, '$.summary')) AS summary,
            JSON_UNQUOTE(JSON_EXTRACT(i.labels, '$.policy')) AS policy
        FROM userdb_alert a JOIN userdb_alertidentity i ON i.fingerprint = a.identity_id
    """,
    "grafana_transitions": """
        SELECT x.id, <alert>, x.version, x.kind, x.source, x.webhook_id, x.starts_at, x.ends_at, x.at
        FROM userdb_alerttransition x JOIN userdb_alert a ON a.id = x.alert_id
            JOIN userdb_alertidentity i ON i.fingerprint = x.identity_id
    """,
    "grafana_acknowledgements": """
        SELECT k.id, <alert>, k.`by` AS person, k.at, k.note
        FROM userdb_acknowledgement k JOIN userdb_alert a ON a.id = k.alert_id
            JOIN userdb_alertidentity i ON i.fingerprint = a.identity_id
    """,
    # a digest has no alert of its own
    "grafana_notifications": """
        SELECT n.id, <alert>, n.channel_id, c.name AS channel, c.kind AS channel_kind, n.kind, n.ordinal, n.state, n.reason, n.digest_id,
            n.attempts, n.created_at AS owed_at, n.cause_at, n.due_at, n.delivered_at,
            TIMESTAMPDIFF(MICROSECOND, n.cause_at, n.delivered_at) / 1000000 AS seconds
        FROM userdb_notification n JOIN userdb_channel c ON c.id = n.channel_id
            LEFT JOIN userdb_alert a ON a.id = n.alert_id
            LEFT JOIN userdb_alertidentity i ON i.fingerprint = n.identity_id
    """,
    "grafana_attempts": """
        SELECT t.id, t.notification_id, <alert>, c.name AS channel, c.kind AS channel_kind, n.kind, t.number, t.relay,
            t.started_at, t.milliseconds, t.outcome, t.reason, t.status, t.after_lease
        FROM userdb_deliveryattempt t JOIN userdb_notification n ON n.id = t.notification_id
            JOIN userdb_channel c ON c.id = n.channel_id
            LEFT JOIN userdb_alert a ON a.id = n.alert_id
            LEFT JOIN userdb_alertidentity i ON i.fingerprint = n.identity_id
    """,
    "grafana_channels": """
        SELECT c.id AS channel_id, c.name AS channel, c.kind AS channel_kind, c.enabled, c.language, c.send_resolved,
            c.repeat_after, c.quiet_start, c.quiet_end, c.quiet_zone, c.per_minute
        FROM userdb_channel c
    """,
    "grafana_events": """
        SELECT e.id, e.tenant, e.event_type, e.failure_type, e.level, e.task, e.source, e.message, e.occurred_at,
            e.received_at
        FROM userdb_monitorevent e
    """,
    "grafana_requests": """
        SELECT r.tenant, r.minute, r.outcome, r.instance, r.requests, r.seconds FROM userdb_requestrollup r
    """,
    "grafana_container_usage": """
        SELECT u.tenant, u.minute, u.namespace, u.pod, u.container, u.cpu_cores, u.memory_bytes FROM userdb_containerusage u
    """,
    "grafana_webhooks": """
        SELECT w.id, w.received_at, w.sender, w.receiver, w.alerts, w.changes, JSON_LENGTH(w.odd) AS odd, w.result, w.error,
            w.body_bytes, w.replayed_at
        FROM userdb_webhookevent w
    """,
    "grafana_alertmanagers": """
        SELECT p.url, p.asked_at, p.answered_at, p.started_at, p.firing, p.error FROM userdb_alertmanagerpeer p
    """,
    "grafana_policies": """
        SELECT p.policy, p.tenant, p.threshold, p.note, p.updated_at, p.updated_by FROM userdb_alertpolicy p
    """,
    "grafana_maintenance": """
        SELECT m.id, m.tenant, m.starts_at, m.ends_at, m.reason, m.created_by, m.created_at FROM userdb_maintenancewindow m
    """,
    # of what was changed only a policy's threshold: a channel's settings are not Grafana's
    "grafana_changes": """
        SELECT e.id, e.at, e.`by` AS person, e.action, e.kind, e.name,
            CASE WHEN e.kind = 'alertpolicy' THEN JSON_EXTRACT(e.old, '$.threshold') END AS old_threshold,
            CASE WHEN e.kind = 'alertpolicy' THEN JSON_EXTRACT(e.new, '$.threshold') END AS new_threshold
        FROM userdb_auditentry e
    """,
}


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "mysql":
        for name, select in VIEWS.items():
            schema_editor.execute(
                f"CREATE OR REPLACE ALGORITHM = MERGE VIEW {name} AS {select.strip().replace('<alert>', ALERT)}"
            )


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "mysql":
        for name in VIEWS:
            schema_editor.execute(f"DROP VIEW IF EXISTS {name}")


class Migration(migrations.Migration):
    atomic = False  # neither server can take a view back
    dependencies = [("userdb", "0005_more_policies")]
    operations = [migrations.RunPython(create, drop)]
