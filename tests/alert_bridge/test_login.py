"""The login's throttle: who fails too often is refused for a while and told for how long; nobody else is."""

import re
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.test import Client

from alert_bridge import proxies
from runtime.settings import SettingsError
from tests.alert_bridge.pages import member

pytestmark = [pytest.mark.django_db(databases="__all__")]

LOGIN = "/admin/login/"


@pytest.fixture(autouse=True)
def alice() -> User:
    User.objects.create_user("bob", password="bobs-horse", is_staff=True)
    return User.objects.create_user("alice", password="right-horse", is_staff=True)


def login(name: str = "alice", password: str = "wrong", address: str = "192.0.2.1", **headers: str) -> Any:  # noqa: S107
    client = Client(REMOTE_ADDR=address, headers=headers)
    return client.post(LOGIN, {"username": name, "password": password, "next": "/admin/"})


def fail(times: int, **how: str) -> list[int]:
    return [login(**how).status_code for _ in range(times)]


def test_the_fifth_failure_is_refused() -> None:
    assert fail(6) == [200, 200, 200, 200, 429, 429]


def test_a_right_password_is_refused_meanwhile() -> None:
    fail(5)
    answer = login(password="right-horse")
    assert answer.status_code == 429
    assert "_auth_user_id" not in answer.client.session


def test_it_is_said_for_how_long() -> None:
    fail(5)
    answer = login()
    assert re.search(r"Try again in (15 min|14 min \d+ s)", answer.content.decode())
    assert 800 < int(answer["Retry-After"]) <= 900


def test_a_changed_browser_is_no_way_around() -> None:
    answers = [login(**{"User-Agent": f"browser {n}"}).status_code for n in range(6)]
    assert answers[-1] == 429


def test_others_and_the_same_user_elsewhere_are_not_concerned() -> None:
    fail(5)
    assert login("bob", "bobs-horse").status_code == 302
    assert login("alice", "right-horse", "192.0.2.2").status_code == 302


def test_it_ends_by_itself_and_a_failure_meanwhile_does_not_prolong_it() -> None:
    fail(5)
    AccessAttempt.objects.update(
        attempt_time=AccessAttempt.objects.get().attempt_time - timedelta(minutes=14, seconds=50)
    )
    assert 0 < int(login()["Retry-After"]) <= 10
    AccessAttempt.objects.update(attempt_time=AccessAttempt.objects.get().attempt_time - timedelta(seconds=11))
    assert login(password="right-horse").status_code == 302


def test_a_login_forgets_the_failures_before_it() -> None:
    fail(4)
    assert login(password="right-horse").status_code == 302
    assert fail(4) == [200] * 4


def test_an_administrator_ends_it() -> None:
    fail(5)
    browser = member("administrator", "carol")
    attempt = AccessAttempt.objects.get()
    browser.post(f"/admin/axes/accessattempt/{attempt.pk}/delete/", {"post": "yes"})
    assert login(password="right-horse").status_code == 302


def test_the_password_is_kept_nowhere() -> None:
    login(password="almost-right-horse")
    attempt = AccessAttempt.objects.get()
    assert "almost-right-horse" not in str(vars(attempt))


def test_a_header_of_a_stranger_changes_no_address() -> None:
    assert [login(**{"X-Forwarded-For": f"198.51.100.{n}"}).status_code for n in range(5)][-1] == 429


@pytest.fixture
def behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DJANGO_TRUSTED_PROXIES", "10.0.0.0/8")
    proxies.trusted.cache_clear()
    yield
    proxies.trusted.cache_clear()


@pytest.mark.usefixtures("behind_a_proxy")
def test_behind_a_trusted_proxy_each_client_is_itself() -> None:
    fail(5, address="10.1.1.1", **{"X-Forwarded-For": "198.51.100.1"})
    assert login(password="right-horse", address="10.1.1.1", **{"X-Forwarded-For": "198.51.100.1"}).status_code == 429
    assert login(password="right-horse", address="10.1.1.1", **{"X-Forwarded-For": "198.51.100.2"}).status_code == 302


@pytest.mark.usefixtures("behind_a_proxy")
def test_behind_a_trusted_proxy_what_the_client_says_of_itself_is_left_out() -> None:
    chains = [f"198.51.100.{n}, 203.0.113.9, 10.2.2.2" for n in range(5)]
    assert [login(address="10.1.1.1", **{"X-Forwarded-For": chain}).status_code for chain in chains][-1] == 429
    assert AccessAttempt.objects.get().ip_address == "203.0.113.9"


def test_a_network_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_TRUSTED_PROXIES", "10.0.0.0/8,proxy")
    proxies.trusted.cache_clear()
    with pytest.raises(SettingsError, match="DJANGO_TRUSTED_PROXIES: 'proxy'"):
        proxies.trusted()
    proxies.trusted.cache_clear()
