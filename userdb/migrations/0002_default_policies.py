"""The thresholds that hold before an admin has changed any: what the rules' builtins say."""

from django.db import migrations


def add(apps, schema_editor):
    policies = apps.get_model("userdb", "AlertPolicy").objects.using(schema_editor.connection.alias)
    for policy, threshold, note in (
        ("repeated_failures", 3, "Failures of one type in 5 minutes."),
        ("consecutive_failures", 3, "Runs of one task that failed in a row."),
    ):
        policies.get_or_create(policy=policy, tenant="*", defaults={"threshold": threshold, "note": note})


class Migration(migrations.Migration):
    dependencies = [("userdb", "0001_initial")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
