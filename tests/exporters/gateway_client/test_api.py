"""The Python side: blocks, functions, tasks of an event loop, log records and forked children."""

import asyncio
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporters import gateway_client as client_package
from exporters.gateway_client import ReportHandler, report_gateway_exception, run
from exporters.gateway_client.spool import Spool
from tests.exporters.gateway_client.client import ROOT, Client, counts


def test_the_package_exports_what_it_says() -> None:
    assert sorted(client_package.__all__) == ["ReportHandler", "report_gateway_exception", "run"]
    assert all(getattr(client_package, name) for name in client_package.__all__)


def test_importing_the_package_loads_none_of_its_parts() -> None:
    script = "import sys, exporters.gateway_client; print([m for m in sys.modules if 'gateway_client.' in m])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT, check=True)
    assert done.stdout == b"[]\n"


def test_a_report_as_the_platforms_modules_make_it(client: Client, spool: Spool) -> None:
    identifier = report_gateway_exception("solver gone", {"node": 7}, "critical")
    report = client.report()
    assert (report["id"], report["message"], report["level"]) == (identifier, "solver gone", "critical")
    assert (report["failure_type"], report["task"], report["detail"]["node"]) == ("exception", "", 7)


def test_task_and_failure_type_may_be_given_or_stand_in_the_detail(client: Client) -> None:
    report_gateway_exception("a", task="grid", failure_type="no_convergence")
    report_gateway_exception("b", {"task": "net", "failure_type": "rti_error"})
    report_gateway_exception("c", failure_type="made up")
    assert [(r["task"], r["failure_type"]) for r in client.reports()] == [
        ("grid", "no_convergence"), ("net", "rti_error"), ("", "other"),
    ]  # fmt: skip
    assert client.reports()[2]["detail"]["reported_failure_type"] == "made up"


def test_a_level_that_is_none_becomes_error(client: Client) -> None:
    report_gateway_exception("x", level="fatal")
    assert (client.report()["level"], client.report()["detail"]["reported_level"]) == ("error", "fatal")


def test_a_block_that_ends_well_is_a_success(client: Client, spool: Spool) -> None:
    with run("grid"):
        pass
    assert counts(spool, "grid") == (1, 0, 0)
    assert client.reports() == []


def test_an_exception_is_a_failure_and_goes_on(client: Client, spool: Spool) -> None:
    with pytest.raises(ZeroDivisionError), run("grid", federation="f-1"):
        _ = 1 / 0
    report = client.report()
    assert (report["failure_type"], report["message"]) == ("exception", "grid: ZeroDivisionError: division by zero")
    assert "_ = 1 / 0" in report["detail"]["traceback"]
    assert (report["detail"]["federation"], report["detail"]["exception"]) == ("f-1", "ZeroDivisionError")
    assert counts(spool, "grid") == (0, 1, 1)


@pytest.mark.parametrize(
    ("error", "failure_type"),
    [
        (MemoryError(), "out_of_memory"),
        (TimeoutError("x"), "timeout"),
        (FileNotFoundError("x"), "missing_file"),
        (KeyboardInterrupt(), "signal"),
        (SystemExit(3), "nonzero_exit"),
        (RuntimeError("(#485) Warning Max Control Iterations Exceeded."), "no_convergence"),
        (RuntimeError("RTIinternalError: x"), "rti_error"),
        (ValueError("x"), "exception"),
    ],
)
def test_an_exception_is_named(client: Client, error: BaseException, failure_type: str) -> None:
    with pytest.raises(type(error)), run("grid"):
        raise error
    assert client.report()["failure_type"] == failure_type


@pytest.mark.parametrize("code", [None, 0])
def test_leaving_the_program_well_is_a_success(spool: Spool, code: int | None) -> None:
    with pytest.raises(SystemExit), run("grid"):
        sys.exit(code)
    assert counts(spool, "grid") == (1, 0, 0)


def test_a_report_within_a_run_belongs_to_it(client: Client) -> None:
    with run("grid") as under_way:
        report_gateway_exception("odd", level="warning")
    report = client.report()
    assert (report["task"], report["detail"]["run_id"]) == ("grid", under_way.run_id)
    report_gateway_exception("later")
    assert client.reports()[1]["task"] == ""


def test_a_function_is_a_run_at_each_call(client: Client, spool: Spool) -> None:
    @run("grid")
    def solve(load: int, *, scale: int = 1) -> int:
        """Solve it."""
        if load > 10:
            raise ValueError(load)
        return load * scale

    assert solve(2, scale=3) == 6
    with pytest.raises(ValueError, match="11"):
        solve(11)
    assert counts(spool, "grid") == (1, 1, 1)
    assert (solve.__name__, solve.__doc__) == ("solve", "Solve it.")


