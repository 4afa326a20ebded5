"""What Grafana's database user may read on a real MariaDB: every view, and no table; and no secret is in any view."""

# ruff: noqa: S608  (names of views and tables are put in)

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connections

from tests import settings
from tests.grafana.questions import ROOT
from userdb.models import (
    Alert,
    AlertIdentity,
    AuditEntry,
    Channel,
    DeliveryAttempt,
    Notification,
    WebhookEvent,
)

pytestmark = [pytest.mark.mysql, pytest.mark.skipif(not settings.WITH_MYSQL, reason="USERDB=sqlite")]
committed = pytest.mark.django_db(transaction=True, databases="__all__")
"""Rows that another user's connection can see."""

GRANTS = (ROOT / "grafana" / "grants.sql").read_text()
GRANTED = re.findall(r"GRANT SELECT ON (\w+)", GRANTS)
PASSWORD = "of-the-tests"
SECRET = "hunter2-of-a-channel"
DENIED = 1142
"""MySQL's number for a table that a user may not touch."""
NOW = datetime.now(UTC)


def connect(user: str, password: str = "") -> Any:
    import MySQLdb

    name = connections["mysql"].settings_dict["NAME"]
    return MySQLdb.connect(
        host="127.0.0.1", port=settings.MYSQL_PORT, user=user, password=password, database=name, charset="utf8mb4"
    )


@pytest.fixture
def grafana(django_db_setup: None) -> Iterator[Any]:
    """Return a cursor of the user `grafana`, made as docs/grafana.md says."""
    with closing(connect("root")) as root:
        cursor = root.cursor()
        cursor.execute("DROP USER IF EXISTS 'grafana'@'%%'")
        cursor.execute(f"CREATE USER 'grafana'@'%' IDENTIFIED BY '{PASSWORD}'")
        for statement in re.sub(r"--.*", "", GRANTS).split(";"):
            if statement.strip():
                cursor.execute(statement)
        with closing(connect("grafana", PASSWORD)) as connection:
            connection.cursor().execute("SET time_zone = '+00:00'")
            yield connection.cursor()
        cursor.execute("DROP USER 'grafana'@'%'")


def rows(cursor: Any, view: str) -> list[dict[str, Any]]:
    cursor.execute(f"SELECT * FROM {view}")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.fixture
def told(grafana: Any, transactional_db: None, settings: Any) -> Alert:
    """An alert that was told after 2.5 s, whose channel has a secret; the destination gave it back in its answer."""
    settings.USERDB_ALIAS = "mysql"
    channel = Channel(name="ops", kind="webhook", config={"url": f"https://x/{SECRET}"}, matchers=f'x="{SECRET}"')
    channel.secrets = {"secret": SECRET}
    channel.save()
    labels = {"alertname": "TenantDown", "policy": "down", "tenant": "alpha"}
    identity = AlertIdentity.objects.create(
        fingerprint="f1", alertname="TenantDown", tenant="alpha", severity="critical", labels=labels, state="firing"
    )
    annotations = {"summary": "alpha is down", "runbook_url": "https://runbooks/TenantDown.md"}
    alert = Alert.objects.create(
        identity=identity, number=1, state="firing", starts_at=NOW, highest_start=NOW, annotations=annotations
    )
    notification = Notification.objects.create(
        key="k", channel=channel, identity=identity, alert=alert, kind="firing", state="delivered", cause_at=NOW,
        delivered_at=NOW + timedelta(seconds=2.5),
    )  # fmt: skip
    DeliveryAttempt.objects.create(
        notification=notification, number=1, relay="r", outcome="delivered", status="200", answer=f"thanks for {SECRET}"
    )
    WebhookEvent.objects.create(body=SECRET.encode(), body_bytes=20, result="applied", odd=[{"index": 0}])
    return alert


@pytest.mark.parametrize("view", GRANTED)
def test_the_user_reads_each_view(grafana: Any, view: str) -> None:
    assert isinstance(rows(grafana, view), list)


