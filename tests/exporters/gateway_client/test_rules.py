"""A rules file with a mistake is refused at the start, with its place."""

from pathlib import Path

import pytest

from exporters.gateway_client.rules import RulesError, parse
from tests.exporters.gateway_client.client import Client


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mine exception failed (unclosed", "own.rules:2:23: mine: the pattern '(unclosed' is wrong: missing )"),
        ("mine exception failed a[z-a]", "own.rules:2:25: mine: the pattern 'a[z-a]' is wrong: bad character range z-a"),
        ("mine nonsense failed x", "own.rules:2:6: mine: 'nonsense' is none of nonzero_exit, signal, out_of_memory,"),
        ("mine exception sometimes x", "own.rules:2:16: mine: 'sometimes' is neither failed nor always"),
        ("mine exception failed", "own.rules:2:1: 'mine exception failed' is not NAME FAILURE_TYPE WHEN PATTERN"),
        ("mine exception failed x*", "own.rules:2:23: mine: the pattern 'x*' fits an empty output"),
    ],
)  # fmt: skip
def test_the_line_the_column_and_the_pattern_are_named(line: str, said: str) -> None:
    with pytest.raises(RulesError) as error:
        parse(f"# of my own\n{line}\n", "own.rules")
    assert str(error.value).startswith(said)


def test_comments_and_empty_lines_are_left_out() -> None:
    assert [rule.name for rule in parse("# x\n\n  # y\nmine other failed a b  \n", "own.rules")] == ["mine"]


def test_a_wrong_file_stops_the_run_before_it_begins(client: Client, tmp_path: Path) -> None:
    (tmp_path / "own.rules").write_text("mine other failed (\n")
    done = client.run("--rules", str(tmp_path / "own.rules"), "--", "touch", str(tmp_path / "ran"))
    assert done.returncode == 2
    assert f"{tmp_path}/own.rules:1:19: mine: the pattern '(' is wrong".encode() in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_stops_the_run_before_it_begins(client: Client) -> None:
    done = client.run("--", "true", GATEWAY_RULES="/nowhere/own.rules")
    assert (done.returncode, done.stderr) == (
        2, b"gateway-client run: /nowhere/own.rules: can't be read: No such file or directory\n",
    )  # fmt: skip


def test_ones_own_rule_and_its_name_stand_in_the_report(client: Client, tmp_path: Path) -> None:
    (tmp_path / "own.rules").write_text("study no_convergence always STUDY (?P<message>FAILED.*)\n")
    done = client.run("--rules", str(tmp_path / "own.rules"), "--task", "study", "--", "echo", "STUDY FAILED at 7")
    assert done.returncode == 0
    report = client.report()
    assert (report["failure_type"], report["message"]) == ("no_convergence", "study: FAILED at 7")
    assert report["detail"]["rule"] == "study"
