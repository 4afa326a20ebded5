"""Configuration is edited by who may; each edit leaves an audit entry with the old and the new, or nothing at all."""

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.test import Client

from userdb import audit, tokens
from userdb.models import AlertPolicy, AuditEntry, MaintenanceWindow, ReporterToken, Tenant

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

POLICIES, TENANTS, TOKENS = (f"/admin/userdb/{name}/" for name in ("alertpolicy", "tenant", "reportertoken"))
POLICY = {"policy": "repeated_failures", "tenant": "alpha", "threshold": "5", "note": ""}

NO_INLINES = {"tokens-TOTAL_FORMS": "0", "tokens-INITIAL_FORMS": "0"}


@pytest.fixture
def alice(client: Client) -> Client:
    """A member of the staff who may edit configuration, and is no superuser."""
    user = User.objects.create_user("alice", is_staff=True)
    wanted = re.compile(r"^(add|change|delete|view)_(alertpolicy|tenant|reportertoken)$")
    user.user_permissions.set(p for p in Permission.objects.all() if wanted.match(p.codename))
    client.force_login(user)
    return client


@pytest.fixture
def alpha(vendor: str) -> Tenant:
    return Tenant.objects.create(name="alpha")


@pytest.fixture
def token(alpha: Tenant) -> ReporterToken:
    return tokens.create(alpha, "tests")[1]


def entry(**which: Any) -> AuditEntry:
    return AuditEntry.objects.get(**which)


def errors(answer: Any) -> str:
    return html.unescape(answer.context["adminform"].form.errors.as_text())


def test_a_policy_is_added(alice: Client, alpha: Tenant) -> None:
    alice.post(f"{POLICIES}add/", POLICY)
    policy = AlertPolicy.objects.get(tenant="alpha")
    assert (policy.threshold, policy.updated_by) == (5, "alice")
    made = entry(action="add")
    assert (made.by, made.kind, made.object_id, made.old) == ("alice", "alertpolicy", str(policy.pk), None)
    assert (made.new["tenant"], made.new["threshold"]) == ("alpha", 5)


def test_a_change_is_kept_as_what_differs(alice: Client) -> None:
    policy = AlertPolicy.objects.get(policy="repeated_failures", tenant="*")
    alice.post(f"{POLICIES}{policy.pk}/change/", POLICY | {"tenant": "*", "threshold": "7", "note": policy.note})
    made = entry(action="change")
    assert (made.old["threshold"], made.new["threshold"]) == (3, 7)
    assert set(made.new) == {"threshold", "updated_at", "updated_by"}


def test_a_deletion_keeps_the_old(alice: Client) -> None:
    policy = AlertPolicy.objects.get(policy="repeated_failures", tenant="*")
    alice.post(f"{POLICIES}{policy.pk}/delete/", {"post": "yes"})
    made = entry(action="delete")
    assert (made.old["threshold"], made.new) == (3, None)


def test_each_of_a_bulk_deletion_is_audited(alice: Client) -> None:
    keys = list(AlertPolicy.objects.values_list("pk", flat=True))
    alice.post(POLICIES, {"action": "delete_selected", "_selected_action": keys, "post": "yes"})
    assert not AlertPolicy.objects.exists()
    assert set(AuditEntry.objects.values_list("action", "object_id")) == {("delete", str(key)) for key in keys}


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("policy", "made_up", "made_up is not one of the available choices"),
        ("policy", "", "This field is required"),
        ("tenant", "nobody", "There is no tenant 'nobody'"),
        ("tenant", "Alpha", "There is no tenant 'Alpha'"),
        ("tenant", "unknown", "There is no tenant 'unknown'"),
        ("threshold", "nan", "Enter a number"),
        ("threshold", "inf", "Enter a number"),
        ("threshold", "many", "Enter a number"),
        ("note", "x" * 201, "at most 200 characters"),
    ],
)
def test_a_policy_that_would_do_nothing_is_refused(
    alice: Client, alpha: Tenant, field: str, value: str, text: str
) -> None:
    before = AlertPolicy.objects.count()
    assert text in errors(alice.post(f"{POLICIES}add/", POLICY | {field: value}))
    assert (AlertPolicy.objects.count(), AuditEntry.objects.count()) == (before, 0)


