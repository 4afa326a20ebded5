"""The local configurations are production's own, but for intervals, addresses and the places of files."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import configuration, credentials, programs
from local.places import SOURCE
from local.ports import Ports


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "PROMETHEUS", tmp_path / "prometheus")
    monkeypatch.setattr(configuration, "ALERTMANAGER", tmp_path / "alertmanager")
    monkeypatch.setattr(credentials, "SECRETS", tmp_path / "secrets")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_prometheus_differs_in_its_intervals_and_the_place_of_its_rules_alone() -> None:
    local = read(configuration.write_prometheus(Ports.of_environment(), "demo"))
    own = read(SOURCE / "prometheus" / "prometheus.yml")
    assert local["global"] == {"scrape_interval": "5s", "scrape_timeout": "4s", "evaluation_interval": "5s"}
    assert [Path(rules).name for rules in local["rule_files"]] == [Path(rules).name for rules in own["rule_files"]]
    assert {k: v for k, v in local.items() if k not in ("global", "rule_files")} == {
        k: v for k, v in own.items() if k not in ("global", "rule_files")
    }


def test_prometheus_takes_it() -> None:
    path = configuration.write_prometheus(Ports.of_environment(), "demo")
    subprocess.run([programs.find("promtool"), "check", "config", path], check=True, capture_output=True)


def test_each_job_has_its_targets_and_the_tenants_own_its_name() -> None:
    path = configuration.write_prometheus(Ports.of_environment(), "demo")
    jobs = {job["job_name"] for job in read(path)["scrape_configs"]}
    assert {file.stem for file in (path.parent / "targets").iterdir()} == jobs
    client = read(path.parent / "targets" / "gateway-client.json")
    assert client == [{"targets": ["127.0.0.1:9810"], "labels": {"tenant": "demo"}}]


def test_without_a_tenant_its_job_is_there_without_targets() -> None:
    path = configuration.write_prometheus(Ports.of_environment(), None)
    assert read(path.parent / "targets" / "gateway-client.json") == []


def test_alertmanager_takes_it_and_sends_to_the_local_bridge() -> None:
    path = configuration.write_alertmanager(Ports.of_environment())
    subprocess.run([programs.find("amtool"), "check-config", path], check=True, capture_output=True)
    urls = {hook["url"] for receiver in read(path)["receivers"] for hook in receiver.get("webhook_configs", [])}
    assert urls == {"http://127.0.0.1:8000/webhooks/alertmanager"}


def test_alertmanagers_direct_mails_go_to_the_inbox() -> None:
    document = read(configuration.write_alertmanager(Ports.of_environment()))
    assert document["global"]["smtp_smarthost"] == "127.0.0.1:1025"
    assert document["global"]["smtp_require_tls"] is False
    (direct,) = (receiver for receiver in document["receivers"] if "email_configs" in receiver)
    assert "smarthost" not in direct["email_configs"][0]


def test_the_webhooks_token_is_readable_by_its_owner_alone() -> None:
    path = configuration.write_alertmanager(Ports.of_environment())
    assert (path.parent / "webhook.token").stat().st_mode & 0o077 == 0
