"""The thresholds that hold before an admin has changed any: what the rules' builtins say."""

from django.db import migrations


def add(apps, schema_editor):
    policies = apps.get_model("userdb", "AlertPolicy").objects.using(schema_editor.connection.alias)
    policies.get_or_create(
        policy="repeated_failures",
        tenant="*",
        defaults={"threshold": 3, "note": "Failures of one type in 5 minutes."},
    )


class Migration(migrations.Migration):
    dependencies = [("userdb", "0001_initial")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
