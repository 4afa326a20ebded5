"""`gateway-client run` is transparent: bytes, order, exit codes, signals; and leaves nothing behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exporters.gateway_client.spool import Spool
from exporters.gateway_client.streams import WINDOW, Tail
from tests.exporters.gateway_client.client import COMMAND, ROOT, Client, counts, until

pytestmark = pytest.mark.processes


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("code", [0, 1, 3, 124, 255])
def test_the_exit_code_is_the_childs(client: Client, code: int) -> None:
    assert client.run("--", "sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
def test_a_childs_signal_is_128_more(client: Client, number: int) -> None:
    done = client.run("--", "sh", "-c", f"kill -{number} $$")
    assert done.returncode == 128 + number
    assert client.report()["failure_type"] == "signal"
    assert client.report()["detail"]["signal"] == number


def test_a_command_that_is_not_there_is_127(client: Client) -> None:
    done = client.run("--task", "grid", "--", "no-such-simulator", "-u", "Cmdenv")
    assert (done.returncode, done.stderr) == (127, b"gateway-client: no-such-simulator: No such file or directory\n")
    assert client.report()["failure_type"] == "missing_command"
    assert client.report()["message"] == "grid: No such file or directory"


def test_a_command_that_can_not_be_executed_is_126(client: Client, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("1,2\n")
    done = client.run("--", str(tmp_path / "data"))
    assert (done.returncode, client.report()["failure_type"]) == (126, "missing_command")


def test_a_script_without_an_interpreter_line_runs_in_a_shell(client: Client, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo $1 $2\n")
    (tmp_path / "script").chmod(0o755)
    assert client.run("--", str(tmp_path / "script"), "a", "b c").stdout == b"a b c\n"


def test_input_and_output_are_bytes_and_stay_apart(client: Client) -> None:
    data = bytes(range(256)) * 4
    done = client.run("--", "sh", "-c", "cat; printf '\\377err' >&2", input=data)
    assert (done.stdout, done.stderr) == (data, b"\xfferr")


def test_output_to_one_file_keeps_its_order(client: Client) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done"
    done = subprocess.run(
        [*COMMAND, "run", "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout == b"".join(b"out %d\nerr %d\n" % (i, i) for i in range(1, 10))


def test_output_is_forwarded_before_the_child_ends(client: Client) -> None:
    with client.start("run", "--", "sh", "-c", "printf now; read x", stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert os.read(process.stdout.fileno(), 100) == b"now"
        process.stdin.close()


def test_what_follows_the_first_dashes_is_the_childs(client: Client) -> None:
    assert client.run("--task", "x", "--", "echo", "--", "--task", "y").stdout == b"-- --task y\n"


def test_a_successful_run_says_nothing_of_its_own(client: Client, spool: Spool) -> None:
    done = client.run("--task", "grid", "--", "true")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert counts(spool, "grid") == (1, 0, 0)
    assert client.reports() == []


def test_no_command_is_wrong_usage(client: Client) -> None:
    done = client.run("--task", "x")
    assert done.returncode == 2
    assert b"no command given" in done.stderr


def test_a_wrong_flag_is_wrong_usage(client: Client) -> None:
    done = client.run("--nonsense", "--", "true")
    assert done.returncode == 2
    assert done.stderr.startswith(b"usage: gateway-client run")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_reaches_the_whole_process_group(client: Client, number: signal.Signals) -> None:
    inner = f"trap 'echo inner; exit' {number.value}; echo ready; while :; do sleep 0.02; done"
    script = f"trap 'echo outer; exit 7' {number.value}; sh -c \"{inner}\"; wait"
    with client.start("run", "--", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"ready\n"
        process.send_signal(number)
        said = process.stdout.read()
        assert (process.wait(10), sorted(said.split())) == (7, [b"inner", b"outer"])
    assert client.report()["detail"]["signals_forwarded"] == [number.name]


def test_a_run_that_is_told_to_end_ends_by_that_signal(client: Client) -> None:
    with client.start("run", "--", "sh", "-c", "echo ready; exec sleep 30") as process:
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 100)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
    assert client.report()["failure_type"] == "signal"


def test_a_run_that_takes_too_long_is_ended(client: Client) -> None:
    done = client.run("--timeout", "100ms", "--task", "grid", "--", "sleep", "30")
    assert done.returncode == 124
    report = client.report()
    assert (report["failure_type"], report["detail"]["exit_code"]) == ("timeout", 143)
    assert 0.1 <= report["detail"]["duration_seconds"] < 10


def test_a_run_that_ends_as_soon_as_it_begins_has_lasted_no_longer(client: Client) -> None:
    # it may have ended before the clock was read for the first time
    for _ in range(5):
        client.run("--task", "grid", "--", "false")
    assert all(0 <= report["detail"]["duration_seconds"] < 10 for report in client.reports())


def test_a_run_that_does_not_heed_the_timeout_is_killed_after_the_grace_time(client: Client) -> None:
    script = "trap 'echo told' TERM; while :; do sleep 0.02; done"
    done = client.run("--timeout", "200ms", "--grace", "200ms", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (124, b"told\n")
    assert client.report()["detail"]["signal"] == signal.SIGKILL


def test_a_run_that_ends_well_after_its_timeout_is_still_a_timeout(client: Client) -> None:
    done = client.run("--timeout", "100ms", "--", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.02; done")
    assert (done.returncode, client.report()["failure_type"]) == (124, "timeout")


@pytest.mark.parametrize(
    "script",
    [
        "sleep 31 & echo $!",
        "setsid sleep 31 & while [ $(cut -d' ' -f6 /proc/$!/stat) != $! ]; do :; done; echo $!",
        "trap '' TERM; sleep 31 & echo $!",
    ],
    ids=["of the group", "of a session of its own", "deaf to SIGTERM"],
)
def test_nothing_is_left_behind(client: Client, script: str) -> None:
    done = client.run("--grace", "200ms", "--", "sh", "-c", f"{script}; exit 0")
    assert done.returncode == 0
    assert not is_alive(int(done.stdout))


def test_the_output_of_what_is_left_over_is_not_lost(client: Client) -> None:
    script = "sh -c 'trap \"echo last words; exit\" TERM; echo ready >&2; while :; do sleep 0.02; done' & read x"
    with client.start("run", "--", "sh", "-c", script, stdin=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stdin is not None
        assert os.read(process.stderr.fileno(), 100) == b"ready\n"
        process.stdin.close()
        assert process.stdout.read() == b"last words\n"


def test_a_reader_that_goes_away_ends_the_child_as_without_us(client: Client) -> None:
    with client.start("run", "--", "yes") as process:
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 10)
        process.stdout.close()
        assert process.wait(10) == 128 + signal.SIGPIPE


def test_a_disk_that_takes_no_output_does_not_end_the_child(client: Client) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "run", "--", "sh", "-c", "echo a; sleep 0.05; echo b; echo c >&2; exit 3"],
            stdout=full, stderr=subprocess.PIPE, cwd=ROOT, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr == b"gateway-client: output is lost: No space left on device\nc\n"
    assert client.report()["detail"]["stdout"] == "a\nb\n"


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_stream_is_closed_for_the_child(client: Client, tmp_path: Path, closed: str) -> None:
    script = "import os, sys; is_open = bytes(os.path.exists(f'/dev/fd/{n}') for n in range(3))\n"
    script += "os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), is_open)"
    seen = []
    for name, wrapper in (("bare", []), ("wrapped", [*COMMAND, "run", "--"])):
        command = [*wrapper, sys.executable, "-c", script, str(tmp_path / name)]
        subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *command], cwd=ROOT, check=True)
        seen.append((tmp_path / name).read_bytes())
    assert seen[0] == seen[1]
    assert 0 in seen[0]


def test_a_flood_of_output_arrives_whole(client: Client) -> None:
    script = "import sys; [sys.stdout.buffer.write(bytes([i]) * 1_000_003) for i in range(60)]; sys.exit(1)"
    done = client.run("--", sys.executable, "-c", script)
    assert done.stdout == b"".join(bytes([i]) * 1_000_003 for i in range(60))
    assert client.report()["detail"]["stdout_bytes"] == 60 * 1_000_003


@pytest.mark.parametrize(
    ("command", "code"),
    [(["yes"], 143), (["head", "-c", "1500000", "/dev/zero"], 0)],
    ids=["under way", "already ended"],
)
def test_a_reader_that_hangs_does_not_keep_a_run_that_is_told_to_end(
    client: Client, command: list[str], code: int
) -> None:
    with client.start("run", "--task", "grid", "--grace", "10ms", "--", *command) as process:
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 10)
        wait_channel = Path(f"/proc/{process.pid}/wchan")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until(lambda: not children.read_text() or code)
        until(lambda: "pipe" in wait_channel.read_text())  # it writes, and nobody reads
        process.terminate()
        assert process.wait(10) == code
        assert process.stderr is not None
        assert b"nobody took the output" in process.stderr.read()


def test_the_evidence_is_the_end_of_the_output(client: Client) -> None:
    client.run("--task", "grid", "--", sys.executable, "-c", "print('x' * 20000 + 'END'); import sys; sys.exit('no')")
    detail = client.report()["detail"]
    assert detail["stdout"].endswith("xEND\n")
    assert len(detail["stdout"]) == 8192
    assert (detail["stdout_bytes"], detail["stderr"]) == (20004, "no\n")
    assert detail["exit_code"] == 1
    assert detail["duration_seconds"] > 0
    assert detail["cpu_seconds"] > 0
    assert detail["peak_memory_bytes"] > 1_000_000
    assert detail["command"][1:2] == ["-c"]
    assert detail["host"]


def test_the_evidence_names_where_it_ran(client: Client) -> None:
    client.run("--", "false", POD_NAME="grid-0", POD_NAMESPACE="acme", CONTAINER_IMAGE="sim:7", TENANT_ID="acme")
    detail = client.report()["detail"]
    assert [detail[name] for name in ("pod", "namespace", "image", "tenant_id")] == ["grid-0", "acme", "sim:7", "acme"]


def test_secrets_are_no_evidence(client: Client) -> None:
    script = "echo connecting with hunter2-hunter2; echo 'password=swordfish' >&2; exit 1"
    client.run(
        "--", "sh", "-c", script, "--password", "geheim", DB_PASSWORD="hunter2-hunter2", GATEWAY_TOKEN="mm_secret"
    )
    text = json.dumps(client.report())
    assert not [word for word in ("hunter2", "swordfish", "geheim") if word in text]
    assert client.report()["detail"]["stdout"] == "connecting with ***\n"


def test_a_secret_at_the_cut_is_masked_whole(client: Client) -> None:
    client.run("--", sys.executable, "-c", "print('password=swordfish ' + 'x' * 8186); exit(1)")
    assert "fish" not in client.report()["detail"]["stdout"]


def test_memory_stays_bounded_whatever_is_printed(client: Client, tmp_path: Path) -> None:
    script = "import sys; [sys.stdout.write('x' * 1_000_000) for _ in range(100)]; sys.exit(1)"
    measure = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL);"
    measure += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run(
        [sys.executable, "-c", measure, *COMMAND, "run", "--", sys.executable, "-c", script],
        stdout=subprocess.PIPE, cwd=ROOT, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 60_000
    assert client.report()["detail"]["stdout_bytes"] == 100_000_000


def test_a_tail_keeps_the_end_of_pieces_of_any_size() -> None:
    tail, everything = Tail(), bytearray()
    for size in (1, 7, WINDOW - 1, WINDOW, WINDOW + 1, 3, 2 * WINDOW, 100_000, 100_000, 100_000, 5):
        part = os.urandom(size)
        everything += part
        tail.add(memoryview(part))
        assert tail.last() == everything[-WINDOW:]
        assert tail.last(10) == everything[-10:]
    assert tail.total == len(everything)


def test_a_federation_ties_the_runs_and_their_own_reports_together(client: Client) -> None:
    child = "from exporters.gateway_client import report_gateway_exception as r; r('inner'); raise SystemExit(1)"
    client.run("--task", "grid", "--federation", "f-7", "--", sys.executable, "-c", child)
    inner, outer = client.reports()
    assert inner["detail"]["federation"] == outer["detail"]["federation"] == "f-7"
    assert inner["detail"]["run_id"] == outer["detail"]["run_id"]
    assert inner["task"] == outer["task"] == "grid"


def test_a_federation_is_inherited(client: Client) -> None:
    client.run("--", *COMMAND, "run", "--task", "inner", "--", "false", GATEWAY_FEDERATION="f-8")
    assert {report["detail"]["federation"] for report in client.reports()} == {"f-8"}


def test_a_wrapper_that_is_killed_loses_no_run(client: Client, spool: Spool) -> None:
    with client.start("run", "--task", "grid", "--", "sh", "-c", "echo $$; exec sleep 30") as process:
        assert process.stdout is not None
        child = int(os.read(process.stdout.fileno(), 100))
        process.kill()
    os.kill(child, signal.SIGKILL)
    client.run("--task", "next", "--", "true")
    assert counts(spool, "grid") == (0, 1, 1)
    assert client.report()["failure_type"] == "signal"
    client.run("--task", "next", "--", "true")
    assert counts(spool, "grid") == (0, 1, 1)


def test_a_run_under_way_is_not_taken_for_dead(client: Client, spool: Spool) -> None:
    with client.start("run", "--task", "grid", "--", "sh", "-c", "read x", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        until(lambda: spool.database.read(lambda c: c.execute("SELECT 1 FROM running").fetchone()))
        client.run("--task", "next", "--", "true")
        process.stdin.close()
        process.wait(10)
    assert counts(spool, "grid") == (0, 1, 1)  # `read` at the end of its input exits with 1
    assert client.report()["failure_type"] == "nonzero_exit"


NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc"]


def may_make_a_namespace() -> bool:
    """Ask by doing: it takes root's rights, and a root folder that is a mount point (a chroot's is none)."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_make_a_namespace(), reason="this machine lets us make no PID namespace")
