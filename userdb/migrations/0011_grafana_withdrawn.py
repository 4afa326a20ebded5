"""Grafana's view of acknowledgements says who withdrew one and when (MySQL and MariaDB, as 0006)."""

from django.db import migrations

VIEW = """
    CREATE OR REPLACE ALGORITHM = MERGE VIEW grafana_acknowledgements AS
        SELECT k.id, a.id AS alert_id, i.alertname, COALESCE(NULLIF(i.tenant, ''), 'no tenant') AS tenant, i.severity,
            JSON_UNQUOTE(JSON_EXTRACT(a.annotations, '$.runbook_url')) AS runbook_url,
            k.`by` AS person, k.at, k.note<withdrawn>
        FROM userdb_acknowledgement k JOIN userdb_alert a ON a.id = k.alert_id
            JOIN userdb_alertidentity i ON i.fingerprint = a.identity_id
"""


def show(apps, schema_editor):
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(VIEW.replace("<withdrawn>", ", k.withdrawn_at, k.withdrawn_by"))


def hide(apps, schema_editor):
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(VIEW.replace("<withdrawn>", ""))


class Migration(migrations.Migration):
    atomic = False  # neither server can take a view back; made again it is the same
    dependencies = [("userdb", "0010_acknowledgement_withdrawn")]
    operations = [migrations.RunPython(show, hide)]
