"""The OpenAPI document says what the code does: every path, status and field, both ways; and a live server bears it out."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.urls import get_resolver

from exporters.route_management import payload, reports
from runtime import closed_sets
from tests.docs import code
from tests.exporters.route_management.conftest import Report, event
from tests.exporters.route_management.processes import ROOT, migrate, run, serving

DOCUMENT = ROOT / "docs" / "openapi" / "reports.yaml"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(yaml.safe_load(DOCUMENT.read_text()))


@pytest.fixture(scope="module")
def schemas(document: dict[str, Any]) -> dict[str, Any]:
    return dict(document["components"]["schemas"])


def test_it_is_openapi(document: dict[str, Any]) -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="pip install openapi-spec-validator")
    validator.validate(document)


def test_every_path_is_there_and_no_other(document: dict[str, Any]) -> None:
    served = {f"/{pattern.pattern}" for pattern in get_resolver("exporters.route_management.urls").url_patterns}
    assert {path.rstrip("/") for path in served} == set(document["paths"])


def test_every_operation_is_a_post(document: dict[str, Any]) -> None:
    assert {method for path in document["paths"].values() for method in path} == {"post"}


def test_every_status_is_there_and_no_other(document: dict[str, Any]) -> None:
    answered = code.statuses("exporters/route_management/reports.py", ("_refuse",)) | {200}
    for path in document["paths"].values():
        assert {int(status) for status in path["post"]["responses"]} == answered


def test_the_limits_are_the_codes(schemas: dict[str, Any]) -> None:
    fields = schemas["Event"]["properties"]
    assert schemas["Events"]["properties"]["events"]["maxItems"] == payload.MOST_EVENTS
    assert schemas["Exceptions"]["properties"]["exceptions"]["maxItems"] == payload.MOST_EVENTS
    assert fields["message"]["maxLength"] == payload.LONGEST_MESSAGE
    said = f"At most {payload.LONGEST_DETAIL:,} characters of JSON, {payload.DEEPEST_DETAIL} levels deep."
    assert fields["detail"]["description"] == said


def test_the_closed_sets_are_the_codes(schemas: dict[str, Any]) -> None:
    fields = schemas["Event"]["properties"]
    assert tuple(fields["level"]["enum"]) == (*closed_sets.LEVELS, None)
    assert tuple(fields["failure_type"]["examples"]) == closed_sets.FAILURE_TYPES


def fields_read(function: str) -> set[str]:
    """Return the fields of an entry that a function of payload.py reads: `entry.get("x")`, `_text(entry, "x", ...)`."""
    (tree,) = (
        node
        for node in ast.walk(ast.parse(Path(payload.__file__).read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    of_get = [call.args[0] for call in calls if ast.unparse(call.func) == "entry.get"]
    of_readers = [
        call.args[1] for call in calls if call.args and ast.unparse(call.args[0]) == "entry" and call.args[1:]
    ]
    return {node.value for node in of_get + of_readers if isinstance(node, ast.Constant)}


def test_every_field_of_an_event_is_there_and_no_other(schemas: dict[str, Any]) -> None:
    assert fields_read("_event") == set(schemas["Event"]["properties"])


def test_every_field_of_an_exception_is_there_and_no_other(schemas: dict[str, Any]) -> None:
    # container_id is kept in the detail, with the whole entry
    assert fields_read("parse_exceptions") == set(schemas["Exception"]["properties"]) - {"container_id"}


@pytest.mark.django_db(databases="__all__")
@pytest.mark.usefixtures("vendor")
@pytest.mark.urls("exporters.route_management.urls")
class TestAnswers:
    """What is answered fits the document: no field more, none less."""

    def test_an_outcome(self, report: Report, schemas: dict[str, Any]) -> None:
        answer = report(event(), {}).json()
        rejected = schemas["Outcome"]["properties"]["rejected"]["items"]
        assert sorted(answer) == sorted(schemas["Outcome"]["required"]) == sorted(schemas["Outcome"]["properties"])
        assert sorted(answer["rejected"][0]) == sorted(rejected["required"]) == sorted(rejected["properties"])

    @pytest.mark.parametrize(
        ("body", "headers", "status"),
        [(b"", {}, 400), (b"", {"Authorization": ""}, 401), (b" " * (reports.BODY_LIMIT + 1), {}, 413)],
        ids=["400", "401", "413"],
    )
    def test_an_error(
        self, report: Report, document: dict[str, Any], body: bytes, headers: dict[str, str], status: int
    ) -> None:
        answer = report(body=body, **headers)
        said = document["paths"]["/api/v1/events"]["post"]["responses"][str(status)]
        assert (answer.status_code, sorted(answer.json())) == (status, ["error"])
        assert set(said.get("headers", {})) <= set(answer.headers)


SCHEMATHESIS = shutil.which("schemathesis", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")


@pytest.mark.gate
@pytest.mark.timeout(300)
@pytest.mark.skipif(SCHEMATHESIS is None, reason="schemathesis is not there: pipx install schemathesis")
def test_a_live_server_answers_as_the_document_says(tmp_path: Path) -> None:
    """Valid, invalid and missing bodies, headers and methods by schemathesis: no 500 ever, nothing undocumented."""
    url = f"sqlite:///{tmp_path / 'userdb.sqlite3'}"
    migrate(url)
    token = run(url, "token", "create", "alpha").stdout.strip()
    with serving(url, tmp_path / "log", REPORTS_REQUESTS_PER_SECOND="100000") as web:
        assert SCHEMATHESIS is not None
        done = subprocess.run(
            [
                SCHEMATHESIS, "run", str(DOCUMENT), f"--url=http://127.0.0.1:{web.port}", "--max-examples=150",
                "--generation-deterministic", f"--header=Authorization: Bearer {token}", "--no-color",
                "--checks=not_a_server_error,status_code_conformance,content_type_conformance,"
                "response_headers_conformance,response_schema_conformance,unsupported_method",
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:]
        assert web.report(token, event())[0] == 200
        assert not web.said("Traceback")
