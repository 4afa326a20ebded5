"""`alert-bridge replay` and `retention` as processes: what they say, their exit codes, and a userdb that is away."""

import subprocess

import pytest

from tests.alert_bridge.conftest import Post
from tests.alert_bridge.processes import PROGRAMS, environment
from tests.alert_bridge.words import firing
from userdb.models import WebhookEvent

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(120),
    pytest.mark.django_db(transaction=True, databases="__all__"),
]


def said(*command: str, **variables: str | None) -> tuple[int, str, str]:
    done = subprocess.run(
        [PROGRAMS / "alert-bridge", *command], env=environment(**variables), capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.usefixtures("vendor")
def test_a_replay_is_rehearsed_and_then_done(post: Post) -> None:
    post(firing("a1"))
    WebhookEvent.objects.update(odd=[{"index": 0, "reason": "not understood"}])
    row = WebhookEvent.objects.get()
    for command in (["replay", "--dry-run"], ["replay"]):
        code, out, _ = said(*command, str(row.pk))
        assert code == 0
        assert out.startswith("1 webhooks read, 0 ")
        assert "1 alerts left alone" in out
    row.refresh_from_db()
    assert row.odd == []


@pytest.mark.usefixtures("vendor")
def test_retention_counts_by_class(post: Post) -> None:
    post(firing("a1"))
    code, out, _ = said("retention", "--dry-run")
    assert code == 0
    assert out.splitlines()[:2] == ["webhooks 0", "attempts 0"]
    assert said("retention")[:2] == (0, out)


@pytest.mark.parametrize("command", ["replay", "retention"])
def test_a_userdb_that_is_away_is_one_line_and_exit_1(command: str) -> None:
    code, out, errors = said(command, USERDB_URL="mysql://root:s3cret@127.0.0.1:1/userdb")
    assert (code, out, len(errors.splitlines())) == (1, "", 1)
    assert "s3cret" not in errors


def test_an_age_that_cannot_be_meant_is_named() -> None:
    code, _, errors = said("retention", RETENTION_ALERTS="soon")
    assert (code, errors.startswith("alert-bridge retention: RETENTION_ALERTS: 'soon' is no duration")) == (1, True)
