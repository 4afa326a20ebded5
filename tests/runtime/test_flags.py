"""Flags as Prometheus' own programs take them, and exit codes."""

import argparse
import errno
from datetime import timedelta

import pytest

from runtime.flags import Address, address, duration, exit_codes, threads
from runtime.settings import SettingsError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":8000", "", 8000),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("localhost:65535", "localhost", 65535),
        ("[::1]:9090", "::1", 9090),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, host: str, port: int) -> None:
    assert address(text) == (host, port)
    assert str(address(text)) == text


@pytest.mark.parametrize(
    "text", ["", "8000", "host", "host:", ":x", ":-1", ":65536", ":８０", ": 80", "::1:80", "[::1", "[::1]", "[a]b]:1"]
)
def test_what_is_no_address_is_refused_with_the_form_that_is_meant(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not HOST:PORT, \[IPv6\]:PORT or :PORT"):
        address(text)


@pytest.mark.parametrize(
    ("at", "url"),
    [
        (Address("", 1), "http://127.0.0.1:1"),
        (Address("::1", 2), "http://[::1]:2"),
        (Address("host", 3), "http://host:3"),
    ],
)
def test_an_address_has_a_url(at: Address, url: str) -> None:
    assert at.url == url


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("24h", 86_400),
        ("90d", 7_776_000),
        ("7", 7),
        ("1.5m", 90),
        ("0", 0),
        ("999999999d", 86_399_999_913_600),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "s", "-5s", "5 s", "1w", "1h30m", "1e3s", "٣s", "5S", "9999999999s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no duration"):
        duration(text)


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("16", 16), ("1000", 1000)])
def test_numbers_of_threads(text: str, number: int) -> None:
    assert threads(text) == number


@pytest.mark.parametrize("text", ["0", "-3", "1001", "x", "", "1.5", "４"])
def test_what_is_no_number_of_threads_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no number from 1 to 1000"):
        threads(text)


def _raise(error: Exception) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SettingsError("X is not set"), "X is not set"),
        (OSError(errno.EADDRINUSE, "can't listen on :1: in use"), "can't listen on :1: in use"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), "[Errno 2] No such file: '/x'"),
    ],
)
def test_trouble_is_one_line_and_exit_code_1(error: Exception, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_codes("program", lambda: _raise(error)) == 1
    assert capsys.readouterr().err == f"program: {text}\n"


def test_the_programs_own_exit_code_is_passed_on() -> None:
    assert exit_codes("program", lambda: 7) == 7


def test_an_error_of_the_program_itself_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        exit_codes("program", lambda: _raise(KeyError("bug")))