def test_one_policy_of_a_tenant_is_one(alice: Client, alpha: Tenant) -> None:
    alice.post(f"{POLICIES}add/", POLICY)
    assert "already exists" in errors(alice.post(f"{POLICIES}add/", POLICY))


def test_an_edit_whose_audit_fails_is_no_edit(client: Client, alpha: Tenant, token: ReporterToken) -> None:
    """In one transaction: an entry that can't be written (its `by` ends in white space) takes the edit with it."""
    client.force_login(User.objects.create_superuser("eve "))
    client.raise_request_exception = False
    before = set(AlertPolicy.objects.values_list("pk", "threshold"))
    assert client.post(f"{POLICIES}add/", POLICY).status_code == 500
    keys = list(AlertPolicy.objects.values_list("pk", flat=True))
    assert (
        client.post(POLICIES, {"action": "delete_selected", "_selected_action": keys, "post": "yes"}).status_code == 500
    )
    assert revoke(client, token).status_code == 500
    assert ReporterToken.objects.get().revoked_at is None
    assert set(AlertPolicy.objects.values_list("pk", "threshold")) == before


def test_a_tenant_is_added_and_switched_off(alice: Client) -> None:
    alice.post(f"{TENANTS}add/", {"name": "beta", "title": "", "enabled": "on", **NO_INLINES})
    tenant = Tenant.objects.get(name="beta")
    alice.post(f"{TENANTS}{tenant.pk}/change/", {"title": "B Ltd", **NO_INLINES})
    tenant.refresh_from_db()
    assert not tenant.enabled
    assert entry(action="change").old == {"enabled": True, "title": ""}
    assert entry(action="change").new == {"enabled": False, "title": "B Ltd"}


def test_a_tenants_name_is_for_good(alice: Client, alpha: Tenant) -> None:
    alice.post(f"{TENANTS}{alpha.pk}/change/", {"name": "other-name", "title": "x", "enabled": "on", **NO_INLINES})
    assert (Tenant.objects.get().name, Tenant.objects.get().title) == ("alpha", "x")


@pytest.mark.parametrize("name", ["unknown", "Team-A", "a b"])
def test_a_name_that_is_no_tenants_is_refused(alice: Client, name: str) -> None:
    answer = alice.post(f"{TENANTS}add/", {"name": name, "enabled": "on"})
    assert "No tenant may be called" in errors(answer) or "is a DNS label" in errors(answer)


def test_a_tenant_that_has_tokens_is_not_deleted(alice: Client, token: ReporterToken) -> None:
    alice.post(f"{TENANTS}{token.tenant_id}/delete/", {"post": "yes"})
    assert Tenant.objects.exists()
    assert ReporterToken.objects.exists()


def test_a_token_is_shown_once_and_never_again(alice: Client, alpha: Tenant) -> None:
    answer = alice.post(f"{TOKENS}add/", {"tenant": alpha.pk, "note": "first"})
    found = re.search(r"mm_[\w-]{43}", answer.content.decode())
    assert found
    row = ReporterToken.objects.get()
    assert (row.hash, row.hint) == (tokens.digest(found[0]), found[0][:9])
    assert "no-store" in answer["Cache-Control"]
    assert not alice.cookies.get("messages")
    paths = [
        TOKENS,
        f"{TOKENS}{row.pk}/change/",
        f"{TOKENS}{row.pk}/history/",
        f"{TENANTS}{alpha.pk}/change/",
        "/admin/",
    ]
    for path in paths:
        assert found[0] not in alice.get(path).content.decode()
    assert found[0] not in str(list(AuditEntry.objects.values()))
    assert row.hash not in str(list(AuditEntry.objects.values()))


