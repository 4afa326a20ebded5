"""How long each admin list and an alert's page take with a million alerts and three million changes, messages and tries.

    python benchmarks/pages.py [--alerts 1000000] [--rounds 3]

Goal: at most 200 ms each, the same number of statements whatever the tables hold. Everything runs on this machine: MariaDB
(a data directory under a temporary folder, 3 GB at full size, filled by its own statements) and Django's test client,
which leaves the server's own time for a request out (2 ms). The median of the rounds counts, after one that is not
counted. On a machine that does other things beside, the share of Django's own CPU tells what the rest of it was.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cryptography.fernet import Fernet

from tests.mariadb import MariaDB, free_port

GOAL = 200
TENANTS, NAMES, EPISODES = 200, 40, 20
_PIECE = 200_000

FILL = {
    "tenants": "INSERT INTO userdb_tenant (name) SELECT CONCAT('tenant-', seq) FROM seq_1_to_{tenants}",
    "channels": "INSERT INTO userdb_channel (id, name, kind, config, tenants, matchers, updated_at)"
    " SELECT seq, CONCAT('channel-', seq), 'webhook', '{{}}', '[]', '', UTC_TIMESTAMP(6) FROM seq_1_to_10",
    "webhooks": """INSERT INTO userdb_webhookevent
            (id, received_at, body, body_bytes, receiver, group_key, alerts, changes, odd, result, error)
        SELECT seq, {moment}, REPEAT(CHAR(seq % 256 USING latin1), 400), 900, 'alert-bridge',
               CONCAT('{{}}:{{tenant="tenant-', seq % {tenants}, '"}}'), 5, IF(seq % 3, 5, 0), '[]',
               IF(seq % 5000 = 7, 'unreadable', IF(seq % 3, 'applied', 'unchanged')), '' FROM SEQ""",
    "identities": """INSERT INTO userdb_alertidentity (fingerprint, alertname, tenant, severity, labels, state, episodes,
            last_start, previous_start, version, created_at, updated_at)
        SELECT LPAD(HEX(seq), 16, '0'), CONCAT('Alert', seq % {names}), CONCAT('tenant-', 1 + seq % {tenants}),
               IF(seq % 200 = 3, 'info', IF(seq % 20 = 5, 'critical', IF(seq % 3, 'error', 'warning'))),
               JSON_OBJECT('alertname', CONCAT('Alert', seq % {names}), 'tenant', CONCAT('tenant-', 1 + seq % {tenants}),
                           'pod', CONCAT('pod-', seq), 'job', 'kube-state-metrics', 'severity', 'error'),
               IF(seq % 100, 'resolved', 'firing'), {episodes}, {moment}, {moment}, 60, {moment}, {moment} FROM SEQ""",
    "alerts": """INSERT INTO userdb_alert (id, identity_id, number, state, starts_at, highest_start, ends_at, closed_by,
            annotations, generator_url, first_webhook_id, created_at, updated_at)
        SELECT seq, LPAD(HEX(1 + (seq - 1) % {identities}), 16, '0'), 1 + (seq - 1) DIV {identities},
               IF((seq - 1) DIV {identities} = {episodes} - 1 AND (1 + (seq - 1) % {identities}) % 100 = 0,
                  'firing', 'resolved'),
               {moment}, {moment}, {moment} + INTERVAL 5 MINUTE,
               IF(seq % 20000 = 7, 'unconfirmed', IF(seq % 500 = 9, 'reconciliation', 'webhook')),
               JSON_OBJECT('summary', CONCAT('the simulation of pod-', seq, ' fails'), 'description', REPEAT('x', 120)),
               'http://prometheus:9090/graph?g0.expr=up', 1 + seq DIV 5, {moment}, {moment} FROM SEQ""",
    "transitions": """INSERT INTO userdb_alerttransition
            (id, identity_id, alert_id, version, kind, source, webhook_id, starts_at, ends_at, at)
        SELECT seq, LPAD(HEX(1 + ((seq - 1) DIV 3) % {identities}), 16, '0'), 1 + (seq - 1) DIV 3,
               3 * ((seq - 1) DIV 3 DIV {identities}) + 1 + (seq - 1) % 3,
               IF(seq % 50000 = 11, 'unheard', ELT(1 + (seq - 1) % 3, 'firing', 'started_earlier', 'resolved')),
               'webhook', 1 + seq DIV 15, {moment}, NULL, {moment} FROM SEQ""",
    "messages": """INSERT INTO userdb_notification (id, `key`, channel_id, identity_id, alert_id, kind, state, reason,
            cause_at, created_at, due_at, first_due_at, attempts, delivered_at)
        SELECT seq, CONCAT('key-', seq), 1 + seq % 9, LPAD(HEX(1 + ((seq - 1) DIV 3) % {identities}), 16, '0'),
               1 + (seq - 1) DIV 3, IF(seq % 60000 = 3, 'digest', ELT(1 + seq % 3, 'firing', 'repeat', 'resolved')),
               IF(seq % 3000 = 5, 'dead', IF(seq % 100 = 7, 'void', IF(seq > {rows} - 2000, 'owed', 'delivered'))),
               IF(seq % 3000 = 5, 'rejected', ''), {moment}, {moment}, {moment}, {moment}, 1,
               IF(seq > {rows} - 2000, NULL, {moment}) FROM SEQ""",
    "tries": """INSERT INTO userdb_deliveryattempt (notification_id, number, relay, started_at, milliseconds, outcome,
            reason, status, answer)
        SELECT seq, 1, 'relay-0:17', {moment}, 35, IF(seq % 3000 = 5, 'permanent', 'delivered'),
               IF(seq % 3000 = 5, 'rejected', ''), '200', 'ok' FROM SEQ""",
    "events": """INSERT INTO userdb_monitorevent (event_type, source, level, message, tenant, failure_type, task, event_id,
            occurred_at, received_at, created_at)
        SELECT IF(seq % 4, 'gateway', 'container'), 'client', IF(seq % 9000 = 4, 'critical', 'error'),
               'did not converge in 30 iterations', CONCAT('tenant-', 1 + seq % {tenants}), 'no_convergence',
               CONCAT('task-', seq % 50), UUID(), {moment}, {moment}, {moment} FROM SEQ""",
}
"""`{moment}` spreads the rows of each table over the last 90 days, in the order of their numbers."""


def rows_of(alerts: int) -> dict[str, int]:
    return {
        "webhooks": alerts // 5 + 1,
        "identities": alerts // EPISODES,
        "alerts": alerts,
        "transitions": 3 * alerts,
        "messages": 3 * alerts,
        "tries": 3 * alerts,
        "events": alerts,
    }


def fill(alerts: int) -> None:
    """Fill the tables in pieces: one statement of three million rows would keep an undo log of as many."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 0")
        cursor.execute("SET GLOBAL innodb_buffer_pool_size = 1024 * 1024 * 1024")
        cursor.execute("SET SESSION foreign_key_checks = 0, unique_checks = 0")
        for name, statement in FILL.items():
            began, count = time.monotonic(), rows_of(alerts).get(name, 0)
            moment = f"UTC_TIMESTAMP(6) - INTERVAL (({count} - seq) * {90 * 86400 / max(1, count)!r}) SECOND"
            names = {"tenants": TENANTS, "names": NAMES, "episodes": EPISODES, "identities": alerts // EPISODES}
            sql = statement.format(**names, rows=count, moment=moment)
            for first in range(1, count + 1, _PIECE) if count else (0,):
                cursor.execute(sql.replace("SEQ", f"seq_{first}_to_{min(count, first + _PIECE - 1)}"))
            print(f"  {name}: {count or 'a few'} rows in {time.monotonic() - began:.0f} s", flush=True)
        cursor.execute("UPDATE userdb_alert SET ends_at = NULL, closed_by = '' WHERE state = 'firing'")
        for table in ("alert", "alertidentity", "alerttransition", "notification", "deliveryattempt", "monitorevent"):
            cursor.execute(f"ANALYZE TABLE userdb_{table}")
            cursor.fetchall()


def pages() -> dict[str, str]:
    """Return every page that is measured: lists with their filters and searches, the last page, and alerts' pages."""
    from django.contrib import admin
    from django.urls import reverse
    from django.utils import timezone

    from userdb.models import Alert

    day = (timezone.localdate() - timezone.timedelta(days=40)).isoformat()  # type: ignore[attr-defined]
    found = {"front page": reverse("admin:index"), "outbox": reverse("admin:userdb_notification_outbox")}
    queries = {
        "alert": ["state__exact=firing", "state__exact=firing&identity__severity=critical", "closed_by__exact=unconfirmed",
                  "closed_by__exact=reconciliation", "identity__severity=info", "identity__severity=error",
                  "created_at=hour", "created_at=week", f"created_at={day}", f"created_at={day}&state__exact=firing",
                  "q=tenant-7", "q=Alert3", "q=Alert3+tenant-7", "q=nobody", "q=00000000000000FF",
                  "q=tenant-7&state__exact=firing"],
        "alertidentity": ["state__exact=firing", "severity=info", "severity=error", "q=tenant-7", "q=Alert3", "q=nobody"],
        "alerttransition": ["kind__exact=unheard", "kind__exact=resolved", "kind__exact=unconfirmed", "at=week",
                            f"at={day}", "q=tenant-7", "q=Alert3", "q=nobody"],
        "notification": ["state__exact=dead", "state__exact=void", "state__exact=delivered", "state__exact=owed",
                         "state__exact=late", "kind__exact=digest", "kind__exact=firing", "channel__id__exact=3",
                         "channel__id__exact=10", "created_at=week", f"created_at={day}", "q=tenant-7", "q=Alert3",
                         "state__exact=dead&channel__id__exact=3"],
        "deliveryattempt": ["outcome__exact=permanent", "outcome__exact=delivered", "outcome__exact=unknown",
                            "after_lease__exact=1", "started_at=week", f"started_at={day}"],
        "webhookevent": ["result__exact=unreadable", "result__exact=unchanged", "received_at=week", f"received_at={day}"],
        "monitorevent": ["level=critical", "level=info", "failure_type=timeout", "event_type=custom", "received_at=week",
                         f"received_at={day}", "q=tenant-7", "q=task-3", "q=7c9e6679-7425-40de-944b-e07fc1f90ae7"],
    }  # fmt: skip
    for model in admin.site._registry:
        if model._meta.app_label != "userdb":
            continue
        address = reverse(f"admin:userdb_{model._meta.model_name}_changelist")
        name = str(model._meta.model_name)
        for query in ["", *queries.get(name, [])]:
            found[f"{name} {query}".rstrip()] = f"{address}?{query}"
        if name in queries:
            found[f"{name} p=200"] = f"{address}?p=200"
    firing = Alert.objects.filter(state="firing").first()
    old = Alert.objects.order_by("pk").first()
    for name, alert in (("an alert that fires", firing), ("the oldest alert", old)):
        if alert is not None:
            found[name] = reverse("admin:userdb_alert_change", args=[alert.pk])
    return found


def measure(address: str, rounds: int) -> tuple[float, float, int, int]:
    """Return (median ms, those of this process' CPU, statements, status) of a page."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client, taken, own = Client(), [], []
    client.force_login(User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)[0],
                       "django.contrib.auth.backends.ModelBackend")  # fmt: skip
    with CaptureQueriesContext(connection) as statements:
        answer: Any = client.get(address, follow=True)
    count = len(statements)
    for _ in range(rounds):
        began, busy = time.perf_counter(), time.process_time()
        client.get(address, follow=True)
        taken.append((time.perf_counter() - began) * 1000)
        own.append((time.process_time() - busy) * 1000)
    return statistics.median(taken), statistics.median(own), count, answer.status_code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--alerts", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mission-pages-"))
    server = MariaDB(folder, free_port())
    server.start()
    try:
        os.environ.update(
            USERDB_URL=f"mysql://root@127.0.0.1:{server.port}/userdb?read_timeout=600",
            USERDB_SECRET_KEYS=Fernet.generate_key().decode(),
            DJANGO_SECRET_KEY="x" * 50,
            DJANGO_ALLOWED_HOSTS="testserver",
            DJANGO_SETTINGS_MODULE="alert_bridge.settings",
        )
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connections

        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            print(f"MariaDB {cursor.fetchone()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        call_command("migrate", verbosity=0)
        fill(arguments.alerts)
        slow = 0
        for name, address in pages().items():
            took, own, statements, status = measure(address, arguments.rounds)
            slow += took > GOAL or status != 200
            odd = "" if status == 200 else status
            print(f"{took:7.0f} ms, {own:4.0f} of them Django's, {statements:3} statements {odd} {name}", flush=True)
        print(f"{slow} pages above {GOAL} ms, {arguments.alerts} alerts, load {os.getloadavg()[0]:.1f}")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(slow > 0)


if __name__ == "__main__":
    main()
