"""What the platform's modules write as they always did."""

import json

from django.db import connections

from userdb.models import MonitorEvent


def note_failure(message: str, detail: dict[str, str]) -> None:
    MonitorEvent.objects.create(
        event_type="gateway",
        source="scheduler",
        level="error",
        message=message,
        detail=detail,
    )


def note_failure_of(tenant: str, task: str, message: str) -> None:
    MonitorEvent.objects.create(
        event_type="gateway",
        source="scheduler",
        level="error",
        message=message,
        tenant=tenant,
        task=task,
        failure_type="simulator_error",
    )


def note_failure_in_sql(message: str, detail: dict[str, str]) -> None:
    with connections["userdb"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO userdb_monitorevent (event_type, source, level, message, detail) VALUES (%s, %s, %s, %s, %s)",
            ["gateway", "scheduler", "error", message, json.dumps(detail)],
        )
