"""No secret of a channel stays anywhere though the service repeats it: logs, attempts, metrics, errors. One for each kind."""

import logging
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY, generate_latest

from alert_bridge import claims
from alert_bridge.channels import KINDS
from alert_bridge.channels.base import DeliveryError
from alert_bridge.relay import Relay, send
from runtime.logs import JsonFormatter
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.receivers import Receiver, receiver, status
from tests.alert_bridge.words import firing
from userdb.models import Channel, DeliveryAttempt, Notification

pytestmark = [pytest.mark.django_db(databases="__all__")]

SECRETS = ["T0PS3CRET-in-the-path", "qu3ry-t0ken", "signing-s3cret", "p4ss-w0rd"]
URL = "://user:p4ss-w0rd@127.0.0.1:{port}/robot/T0PS3CRET-in-the-path?access_token=qu3ry-t0ken"
ECHO = "no T0PS3CRET-in-the-path?access_token=qu3ry-t0ken for p4ss-w0rd, signing-s3cret or qu3ry-t0ken"
UNSIGNED = ECHO.replace("signing-s3cret", "nothing")
BODIES = {
    "dingtalk": f'{{"errcode": 400101, "errmsg": "{ECHO}"}}',
    "feishu": f'{{"code": 19001, "msg": "{ECHO}"}}',
    "wecom": f'{{"errcode": 93000, "errmsg": "{UNSIGNED}"}}',
    "slack": UNSIGNED,
    "apprise": UNSIGNED,
    "webhook": ECHO,
}


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def channel(kind: str, port: int) -> Channel:
    made = Channel(name=kind, kind=kind)
    scheme = "json" if kind == "apprise" else "http"
    given = {"url": scheme + URL.format(port=port), "secret": "signing-s3cret"}
    names = {setting.name for setting in KINDS[kind].settings if setting.secret}
    made.secrets = {name: value for name, value in given.items() if name in names}
    made.save()
    return made


def test_every_kind_but_e_mail_which_has_its_own_is_tried() -> None:
    assert set(BODIES) == set(KINDS) - {"email"}


@pytest.mark.parametrize("code", [200, 400, 503])
@pytest.mark.parametrize("kind", BODIES)
def test_no_secret_is_kept_though_the_service_repeats_it(
    post: Post, server: Receiver, caplog: pytest.LogCaptureFixture, kind: str, code: int
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer = status(code, BODIES[kind].encode())
    made = channel(kind, server.server_port)
    post(firing())
    Relay().deliver_due(made)
    assert len(server.got) == 1
    lines = [JsonFormatter().format(record) for record in caplog.records]
    rows = [str(list(table.objects.values())) for table in (DeliveryAttempt, Notification)]
    kept = "\n".join([*lines, *rows, generate_latest(REGISTRY).decode()])
    assert [secret for secret in SECRETS if secret in kept] == []


@pytest.mark.parametrize("kind", BODIES)
def test_no_secret_is_in_an_error_that_is_raised(post: Post, server: Receiver, kind: str) -> None:
    server.answer = status(503, BODIES[kind].encode())
    made = channel(kind, server.server_port)
    post(firing())
    start = claims.start(claims.take(made.pk)[0], "tests")
    assert start is not None
    with pytest.raises(DeliveryError) as caught:
        send(start)
    error: BaseException | None = caught.value
    while error is not None:
        text = f"{error!r} {error.args} {vars(error)}"
        assert [secret for secret in SECRETS if secret in text] == []
        error = error.__cause__