def test_runs_of_an_event_loop_do_not_mix(client: Client, spool: Spool) -> None:
    @run("decorated")
    async def solve(name: str) -> str:
        await asyncio.sleep(0.01)
        return name

    async def one(name: str) -> None:
        async with run(name):
            await asyncio.sleep(0.01)
            report_gateway_exception(name, level="info")
            if name == "b":
                raise RuntimeError(name)

    async def all_of_them() -> list[object]:
        return list(await asyncio.gather(one("a"), one("b"), one("c"), solve("x"), return_exceptions=True))

    assert str(asyncio.run(all_of_them())) == "[None, RuntimeError('b'), None, 'x']"
    assert {(r["task"], r["message"]) for r in client.reports() if r["level"] == "info"} == {(n, n) for n in "abc"}
    assert [counts(spool, name)[:2] for name in ("a", "b", "c", "decorated")] == [(1, 0), (0, 1), (1, 0), (1, 0)]


def test_a_task_that_is_cancelled_has_failed(client: Client) -> None:
    async def slow() -> None:
        async with run("grid"):
            await asyncio.sleep(30)

    async def cancel() -> None:
        task = asyncio.create_task(slow())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert client.report()["failure_type"] == "other"


def test_threads_may_all_report_at_once(client: Client) -> None:
    threads = [threading.Thread(target=report_gateway_exception, args=(str(number),)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(report["message"]) for report in client.reports()) == list(range(20))


def test_forked_children_report_too(client: Client, spool: Spool) -> None:
    script = """
import multiprocessing, sys
from exporters.gateway_client import report_gateway_exception as report, run
def work(number):
    with run("child"):
        return report(str(number), level="warning")
report("parent")
with multiprocessing.get_context("fork").Pool(4) as pool:
    sys.exit(0 if all(pool.map(work, range(40))) else 1)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert {report["message"] for report in client.reports()} == {"parent", *map(str, range(40))}
    assert counts(spool, "child") == (40, 0, 0)


def test_a_fork_in_the_middle_of_another_threads_report_blocks_nobody(client: Client) -> None:
    script = """
import os, signal, sys, threading
from exporters.gateway_client import report_gateway_exception as report
def work():
    while True: report("thread", level="info")
report("first")
threading.Thread(target=work, daemon=True).start()
for number in range(20):
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os._exit(report("child", level="warning") is None)
    if os.waitpid(child, 0)[1] != 0: os._exit(1)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=30, check=False)
    assert done.returncode == 0
    assert [report["message"] for report in client.reports()].count("child") == 20


def test_a_child_forked_in_the_middle_of_a_run_is_no_second_run(client: Client, spool: Spool) -> None:
    context = multiprocessing.get_context("fork")
    with run("grid"):
        child = context.Process(target=os._exit, args=(0,))
        child.start()
        child.join()
    assert counts(spool, "grid") == (1, 0, 0)


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    logger = logging.getLogger("tenant.model")
    logger.propagate = False
    yield logger
    logger.handlers.clear()


def test_log_records_are_reports_from_their_level_on(client: Client, log: logging.Logger) -> None:
    log.addHandler(ReportHandler(task="grid"))
    log.warning("not this")
    try:
        _ = {}["bus"]
    except KeyError:
        log.exception("bus %d is gone", 7)
    report = client.report()
    assert (report["message"].splitlines()[0], report["level"], report["task"]) == ("bus 7 is gone", "error", "grid")
    assert (report["failure_type"], report["detail"]["logger"]) == ("exception", "tenant.model")
    assert "KeyError: 'bus'" in report["detail"]["traceback"]


def test_a_handler_for_warnings_reports_them_as_such(client: Client, log: logging.Logger) -> None:
    log.addHandler(ReportHandler(logging.WARNING))
    log.warning("odd")
    log.critical("gone")
    assert [report["level"] for report in client.reports()] == ["warning", "critical"]


def test_our_own_trouble_is_not_reported_into_itself(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    handler = ReportHandler(logging.DEBUG)
    handler.emit(logging.LogRecord("exporters.gateway_client.sender", logging.ERROR, __file__, 1, "x", None, None))
    assert client.reports() == []


def test_a_spool_that_can_not_be_written_never_breaks_the_program(
    client: Client, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("in the way")
    with run("grid"):
        assert report_gateway_exception("kept beside") is not None
    assert "kept beside the spool until it can be written" in caplog.text
    folder.unlink()
    client.run("--", "true")
    assert client.report()["message"] == "kept beside"
    assert counts(Spool(folder), "grid") == (1, 0, 0)


def test_what_can_be_no_json_is_text(client: Client) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    report_gateway_exception("x", {"odd": Odd(), "set": {1}, "nan": float("inf"), ("a", 1): b"\xff"})
    detail = client.report()["detail"]
    assert detail["odd"] == "<Odd without text: RuntimeError>"
    assert (detail["set"], detail["nan"], detail["('a', 1)"]) == ([1], "inf", "\ufffd")
    json.dumps(detail)
