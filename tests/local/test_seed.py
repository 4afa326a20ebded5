"""What a first run puts into userdb, and what a second one leaves alone."""

from pathlib import Path

import pytest
from django.contrib.auth import get_user_model

from local import credentials, environments, seed
from local.ports import Ports
from userdb import tokens
from userdb.models import Channel, ReporterToken, Tenant

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "TENANTS", tmp_path / "tenants")
    monkeypatch.setattr(credentials, "SECRETS", tmp_path / "secrets")


def fill(tenant: str | None = "demo") -> None:
    seed.fill(Ports.of_environment(), tenant)


def test_the_admin_has_the_generated_password() -> None:
    fill()
    assert get_user_model().objects.get(username="admin").check_password(credentials.read("admin-password"))


def test_a_password_that_the_admin_changed_stays() -> None:
    fill()
    admin = get_user_model().objects.get()
    admin.set_password("of my own")
    admin.save()
    fill()
    assert get_user_model().objects.get(username="admin").check_password("of my own")


def test_the_tenants_token_is_the_one_in_its_file() -> None:
    fill()
    file = environments.token_file("demo")
    assert ReporterToken.objects.get().hash == tokens.digest(file.read_text().strip())
    assert file.stat().st_mode & 0o077 == 0


def test_a_second_run_makes_nothing_twice_and_leaves_edits_alone() -> None:
    fill()
    Channel.objects.filter(name="inbox-email").update(enabled=False)
    fill()
    assert (Channel.objects.count(), Tenant.objects.count(), ReporterToken.objects.count()) == (2, 1, 1)
    assert not Channel.objects.get(name="inbox-email").enabled


def test_a_token_whose_database_is_gone_is_made_anew() -> None:
    fill()
    ReporterToken.objects.all().delete()
    fill()
    assert ReporterToken.objects.get().hash == tokens.digest(environments.token_file("demo").read_text().strip())


def test_without_a_tenant_none_is_made() -> None:
    fill(None)
    assert not Tenant.objects.exists()


def test_a_file_to_source_holds_what_the_tenant_may_know(tmp_path: Path) -> None:
    file = tmp_path / "environment"
    environments.write(file, environments.of_tenant("demo", Ports.of_environment()))
    names = {line.split("=")[0].removeprefix("export ") for line in file.read_text().splitlines()}
    assert names == {"TENANT_ID", "GATEWAY_URL", "GATEWAY_TOKEN_FILE", "GATEWAY_SPOOL", "PATH"}
