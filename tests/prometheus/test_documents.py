"""The pages on policies, jobs and runbooks say what the files say, and the commands that they give work."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from alert_bridge import claims, conditions, resend_command
from alert_bridge.cli import parser as bridge_parser
from local.programs import find
from tests.prometheus.rule_files import ROOT, RUNBOOKS, alerts, document, every_rule, scrape_jobs
from userdb.models import AlertIdentity, AlertPolicy, Channel, Notification

CHAPTERS = ("**Means", "**Look at**", "**Do", "**Ends**")


def rows(page: str) -> list[list[str]]:
    lines = (ROOT / "docs" / page).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def builtins() -> dict[str, float]:
    found = [rule for rule in every_rule() if rule.name == "policy:mission_policy_threshold:builtin"]
    return {r.body["labels"]["policy"]: float(r.expression.removeprefix("vector(").removesuffix(")")) for r in found}


def test_each_policy_is_documented_with_its_alert_and_builtin() -> None:
    written = {row[0].strip("`"): (row[1], float(row[3])) for row in rows("policies.md")}
    named = {rule.body["labels"]["policy"]: rule.name for rule in alerts() if "policy" in rule.body["labels"]}
    assert written == {p: (f"[{named[p]}](runbooks/{named[p]}.md)", builtin) for p, builtin in builtins().items()}


@pytest.mark.django_db
def test_the_rows_that_userdb_begins_with_are_the_builtins() -> None:
    assert dict(AlertPolicy.objects.filter(tenant="*").values_list("policy", "threshold")) == builtins()


def test_each_job_is_documented() -> None:
    assert [row[0].strip("`") for row in rows("prometheus.md") if row[0].strip("`") in scrape_jobs()] == list(
        scrape_jobs()
    )


def test_each_limit_of_the_tenants_job_is_documented_as_it_is() -> None:
    text = (ROOT / "docs" / "prometheus.md").read_text()
    job = scrape_jobs()["gateway-client"]
    for name in ("body_size_limit", "sample_limit", "label_limit", "label_value_length_limit"):
        assert f"`{name}: {job[name]}`" in text


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_says_what_it_means_what_to_look_at_what_to_do_and_when_it_ends(page: Path) -> None:
    text, name = page.read_text(), page.stem
    severities = {rule.name: rule.body["labels"]["severity"] for rule in alerts()}
    severity = (severities | {condition.alertname: condition.severity for condition in conditions.ALL})[name]
    assert text.startswith(f"# {name}\n")
    assert f"Severity: {severity}" in text
    if name != "Watchdog":
        places = [text.find(chapter) for chapter in CHAPTERS]
        assert -1 not in places
        assert places == sorted(places)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("way", "state", "claimed"), [("send", "owed", 1), ("write-off", "void", 0)])
def test_the_commands_for_dead_notifications_work(way: str, state: str, claimed: int) -> None:
    mail, other = (Channel.objects.create(name=name, kind="email") for name in ("mail", "other"))
    identity = AlertIdentity.objects.create(fingerprint="f" * 16)
    for channel in (mail, other):
        Notification.objects.create(key=channel.name, channel=channel, identity=identity, kind="firing", state="dead")
    page = (RUNBOOKS / "NotificationsDead.md").read_text().replace("NAME", "mail")
    send, write_off = (shlex.split(block) for block in re.findall(r"```sh\n(.*?)\n```", page, re.DOTALL))
    if way == "send":
        assert send[0] == "alert-bridge"
        resend_command.run(bridge_parser().parse_args(send[1:]))
    else:
        assert write_off[:4] == ["python", "manage.py", "shell", "-c"]
        exec(write_off[4], {})  # noqa: S102
    assert set(Notification.objects.values_list("channel__name", "state")) == {("mail", state), ("other", "dead")}
    assert len(claims.take(mail.pk)) == claimed


@pytest.mark.chain
@pytest.mark.parametrize(
    ("label", "receivers"), [("tenant=a", "mission-monitor,YOUR-DEFAULT"), ("team=x", "mission-monitor,team")]
)
def test_the_lines_for_an_alertmanager_that_is_there_already_leave_it_as_it_was(
    label: str, receivers: str, tmp_path: Path
) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "alertmanager.md").read_text(), re.DOTALL)
    pulse, ours, default, receiver = yaml.safe_load(block)
    team = {"receiver": "team", "matchers": ["team=x"]}
    theirs = {
        "route": {"receiver": default["receiver"], "routes": [pulse, ours, team, default]},
        "receivers": [{"name": default["receiver"]}, {"name": "team"}, receiver],
    }
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(theirs))
    command = [find("amtool"), "config", "routes", "test", f"--config.file={path}", "alertname=Any", label]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout.strip() == receivers, done.stdout + done.stderr


def test_the_receiver_for_an_alertmanager_that_is_there_already_is_ours() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "alertmanager.md").read_text(), re.DOTALL)
    (webhook,) = yaml.safe_load(block)[-1]["webhook_configs"]
    shipped = document(ROOT / "alertmanager" / "alertmanager.yml")
    (own,) = shipped["receivers"][0]["webhook_configs"]
    pulse = yaml.safe_load(block)[0]
    assert {**pulse, "receiver": "alert-bridge"} == shipped["route"]["routes"][0]
    assert webhook["max_alerts"] == own["max_alerts"]
    assert webhook["http_config"]["follow_redirects"] == own["http_config"]["follow_redirects"]
    assert webhook["http_config"]["authorization"].items() <= own["http_config"]["authorization"].items()