def test_as_the_first_process_of_a_container_it_reaps_orphans(client: Client) -> None:
    script = "setsid sh -c 'sleep 0.05 & exit' & sleep 0.3; ps -o stat=,comm= --ppid 1 2>/dev/null || ls /proc"
    done = subprocess.run(
        [*NAMESPACE, *COMMAND, "run", "--", "sh", "-c", script], capture_output=True, cwd=ROOT, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"Z" not in done.stdout


def test_neither_requests_nor_prometheus_client_is_imported_by_a_run(client: Client) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *COMMAND[1:], "run", "--", "true"],
        capture_output=True,
        cwd=ROOT,
        check=True,
    )
    imported = {line.rpartition(b"|")[2].strip() for line in done.stderr.splitlines()}
    assert b"exporters.gateway_client.spool" in imported
    assert not imported & {b"requests", b"prometheus_client", b"logging", b"json", b"importlib.metadata"}


def test_a_lost_run_is_counted_once_whoever_sees_it_first(client: Client, spool: Spool) -> None:
    with client.start("run", "--task", "grid", "--", "sh", "-c", "echo $$; exec sleep 30") as process:
        assert process.stdout is not None
        os.kill(int(process.stdout.readline()), signal.SIGKILL)
        process.kill()
    (lost,) = spool.lost_runs()
    watchers = [client.start("flush", "--wait", "1ms") for _ in range(5)]
    for watcher in watchers:
        watcher.communicate()
    assert spool.finish(lost, 1.0, None, only_if_running=True) is False
    assert counts(spool, "grid") == (0, 1, 1)
