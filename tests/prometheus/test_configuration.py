"""The scrape configuration: promtool's own verdict, and what production, the local run and a tenant rely on."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.programs import find
from runtime.closed_sets import EVERYONE, FAILURE_TYPES, OTHER, OUTCOMES, UNKNOWN
from tests.prometheus.rule_files import CONFIGURATION, RULES, document, scrape_jobs

JOBS = [
    "gateway-client", "route-management", "kube-state-metrics", "alert-bridge", "alert-relay", "alert-reconcile", "prometheus",
    "alertmanager",
]  # fmt: skip
TENANTS = scrape_jobs()["gateway-client"]


def regex(action: str, *source: str) -> str:
    """Return the regular expression of the tenants' one relabelling with this action and these source labels."""
    steps = [*TENANTS["relabel_configs"], *TENANTS["metric_relabel_configs"]]
    (found,) = (s["regex"] for s in steps if s["action"] == action and s.get("source_labels", []) == list(source))
    return str(found)


@pytest.mark.chain
def test_promtool_accepts_it_with_its_rules() -> None:
    command = [find("promtool"), "check", "config", CONFIGURATION]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rule files found" in done.stdout


@pytest.mark.chain
def test_it_holds_for_shorter_intervals_and_a_folder_of_its_own(tmp_path: Path) -> None:
    changed = document(CONFIGURATION)
    changed["global"] |= {"scrape_interval": "5s", "evaluation_interval": "5s"}
    changed["rule_files"] = [str(CONFIGURATION.parent / pattern) for pattern in changed["rule_files"]]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(changed))
    command = [find("promtool"), "check", "config", tmp_path / "prometheus.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_jobs_are_the_contracts() -> None:
    assert list(scrape_jobs()) == JOBS


@pytest.mark.parametrize("job", JOBS)
def test_a_jobs_targets_come_from_its_files_beside_the_configuration(job: str) -> None:
    kinds = {key for key in scrape_jobs()[job] if key.endswith("_sd_configs") or key == "static_configs"}
    assert kinds == {"file_sd_configs"}
    (files,) = scrape_jobs()[job]["file_sd_configs"]
    assert files["files"] == [f"targets/{job}.yml", f"targets/{job}.json"]


def test_alerts_go_to_the_alertmanagers_that_are_watched() -> None:
    (receivers,) = document(CONFIGURATION)["alerting"]["alertmanagers"]
    assert receivers["file_sd_configs"] == scrape_jobs()["alertmanager"]["file_sd_configs"]


def test_only_the_pod_exporter_names_its_own_namespace_and_pod() -> None:
    assert [job for job, body in scrape_jobs().items() if body.get("honor_labels")] == ["kube-state-metrics"]


def test_no_job_waits_longer_than_the_local_runs_interval() -> None:
    # a scrape_timeout above the scrape_interval is refused
    timeouts: list[Any] = [body["scrape_timeout"] for body in scrape_jobs().values() if "scrape_timeout" in body]
    assert "scrape_timeout" not in document(CONFIGURATION)["global"]
    assert not timeouts


def test_a_tenants_failure_types_and_outcomes_are_the_closed_sets() -> None:
    for label, members in (("failure_type", FAILURE_TYPES), ("outcome", OUTCOMES)):
        # the empty alternative is for families without the label
        assert regex("keep", label) == f"({'|'.join(members)})?"


@pytest.mark.parametrize("name", ["", UNKNOWN, OTHER, EVERYONE])
def test_a_target_without_a_tenants_name_is_dropped(name: str) -> None:
    assert re.fullmatch(regex("drop", "tenant"), name)


def test_the_contracts_labels_fit_the_limit() -> None:
    allowed = set(regex("labelkeep").split("|"))
    widest = {"__name__", "job", "instance", "tenant", "task", "failure_type"}
    assert widest <= allowed
    assert len(widest) <= TENANTS["label_limit"] < len(allowed)
