"""The OpenAPI document of the webhook says what the code does, both ways; and a live server bears it out."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import openapi_spec_validator
import pytest
import yaml

from alert_bridge import payload
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.processes import tell, web
from tests.alert_bridge.words import firing, webhook
from tests.docs import code

DOCUMENT = code.SOURCE / "docs" / "openapi" / "alertmanager-webhook.yaml"
SCHEMATHESIS = shutil.which("schemathesis", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(yaml.safe_load(DOCUMENT.read_text()))


def test_it_is_openapi(document: dict[str, Any]) -> None:
    openapi_spec_validator.validate(document)


def test_every_status_is_there_and_no_other(document: dict[str, Any]) -> None:
    said = {int(status) for status in document["paths"]["/webhooks/alertmanager"]["post"]["responses"]}
    assert said == code.statuses("alert_bridge/webhook.py", ("_error",)) | {200}


def test_every_field_that_is_read_of_an_entry_is_there_and_no_other(document: dict[str, Any]) -> None:
    tree = ast.parse(Path(payload.__file__).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "entry.get"]
    read = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    assert read == set(document["components"]["schemas"]["Alert"]["properties"])


@pytest.mark.django_db(databases="__all__")
@pytest.mark.usefixtures("vendor")
def test_an_answer_has_the_fields_that_are_said_and_no_other(post: Post, document: dict[str, Any]) -> None:
    assert sorted(post(firing()).json()) == sorted(document["components"]["schemas"]["Taken"]["required"])


@pytest.mark.gate
@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.usefixtures("vendor")
def test_a_live_server_answers_as_the_document_says(tmp_path: Path) -> None:
    """Valid, invalid and missing bodies, headers and methods by schemathesis: no 500 ever, nothing undocumented."""
    assert SCHEMATHESIS is not None
    with web(tmp_path) as (process, site, _):
        done = subprocess.run(
            [
                SCHEMATHESIS, "run", str(DOCUMENT), f"--url={site}", "--max-examples=60", "--generation-deterministic",
                "--header=Authorization: Bearer webhook-token", "--no-color",
                "--checks=not_a_server_error,status_code_conformance,content_type_conformance,"
                "response_headers_conformance,response_schema_conformance,unsupported_method",
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:]
        assert tell(site, webhook(firing())).status == 200
        assert "Traceback" not in process.text()