def test_a_token_is_audited_under_its_first_characters(alice: Client, alpha: Tenant) -> None:
    alice.post(f"{TOKENS}add/", {"tenant": alpha.pk, "note": "first"})
    made = entry(action="add", kind="reportertoken")
    assert made.new["hint"] == ReporterToken.objects.get().hint
    assert made.new["created_by"] == "alice"


def test_a_token_may_get_an_end(alice: Client, token: ReporterToken) -> None:
    ends = {"expires_at_0": "2027-01-01", "expires_at_1": "08:00:00"}
    alice.post(f"{TOKENS}{token.pk}/change/", {"note": "until new year", **ends})
    token.refresh_from_db()
    assert token.expires_at == datetime(2027, 1, 1, tzinfo=UTC)  # the page is in +08:00
    assert entry(action="change").new["expires_at"].startswith("2027-01-01T00:00:00")


def test_revoking_asks_first(alice: Client, token: ReporterToken) -> None:
    answer = alice.post(TOKENS, {"action": "revoke", "_selected_action": [token.pk]})
    assert str(token) in answer.content.decode()
    token.refresh_from_db()
    assert token.revoked_at is None


def revoke(client: Client, *rows: ReporterToken) -> Any:
    chosen = {"action": "revoke", "_selected_action": [row.pk for row in rows], "confirmed": "Revoke"}
    return client.post(TOKENS, chosen, follow=True)


def test_a_revoked_token_is_revoked_and_audited(alice: Client, token: ReporterToken) -> None:
    answer = revoke(alice, token)
    assert "1 tokens revoked" in answer.content.decode()
    token.refresh_from_db()
    assert token.revoked_at is not None
    made = entry(action="revoke")
    assert (made.old, list(made.new)) == ({"revoked_at": None}, ["revoked_at"])


def test_what_was_revoked_stays_as_it_was(alice: Client, token: ReporterToken) -> None:
    revoke(alice, token)
    token.refresh_from_db()
    first = token.revoked_at
    revoke(alice, token)
    token.refresh_from_db()
    assert token.revoked_at == first
    assert AuditEntry.objects.filter(action="revoke").count() == 1


def test_a_token_is_never_deleted(alice: Client, token: ReporterToken) -> None:
    assert alice.post(f"{TOKENS}{token.pk}/delete/", {"post": "yes"}).status_code == 403
    alice.post(TOKENS, {"action": "delete_selected", "_selected_action": [token.pk], "post": "yes"})
    assert ReporterToken.objects.exists()


@pytest.fixture
def viewer(client: Client, vendor: str) -> Client:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


def test_a_viewer_changes_nothing(viewer: Client, token: ReporterToken) -> None:
    policy = AlertPolicy.objects.get(policy="repeated_failures", tenant="*")
    attempts: list[Callable[[], Any]] = [
        lambda: viewer.post(f"{POLICIES}add/", POLICY),
        lambda: viewer.post(f"{POLICIES}{policy.pk}/change/", POLICY),
        lambda: viewer.post(f"{TENANTS}{token.tenant_id}/change/", {"title": "x"}),
        lambda: viewer.post(f"{TOKENS}add/", {"tenant": token.tenant_id}),
    ]
    assert [attempt().status_code for attempt in attempts] == [403] * 4
    revoke(viewer, token)
    token.refresh_from_db()
    assert token.revoked_at is None
    assert not AuditEntry.objects.exists()


def test_the_audit_holds_no_secret_column(token: ReporterToken) -> None:
    token.refresh_from_db()
    assert "hash" not in (audit.picture(token) or {})
    assert "hint" in (audit.picture(token) or {})


def test_a_maintenance_window_ends_after_its_start() -> None:
    start = datetime(2026, 11, 24, tzinfo=UTC)
    window = MaintenanceWindow(tenant="alpha", starts_at=start, ends_at=start, reason="x")
    with pytest.raises(ValidationError):
        window.full_clean()
    window.ends_at = start + timedelta(hours=1)
    window.full_clean()
