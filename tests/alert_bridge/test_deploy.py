"""The site in production: `check --deploy` is clean, HTTPS but for the webhook, nothing foreign in a page."""

from collections.abc import Iterator

import pytest
from django.test import Client

from alert_bridge import proxies
from tests.userdb.conftest import Run, environment, manage

__all__ = ["environment", "manage"]
pytestmark = [pytest.mark.django_db(databases="__all__")]

PRODUCTION = {
    "DJANGO_HTTPS": "true",
    "DJANGO_SECRET_KEY": "kA9-".join(str(n) * 4 for n in range(12)) + "zQ",
    "DJANGO_ALLOWED_HOSTS": "monitor.example.com",
    "DJANGO_TRUSTED_PROXIES": "10.20.0.0/16",
    "DJANGO_CSRF_TRUSTED_ORIGINS": "https://monitor.example.com",
}


@pytest.mark.processes
def test_the_check_of_a_deployment_finds_nothing(manage: Run) -> None:
    done = manage("check", "--deploy", "--fail-level=INFO", **PRODUCTION)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout + done.stderr


@pytest.mark.processes
def test_the_same_check_says_what_is_missing(manage: Run) -> None:
    done = manage("check", "--deploy", "--fail-level=WARNING", **PRODUCTION | {"DJANGO_HTTPS": ""})
    assert done.returncode != 0
    assert "security.W008" in done.stderr


@pytest.fixture
def https(settings: object) -> None:
    settings.SECURE_SSL_REDIRECT = True  # type: ignore[attr-defined]


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DJANGO_TRUSTED_PROXIES", "127.0.0.1")
    proxies.trusted.cache_clear()
    yield
    proxies.trusted.cache_clear()


@pytest.mark.usefixtures("https")
def test_pages_are_redirected_to_https() -> None:
    answer = Client().get("/admin/login/")
    assert (answer.status_code, answer["Location"]) == (301, "https://testserver/admin/login/")


@pytest.mark.usefixtures("https")
@pytest.mark.parametrize("path", ["/webhooks/alertmanager", "/webhooks/alertmanager/", "/webhooks/other", "/webhooks"])
def test_no_webhook_is_ever_redirected(path: str) -> None:
    assert Client().post(path, b"{}", content_type="application/json").status_code in (401, 404)
    assert Client().get(path).status_code == 405


@pytest.mark.usefixtures("https")
def test_a_stranger_who_says_https_is_redirected() -> None:
    assert Client().get("/admin/login/", headers={"X-Forwarded-Proto": "https"}).status_code == 301


@pytest.mark.usefixtures("https", "trusted")
def test_a_trusted_proxy_that_says_https_is_believed() -> None:
    assert Client().get("/admin/login/", headers={"X-Forwarded-Proto": "https"}).status_code == 200


def test_plain_http_works_where_https_is_not_asked_for() -> None:
    answer = Client().get("/admin/login/")
    assert answer.status_code == 200
    assert "Strict-Transport-Security" not in answer


def test_browsers_load_nothing_foreign() -> None:
    policy = Client().get("/admin/login/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
