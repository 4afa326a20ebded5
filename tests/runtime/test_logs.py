"""Log lines: one an event, readable by machines, whatever is in it."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runtime import logs

ODD = [
    "",
    "two\nlines",
    "tab\t",
    'quo"te',
    "a=b",
    "back\\slash",
    "\x1b[31mred",
    "\x9b31m",
    "\u2028",
    "\x85",
    "说",
    "\U0001f4a5",
    None,
    1.5,
    True,
    ["a", 1],
    {"k": "v"},
    ValueError("x y"),
]

Lines = Callable[[], list[str]]


@pytest.fixture
def lines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Configure logging in the form that the test asks for; return what was written."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure("info", request.param)
    yield lambda: stream.getvalue().splitlines()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


logfmt = pytest.mark.parametrize("lines", ["logfmt"], indirect=True)
as_json = pytest.mark.parametrize("lines", ["json"], indirect=True)
both = pytest.mark.parametrize("lines", ["logfmt", "json"], indirect=True)
log = logging.getLogger("tests.runtime")


@logfmt
def test_a_logfmt_line(lines: Lines) -> None:
    log.info("report accepted", extra={"tenant": "alpha", "note": "two words", "count": 3})
    (line,) = lines()
    time, rest = line.split(" ", 1)
    assert time.startswith("time=20")
    assert time.endswith("Z")
    assert rest == 'level=info source=tests.runtime msg="report accepted" tenant=alpha note="two words" count=3'


@as_json
def test_a_json_line(lines: Lines) -> None:
    log.warning("report %s", "refused", extra={"tenant": "说", "status": 401})
    (line,) = lines()
    said = json.loads(line)
    del said["time"]
    assert said == {
        "level": "warning",
        "source": "tests.runtime",
        "msg": "report refused",
        "tenant": "说",
        "status": 401,
    }
    assert "说" in line


@both
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_an_odd_value_stays_on_its_line_and_off_the_terminals_controls(lines: Lines, value: Any) -> None:
    log.info("x", extra={"value": value})
    assert len(lines()) == 1
    assert lines()[0].isprintable()


@as_json
@pytest.mark.parametrize("value", ["\u2028", "\x9b31m", "\U000e0001", 'a"\\b'])
def test_what_was_escaped_is_read_back(lines: Lines, value: str) -> None:
    log.info("x", extra={"value": value})
    assert json.loads(lines()[0])["value"] == value


@both
def test_a_traceback_is_part_of_its_line(lines: Lines) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("failed")
    (line,) = lines()
    assert "ValueError: broken" in line


@logfmt
def test_what_is_below_the_level_is_silent(lines: Lines) -> None:
    log.debug("x")
    assert lines() == []


@logfmt
def test_warnings_of_python_are_lines_too(lines: Lines) -> None:
    logging.getLogger("py.warnings").warning("file.py:1: UserWarning: x\n  y()\n")
    assert len(lines()) == 1
