"""Three groups, made by migrate: who may do what; what an administrator changes in them stays."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User

from alert_bridge.roles import ROLES, after_migrate
from tests.alert_bridge.pages import member
from userdb.models import AuditEntry, ReporterToken, Tenant

pytestmark = [pytest.mark.django_db(databases="__all__")]


def migrate() -> None:
    for label in ("userdb", "auth", "axes"):
        after_migrate(apps.get_app_config(label), "default", apps, 0)


def holds(role: str) -> set[str]:
    return set(Group.objects.get(name=role).permissions.values_list("codename", flat=True))


def test_migrate_makes_the_groups() -> None:
    assert set(Group.objects.values_list("name", flat=True)) == set(ROLES)


def test_each_role_may_what_the_one_before_it_may_and_more() -> None:
    assert holds("viewer") < holds("operator") < holds("administrator")


def test_a_viewer_sees_all_but_who_may_report_and_who_may_log_in() -> None:
    tables = {model._meta.model_name for model in apps.get_app_config("userdb").get_models()}
    assert holds("viewer") == {f"view_{name}" for name in tables - {"reportertoken"}}


def test_an_operator_acts_and_configures_nothing() -> None:
    assert holds("operator") - holds("viewer") == {
        "silence_alert", "acknowledge_alert", "resend_notification", "replay_webhookevent", "send_test_channel",
    }  # fmt: skip


def test_nobody_edits_history() -> None:
    tables = {"channel", "alertpolicy", "tenant", "reportertoken", "user", "accessattempt"}
    edits = {name for name in holds("administrator") if name.startswith(("add_", "change_", "delete_"))}
    assert {name.partition("_")[2] for name in edits} <= tables


def test_what_was_added_stays_and_what_was_taken_away_stays_away() -> None:
    viewer = Group.objects.get(name="viewer")
    viewer.permissions.add(Permission.objects.get(codename="view_reportertoken"))
    viewer.permissions.remove(Permission.objects.get(codename="view_tenant"))
    before = holds("viewer")
    migrate()
    assert holds("viewer") == before


def test_a_permission_that_a_release_brings_reaches_its_roles() -> None:
    Permission.objects.get(codename="silence_alert").delete()
    assert "silence_alert" not in holds("operator")
    migrate()
    assert "silence_alert" in holds("operator")
    assert "silence_alert" not in holds("viewer")


def test_a_group_that_was_deleted_comes_back_whole() -> None:
    before = holds("administrator")
    Group.objects.get(name="administrator").delete()
    migrate()
    assert holds("administrator") == before


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 403), ("administrator", 200)])
def test_tokens_and_users_are_the_administrators(role: str, status: int) -> None:
    browser = member(role)
    for page in ("/admin/userdb/reportertoken/", "/admin/auth/user/", "/admin/userdb/channel/add/"):
        assert browser.get(page).status_code == status, page


def test_a_viewer_sees_no_tokens_on_a_tenants_page() -> None:
    tenant = Tenant.objects.create(name="alpha")
    ReporterToken.objects.create(tenant=tenant, hash="0" * 64, hint="mm_secret")
    page = f"/admin/userdb/tenant/{tenant.pk}/change/"
    assert "mm_secret" not in member("viewer").get(page).content.decode()
    assert "mm_secret" in member("administrator", "bob").get(page).content.decode()


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root", password="keep-me")


def edited(user: User, **changes: Any) -> dict[str, Any]:
    return {"username": user.username, "is_active": "on", "is_staff": "on", **changes}


def test_an_administrator_makes_nobody_a_superuser() -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    page = f"/admin/auth/user/{bob.pk}/change/"
    member("administrator").post(page, edited(bob, is_superuser="on", user_permissions=[1], email="b@example.org"))
    bob.refresh_from_db()
    assert (bob.email, bob.is_superuser, bob.user_permissions.count()) == ("b@example.org", False, 0)


def test_an_administrator_changes_no_superuser(root: User) -> None:
    browser = member("administrator")
    page = f"/admin/auth/user/{root.pk}"
    assert browser.post(f"{page}/change/", edited(root, username="mine")).status_code == 403
    new = {"password1": "n3w-pass-word", "password2": "n3w-pass-word"}
    assert browser.post(f"{page}/password/", new).status_code == 403
    assert browser.post(f"{page}/delete/", {"post": "yes"}).status_code == 403
    browser.post("/admin/auth/user/", {"action": "delete_selected", "_selected_action": [root.pk], "post": "yes"})
    root.refresh_from_db()
    assert root.check_password("keep-me")


def test_a_change_of_a_user_is_audited_with_its_groups_and_no_password() -> None:
    bob = User.objects.create_user("bob", password="s3cret-word", is_staff=True)
    operators = Group.objects.get(name="operator")
    member("administrator").post(f"/admin/auth/user/{bob.pk}/change/", edited(bob, groups=[operators.pk]))
    entry = AuditEntry.objects.get(kind="user")
    assert (entry.by, entry.action, entry.old["groups"], entry.new["groups"]) == ("alice", "change", [], ["operator"])
    assert "password" not in {**entry.old, **entry.new}
