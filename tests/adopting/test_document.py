"""Every block of docs/adopting.md that names a file of the host project is lines of that file, which the tests run."""

import json
from datetime import UTC, datetime

import pytest
import yaml

from exporters.route_management.payload import parse_exceptions
from tests.adopting.document import BLOCKS, MINIATURE, TEXT, Block, manage_commands

pytestmark = pytest.mark.processes

OF_FILES = [block for block in BLOCKS if block.language in ("python", "yaml") and block.place != "today"]


@pytest.mark.parametrize("block", OF_FILES, ids=lambda block: f"{block.place}:{block.text.splitlines()[0].strip()}")
def test_a_block_is_lines_of_the_file_that_it_names(block: Block) -> None:
    assert block.text in (MINIATURE / block.place).read_text()


def test_each_block_of_code_names_its_file_or_is_of_today() -> None:
    assert not [block for block in BLOCKS if block.language in ("python", "yaml") and not block.place]


def test_each_file_that_the_chain_changes_stands_in_the_document() -> None:
    shown = {block.place for block in OF_FILES}
    of_ours = ("from exporters", "from userdb", "from runtime", "exporters.route_management")
    changed = {
        str(file.relative_to(MINIATURE))
        for file in MINIATURE.rglob("*.py")
        if any(word in file.read_text() for word in of_ours) and file.name != "tests.py"
    }
    assert changed - shown == set()


def test_the_commands_migrate_both_databases_and_check_them() -> None:
    assert manage_commands() == [
        ["migrate"],
        ["migrate", "--database", "userdb"],
        ["check", "--database", "default", "--database", "userdb"],
    ]


@pytest.mark.parametrize("severity", ["low", "critical"])
def test_the_severities_are_those_of_the_reports(severity: str) -> None:
    body = json.dumps({"exceptions": [{"exception_type": "E", "severity": severity}]}).encode()
    (event,) = parse_exceptions(body, "alpha", datetime.now(UTC), UTC).events
    assert f"`{severity}` -> `{event.level}`" in TEXT


def test_the_deployment_is_yaml_whose_containers_share_the_spool() -> None:
    document = yaml.safe_load((MINIATURE / "pods_yaml" / "user-container.yaml").read_text())
    containers = document["spec"]["template"]["spec"]["containers"]
    assert [[m["name"] for m in c["volumeMounts"]] for c in containers] == [["reporter-token", "spool"]] * 2
    names = {entry["name"] for c in containers for entry in c["env"]}
    assert names == {"TENANT_ID", "GATEWAY_URL", "GATEWAY_TOKEN_FILE", "GATEWAY_SPOOL"}
