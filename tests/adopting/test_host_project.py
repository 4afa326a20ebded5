"""A host project that took the steps of docs/adopting.md: its tables, its calls of old, its requests, its reports."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.adopting.conftest import Platform, Site

pytestmark = pytest.mark.processes

EVENT = "from userdb.models import MonitorEvent; e = MonitorEvent.objects.latest('id'); "


def test_userdbs_tables_are_in_userdb_alone(platform: Platform) -> None:
    assert not {name for name in platform.tables("default") if name.startswith("userdb_")}
    assert "auth_user" in platform.tables("default")
    ours = platform.tables("userdb")
    assert {name for name in ours if not name.startswith("userdb_")} == {"django_migrations"}
    assert "userdb_monitorevent" in ours


def test_its_checks_pass(platform: Platform) -> None:
    said = platform.manage("check", "--database", "default", "--database", "userdb", "--fail-level=WARNING")
    assert "no issues" in said


def test_no_migration_is_missing(platform: Platform) -> None:
    assert "No changes detected" in platform.manage("makemigrations", "--check", "--dry-run")


def test_its_own_tests_run(platform: Platform) -> None:
    assert "OK" in platform.manage("test", "--no-input")


def test_a_row_of_old_is_written_unchanged(platform: Platform) -> None:
    said = platform.python(
        "from monitoring.events import note_failure\n"
        f"note_failure('did not converge', {{'case': 'ieee13'}}); {EVENT}"
        "print(e.event_type, e.source, e.level, e.tenant, e.message, e.detail)"
    )
    assert said == "gateway scheduler error unknown did not converge {'case': 'ieee13'}"


def test_a_row_in_plain_sql_is_written_with_utc_times(platform: Platform) -> None:
    said = platform.python(
        "from datetime import UTC, datetime; from monitoring.events import note_failure_in_sql\n"
        f"note_failure_in_sql('in SQL', {{'case': '测试'}}); {EVENT}"
        "age = datetime.now(UTC) - e.created_at\n"
        "print(e.message, e.detail['case'], abs(age.total_seconds()) < 60, e.created_at == e.received_at)"
    )
    assert said == "in SQL 测试 True True"


def test_a_row_may_name_its_tenant_and_failure(platform: Platform) -> None:
    said = platform.python(
        "from monitoring.events import note_failure_of\n"
        f"note_failure_of('alpha', 'flow', 'diverged'); {EVENT} print(e.tenant, e.task, e.failure_type)"
    )
    assert said == "alpha flow simulator_error"


def test_a_row_survives_the_rollback_of_the_hosts_own_transaction(platform: Platform) -> None:
    said = platform.python(
        "from django.db import transaction; from monitoring.events import note_failure\n"
        "with transaction.atomic():\n"
        "    note_failure('kept', {}); transaction.set_rollback(True)\n"
        f"{EVENT} print(e.message)"
    )
    assert said == "kept"


def test_a_change_of_a_containers_health_is_an_event(platform: Platform, pod: str) -> None:
    said = platform.python(
        "from route_management.container_health import check; from userdb.models import MonitorEvent\n"
        "before = MonitorEvent.objects.count()\n"
        f"for url in ('http://127.0.0.1:1', 'http://127.0.0.1:1', {pod!r}): check('alpha', 'alpha-0', url)\n"
        "rows = MonitorEvent.objects.order_by('id')[before:]\n"
        "print(*[(e.event_type, e.tenant, e.level, e.message) for e in rows], sep='\\n')"
    )
    assert said.splitlines() == [
        "('container', 'alpha', 'error', 'alpha-0 does not answer')",
        "('container', 'alpha', 'info', 'alpha-0 answers again')",
    ]


def test_its_pages_change_a_threshold_and_leave_a_trace(platform: Platform) -> None:
    said = platform.python(
        "from monitoring.thresholds import change; from userdb.models import AlertPolicy, AuditEntry\n"
        "change('repeated_failures', 'alpha', 5, 'zhang'); change('repeated_failures', 'alpha', 7, 'zhang')\n"
        "rows = AlertPolicy.objects.filter(policy='repeated_failures').order_by('tenant')\n"
        "print([(r.tenant, r.threshold) for r in rows])\n"
        "print([(a.by, a.action, a.new['threshold']) for a in AuditEntry.objects.order_by('id')])\n"
    )
    assert said.splitlines() == ["[('*', 3.0), ('alpha', 7.0)]", "[('zhang', 'add', 5), ('zhang', 'change', 7)]"]


@pytest.mark.parametrize(
    ("path", "status", "code", "tenant"),
    [
        ("/pods/alpha/run", 200, "2xx", "alpha"),
        ("/pods/alpha/missing", 404, "4xx", "alpha"),
        ("/pods/nobody/run", 200, "2xx", "unknown"),
    ],
)
def test_requests_through_its_gateway_are_counted_by_tenant(
    site: Site, path: str, status: int, code: str, tenant: str
) -> None:
    series = f'mission_gateway_requests_total{{code="{code}",tenant="{tenant}"}}'
    before = site.sample(series)
    assert site.get(path) == status
    assert site.sample(series) == before + 1


def test_a_pod_that_is_gone_is_a_failed_request(site: Site) -> None:
    assert site.get("/pods/beta/run") == 502
    assert site.sample('mission_gateway_request_failures_total{reason="refused",tenant="beta"}') == 1


def post(url: str, body: dict[str, Any], token: str = "") -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


EXCEPTION = {
    "container_id": "4f6a", "service_name": "power-flow", "exception_type": "SolverError",
    "exception_message": "did not converge", "severity": "critical", "timestamp": "2026-01-05T09:00:00", "source": "runner",
}  # fmt: skip


def test_a_report_of_old_is_taken_at_its_path_of_old(platform: Platform, site: Site) -> None:
    token = platform.token()
    url = f"{site.url}/api/exceptions/report/"
    assert post(url, {"exceptions": [EXCEPTION]}, token) == (200, {"accepted": 1, "duplicates": 0, "rejected": []})
    assert post(url, {"exceptions": [EXCEPTION]}, token) == (200, {"accepted": 0, "duplicates": 1, "rejected": []})
    said = platform.python(f"{EVENT} print(e.tenant, e.task, e.failure_type, e.level, e.source, e.message)")
    assert said == "alpha power-flow exception critical runner SolverError: did not converge"
    assert site.sample('mission_reports_received_total{result="accepted",tenant="alpha"}') == 1


def test_a_report_without_a_token_is_refused(site: Site) -> None:
    assert post(f"{site.url}/api/exceptions/report/", {"exceptions": [EXCEPTION]})[0] == 401


def test_a_token_made_by_the_command_on_the_hosts_settings_is_taken(platform: Platform, site: Site) -> None:
    script = "from exporters.route_management.cli import main; main()"
    done = platform.run("-c", script, "token", "create", "beta")
    assert done.returncode == 0, done.stderr
    body = {"exceptions": [EXCEPTION]}
    assert post(f"{site.url}/api/exceptions/report/", body, done.stdout.strip())[1]["accepted"] == 1


ADMIN = (
    "from django.contrib.auth.models import User; from django.test import Client\n"
    "client = Client(headers={'Host': '127.0.0.1'})\n"
    "client.force_login(User.objects.get_or_create(username='zhang', is_staff=True, is_superuser=True)[0])\n"
)


def test_userdbs_pages_open_in_the_hosts_own_admin(platform: Platform) -> None:
    said = platform.python(
        f"{ADMIN}"
        "pages = ('monitorevent', 'tenant', 'reportertoken', 'alertpolicy', 'auditentry', 'alert', 'notification')\n"
        "print({client.get(f'/admin/userdb/{page}/').status_code for page in pages})\n"
        "data = {'name': 'gamma', 'title': '', 'enabled': 'on', 'tokens-TOTAL_FORMS': 0, 'tokens-INITIAL_FORMS': 0}\n"
        "print(client.post('/admin/userdb/tenant/add/', data).status_code)\n"
        "from userdb.models import AuditEntry; print(AuditEntry.objects.latest('id').name)"
    )
    assert said.splitlines() == ["{200}", "302", "gamma"]


def test_a_policy_of_its_own_is_offered_once_it_has_a_row(platform: Platform) -> None:
    page = "client.get('/admin/userdb/alertpolicy/add/').content"
    said = platform.python(
        f"{ADMIN}from monitoring.thresholds import change\n"
        f"print(b'container_errors' in {page})\n"
        f"change('container_errors', '*', 2, 'zhang'); print(b'container_errors' in {page})"
    )
    assert said.splitlines() == ["False", "True"]
