"""The thresholds of the policies that came with the first release, as those before them: what the rules' builtins say."""

from django.db import migrations


def add(apps, schema_editor):
    policies = apps.get_model("userdb", "AlertPolicy").objects.using(schema_editor.connection.alias)
    for policy, threshold, note in (
        ("failing_share", 0.5, "Share of a tenant's runs that failed, of at least 10 in 15 minutes."),
        ("no_success", 259200, "Seconds since a tenant's last successful run: three days, so that a weekend is none."),
        ("run_stuck", 14400, "Seconds that a run of a task has been under way."),
        ("late_events", 10, "Events of a tenant in an hour that came more than 5 minutes late."),
        ("request_errors", 0.05, "Share of a tenant's requests that failed, of at least 20 in 5 minutes."),
        ("request_timeouts", 5, "Requests that timed out in 5 minutes."),
        ("request_auth_failures", 10, "Requests refused for their credentials in 5 minutes."),
        ("request_latency", 0.3, "Seconds that the slowest 1 % of the requests of 5 minutes took."),
        ("container_cpu", 0.9, "Share of a container's CPU limit."),
        ("container_memory", 0.9, "Share of a container's memory limit."),
        ("container_rising", 0.8, "Share of a limit, while it rises over an hour."),
        ("container_restarts", 3, "Restarts of a container in 10 minutes."),
        ("container_not_ready", 300, "Seconds that a pod has not been ready."),
        ("container_pending", 300, "Seconds that a pod has been pending."),
        ("container_terminating", 600, "Seconds since a pod was to be gone."),
    ):
        policies.get_or_create(policy=policy, tenant="*", defaults={"threshold": threshold, "note": note})


class Migration(migrations.Migration):
    dependencies = [("userdb", "0004_bridge_in_depth")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
