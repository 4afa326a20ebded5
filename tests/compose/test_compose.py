"""docker-compose.yml as the compose specification has it, and what an operator relies on: pinned, local, without a secret."""

import copy
import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from dotenv import dotenv_values

from local import compose, programs
from tests.compose.files import ROOT, defaults, document, ours, services, stages, text

ONE_SHOT = {name for name, service in services().items() if service.get("restart") == "no"}


def validated(found: Any) -> PyCompose:
    parsed = PyCompose.from_json(json.dumps(found))
    parsed.validate()  # what services name is there
    parsed.to_spec()
    return parsed


def test_the_file_is_valid_by_the_compose_specification() -> None:
    assert set(validated(document()).service_names()) == set(services())


def test_a_misspelt_key_would_be_found() -> None:
    wrong = copy.deepcopy(document())
    wrong["services"]["mysql"]["comand"] = []
    with pytest.raises(ValueError, match="comand"):
        validated(wrong)


@pytest.mark.parametrize("name", services())
def test_images_are_pinned_to_a_version(name: str) -> None:
    assert re.search(r":v?\d+\.\d+\.\d+(-[a-z-]+)?$", services()[name]["image"])


@pytest.mark.parametrize("name", services())
def test_ports_are_this_machines_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in services()[name].get("ports", []))


@pytest.mark.parametrize("name", sorted(set(services()) - ONE_SHOT))
def test_what_runs_on_has_a_health_check_and_comes_back(name: str) -> None:
    service = services()[name]
    assert service["healthcheck"].get("test") or service["healthcheck"] == {"disable": True}
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ours())
def test_our_containers_have_no_rights_and_no_writable_root(name: str) -> None:
    service = ours()[name]
    assert service["read_only"] is True
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])


def test_what_needs_userdb_starts_after_the_migrations() -> None:
    reading = {name for name, service in ours().items() if "userdb-url" in service.get("secrets", [])} - {"migrate"}
    waits = {name for name in reading if "migrate" in services()[name]["depends_on"]}
    assert waits == reading


def test_a_tenant_reaches_the_gateway_and_nothing_else_of_ours() -> None:
    beside = {
        name for name, s in services().items() if "tenants" in s.get("networks", []) and not name.startswith("ten")
    }
    assert beside == {"gateway", "prometheus"}
    assert all(services()[name]["networks"] == ["tenants"] for name in ("tenant", "tenant-client"))
    assert not any(services()[name].get("secrets") for name in ("tenant", "tenant-client"))


def test_no_secret_has_a_value_in_the_file_or_in_the_example() -> None:
    secret = re.compile(r"(PASSWORD|TOKEN|KEYS?|SECRET)\b(?!_FILE)[A-Z_]*\s*[:=]\s*\S")
    assert not secret.search(text())
    assert not secret.search((ROOT / ".env.example").read_text())


def test_the_example_holds_every_variable_with_the_default_of_the_file() -> None:
    assert dotenv_values(ROOT / ".env.example") == defaults()


def test_the_heartbeat_is_called_by_the_reconciler_alone_and_by_nobody_unless_it_is_set() -> None:
    assert {
        name: s["environment"]["HEARTBEAT_URL"] for name, s in ours().items() if "HEARTBEAT_URL" in s["environment"]
    } == {"reconcile": ""}


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    names = compose.write_secrets(tmp_path / "secrets")
    before = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    assert set(names) == set(before) == {Path(s["file"]).name for s in document()["secrets"].values()}
    assert compose.write_secrets(tmp_path / "secrets") == []
    assert {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()} == before


def test_secrets_lie_in_a_folder_that_only_its_owner_enters(tmp_path: Path) -> None:
    compose.write_secrets(tmp_path / "secrets")
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "secrets").iterdir()} == {0o444}


def test_the_databases_address_carries_the_password_that_it_is_made_with(tmp_path: Path) -> None:
    compose.write_secrets(tmp_path)
    password = (tmp_path / "mysql-password").read_text().strip()
    assert (tmp_path / "userdb-url").read_text() == f"mysql://userdb:{password}@mysql:3306/userdb\n"


def test_every_secret_and_file_that_is_mounted_is_there_or_made() -> None:
    mounted = [v.split(":")[0] for s in services().values() for v in s.get("volumes", []) if v.startswith("./")]
    assert mounted
    made = {s["file"] for s in document()["secrets"].values()}
    assert [path for path in mounted if path not in made and not (ROOT / path).exists()] == []


def test_every_target_of_prometheus_is_a_service_on_a_port_of_its_own() -> None:
    jobs = {
        job["job_name"]
        for job in yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    }
    files = {file.stem: json.loads(file.read_text()) for file in (ROOT / "docker" / "targets").glob("*.json")}
    assert set(files) == jobs
    hosts = {target.split(":")[0] for groups in files.values() for group in groups for target in group["targets"]}
    unwatched = {"mysql", "proxy", "mail", "tenant", "grafana"} | ONE_SHOT
    assert hosts == set(services()) - unwatched


def test_prometheus_takes_its_configuration_as_it_is_mounted(tmp_path: Path) -> None:
    for mount in services()["prometheus"]["volumes"]:
        source, _, target = mount.partition(":")
        if source.startswith("./"):
            (tmp_path / Path(target.split(":")[0]).name).symlink_to(ROOT / source)
    command = [programs.find("promtool"), "check", "config", tmp_path / "prometheus.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "rules found" in done.stdout) == (0, True), done.stderr


def test_the_receivers_address_is_the_proxys_name() -> None:
    config = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())
    urls = {hook["url"] for receiver in config["receivers"] for hook in receiver.get("webhook_configs", [])}
    assert urls == {"http://alert-bridge:8000/webhooks/alertmanager"}
    assert "alert-bridge" in services()["proxy"]["networks"]["monitoring"]["aliases"]


@pytest.mark.parametrize("name", ours())
def test_every_image_that_is_built_is_a_stage_that_runs_without_rights(name: str) -> None:
    stage = stages()[ours()[name]["build"]["target"]]
    assert "USER 10001:10001" in stage
    assert not any("apt-get" in line for line in stage)


def test_everything_that_the_dockerfile_copies_reaches_the_builder() -> None:
    copied = [
        word.rstrip("/")
        for stage in stages().values()
        for line in stage
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
        if word != "."
    ]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) <= allowed
    assert all((ROOT / path).exists() for path in allowed)