@pytest.mark.django_db(databases="__all__")
def test_every_view_is_granted_and_nothing_else() -> None:
    with connections["mysql"].cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.views WHERE table_schema = DATABASE()")
        assert sorted(name for (name,) in cursor.fetchall()) == sorted(GRANTED)


@pytest.mark.parametrize("table", sorted(model._meta.db_table for model in apps.get_models()))
def test_the_user_is_refused_on_each_table(grafana: Any, table: str) -> None:
    import MySQLdb

    with pytest.raises(MySQLdb.OperationalError) as refused:
        grafana.execute(f"SELECT * FROM {table}")
    assert refused.value.args[0] == DENIED


@pytest.mark.parametrize("statement", ["DELETE FROM grafana_tenants", "UPDATE grafana_policies SET threshold = 0"])
def test_the_user_can_change_nothing_through_a_view(grafana: Any, statement: str) -> None:
    import MySQLdb

    with pytest.raises(MySQLdb.OperationalError) as refused:
        grafana.execute(statement)
    assert refused.value.args[0] == DENIED


@committed
def test_no_secret_is_in_a_view(grafana: Any, told: Alert) -> None:
    found = {view: rows(grafana, view) for view in GRANTED}
    assert {view for view in found if found[view]} >= {"grafana_channels", "grafana_attempts", "grafana_webhooks"}
    assert SECRET not in str(found)
    columns = {name for lines in found.values() for line in lines for name in line}
    assert not {"config", "secret_token", "matchers", "hash", "body", "answer", "detail"} & columns


@committed
def test_an_alert_is_shown_with_its_words_and_whose_it_is(grafana: Any, told: Alert) -> None:
    (row,) = rows(grafana, "grafana_alerts")
    assert row["alert_id"] == told.pk
    assert (row["tenant"], row["summary"], row["policy"]) == ("alpha", "alpha is down", "down")
    assert row["runbook_url"] == "https://runbooks/TenantDown.md"
    assert row["starts_at"].replace(tzinfo=UTC) == NOW


@committed
def test_an_alert_of_the_chain_itself_has_no_tenant(grafana: Any, told: Alert) -> None:
    AlertIdentity.objects.update(tenant="")
    assert rows(grafana, "grafana_alerts")[0]["tenant"] == "no tenant"


@committed
def test_the_time_to_notify_is_in_seconds(grafana: Any, told: Alert) -> None:
    (row,) = rows(grafana, "grafana_notifications")
    assert (float(row["seconds"]), row["channel"]) == (2.5, "ops")


@committed
def test_a_digest_is_shown_though_it_has_no_alert(grafana: Any, told: Alert) -> None:
    Notification.objects.create(key="d", channel=Channel.objects.get(), kind="digest")
    assert [row["alert_id"] for row in rows(grafana, "grafana_notifications")] == [told.pk, None]


@committed
def test_of_what_people_changed_a_threshold_is_shown_and_a_channels_settings_are_not(grafana: Any, told: Alert) -> None:
    common = {"by": "ada", "action": "change", "object_id": "1", "name": "n"}
    AuditEntry.objects.create(kind="alertpolicy", old={"threshold": 3.0}, new={"threshold": 5.0}, **common)
    AuditEntry.objects.create(kind="channel", old={"config": SECRET}, new={"threshold": SECRET}, **common)
    changes = rows(grafana, "grafana_changes")
    assert [(float(row["old_threshold"]), float(row["new_threshold"])) for row in changes[:1]] == [(3.0, 5.0)]
    assert (changes[1]["old_threshold"], changes[1]["new_threshold"]) == (None, None)


@committed
def test_a_view_is_merged_into_its_question_and_uses_the_tables_index(grafana: Any, told: Alert) -> None:
    with closing(connect("root")) as root:
        cursor = root.cursor()
        cursor.execute("EXPLAIN SELECT * FROM grafana_notifications n WHERE n.alert_id = %s", (told.pk,))
        plan = str(cursor.fetchall())
    assert "notification_of_episode" in plan
    assert "DERIVED" not in plan
