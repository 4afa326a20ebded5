"""The ceiling of intake: a bare Django view that parses a webhook and inserts its alerts, and keeps nothing else.

    python benchmarks/ceiling.py PORT

No token, raw body, episodes, transitions, notifications, odd entries or reruns: one `bulk_create(update_conflicts)` and 200.
Served as the bridge is, by waitress with 16 threads. USERDB_URL names the database; `make_table` makes its one table.
Started by `intake.py`.
"""

import json
import os
import sys
from typing import Any

import dj_database_url
import django
from django.conf import settings

settings.configure(
    DATABASES={"default": dj_database_url.parse(os.environ["USERDB_URL"]) | {"CONN_MAX_AGE": None}},
    ALLOWED_HOSTS=["*"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    MIDDLEWARE=[],
    ROOT_URLCONF="ceiling",
    SECRET_KEY="of-the-ceiling",  # noqa: S106
    USE_TZ=True,
)
sys.modules["ceiling"] = sys.modules[__name__]
django.setup()

import waitress  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402


class CeilingAlert(models.Model):
    fingerprint = models.CharField(max_length=64, unique=True)
    status = models.CharField(max_length=16)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    labels = models.JSONField()
    annotations = models.JSONField()
    generator_url = models.TextField()

    class Meta:
        app_label = "ceiling"

    def __str__(self) -> str:
        return self.fingerprint


CHANGING = ["status", "starts_at", "ends_at", "labels", "annotations", "generator_url"]


def make_table() -> None:
    with connection.schema_editor() as editor:
        editor.create_model(CeilingAlert)


def _row(entry: dict[str, Any]) -> CeilingAlert:
    return CeilingAlert(
        fingerprint=entry["fingerprint"], status=entry["status"], labels=entry["labels"], generator_url=entry["generatorURL"],
        starts_at=entry["startsAt"], annotations=entry["annotations"],
        ends_at=None if entry["status"] == "firing" else entry["endsAt"],
    )  # fmt: skip


def receive(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return HttpResponse("ok\n")
    rows = [_row(entry) for entry in json.loads(request.body)["alerts"]]
    CeilingAlert.objects.bulk_create(rows, update_conflicts=True, update_fields=CHANGING)
    answer = JsonResponse({"alerts": len(rows)})
    answer["Content-Length"] = str(len(answer.content))  # else waitress answers in chunks
    return answer


urlpatterns = [path("webhooks/alertmanager", receive)]

if __name__ == "__main__":
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None
    make_table() if sys.argv[1] == "make-table" else waitress.serve(
        get_wsgi_application(), host="127.0.0.1", port=int(sys.argv[1]), threads=16, connection_limit=1000, backlog=1024,
        inbuf_overflow=8 * 1024 * 1024, ident=None, _quiet=True,
    )  # fmt: skip
