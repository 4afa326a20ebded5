"""Settings and secrets: what is missing or wrong is named, a rotated file is seen, two tokens refuse nobody."""

import os
from pathlib import Path

import pytest

from runtime.settings import Secret, SettingsError, env_bool, env_list, env_number, env_text


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n")
    monkeypatch.setenv("TEST_TOKEN_FILE", str(path))
    monkeypatch.delenv("TEST_TOKEN", raising=False)
    return path


def test_a_secret_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TOKEN", "direct")
    assert Secret("TEST_TOKEN").values() == ("direct",)


def test_a_secret_comes_from_its_file(token_file: Path) -> None:
    assert Secret("TEST_TOKEN").values() == ("first",)


def test_a_file_may_hold_two_and_the_first_is_the_one_to_use(token_file: Path) -> None:
    token_file.write_text("new\nold\n")
    secret = Secret("TEST_TOKEN")
    assert secret.values() == ("new", "old")
    assert secret.required("say it") == "new"


def test_a_value_may_hold_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database's URL may name a folder such as `My Files`."""
    monkeypatch.setenv("TEST_TOKEN", " sqlite:////My Files/x ")
    assert Secret("TEST_TOKEN").values() == ("sqlite:////My Files/x",)


def test_a_file_written_anew_is_read_again(token_file: Path) -> None:
    secret = Secret("TEST_TOKEN")
    secret.values()
    token_file.write_text("second\n")  # as long as before
    os.utime(token_file, ns=(1, 1))
    assert secret.values() == ("second",)


def test_a_link_that_points_elsewhere_is_read_again(token_file: Path, tmp_path: Path) -> None:
    """So does Kubernetes rotate a mounted Secret."""
    token_file.rename(tmp_path / "1")
    (tmp_path / "2").write_text("other\n")
    token_file.symlink_to("1")
    secret = Secret("TEST_TOKEN")
    assert secret.values() == ("first",)
    token_file.unlink()
    token_file.symlink_to("2")
    assert secret.values() == ("other",)


def test_both_set_is_an_error_that_names_both(token_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TOKEN", "s3cret")
    with pytest.raises(SettingsError, match="TEST_TOKEN and TEST_TOKEN_FILE are both set: keep one") as raised:
        Secret("TEST_TOKEN").values()
    assert "s3cret" not in str(raised.value)


def test_a_missing_file_is_named(token_file: Path) -> None:
    token_file.unlink()
    with pytest.raises(SettingsError, match=f"TEST_TOKEN_FILE: {token_file} can't be read: FileNotFoundError"):
        Secret("TEST_TOKEN").values()


def test_a_file_that_comes_back_is_read(token_file: Path) -> None:
    secret = Secret("TEST_TOKEN")
    token_file.unlink()
    with pytest.raises(SettingsError):
        secret.values()
    token_file.write_text("again")
    assert secret.values() == ("again",)


def test_a_file_that_is_no_text_is_named(token_file: Path) -> None:
    token_file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="can't be read: UnicodeDecodeError"):
        Secret("TEST_TOKEN").values()


@pytest.mark.parametrize("text", ["", " ", "\n\n"])
def test_an_empty_file_is_said_to_be_empty(token_file: Path, text: str) -> None:
    token_file.write_text(text)
    with pytest.raises(SettingsError, match=f"TEST_TOKEN_FILE: {token_file} is empty: make one"):
        Secret("TEST_TOKEN").required("make one")


def test_a_secret_that_is_not_set_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match=r"TEST_TOKEN \(or TEST_TOKEN_FILE\) is not set: make one"):
        Secret("TEST_TOKEN").required("make one")
    assert Secret("TEST_TOKEN").values() == ()


def test_a_text_without_default_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TEXT", "  ")
    with pytest.raises(SettingsError, match="TEST_TEXT is not set"):
        env_text("TEST_TEXT")
    assert env_text("TEST_TEXT", "default") == "default"


@pytest.mark.parametrize("text", ["nan", "inf", "0", "11", "ten"])
def test_a_number_out_of_bounds_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TEST_NUMBER", text)
    with pytest.raises(SettingsError, match=r"TEST_NUMBER: .*(is not between 1 and 10|is not a number)"):
        env_number("TEST_NUMBER", 5, 1, 10)


def test_a_number_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env_number("TEST_NUMBER", 5, 1, 10) == 5
    monkeypatch.setenv("TEST_NUMBER", "2.5")
    assert env_number("TEST_NUMBER", 5, 1, 10) == 2.5


@pytest.mark.parametrize(("text", "value"), [("Yes", True), ("1", True), ("OFF", False), ("false", False), ("", True)])
def test_truth(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("TEST_BOOL", text)
    assert env_bool("TEST_BOOL", True) is value


def test_what_is_neither_true_nor_false_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_BOOL", "maybe")
    with pytest.raises(SettingsError, match="TEST_BOOL: 'maybe' is neither true nor false"):
        env_bool("TEST_BOOL")


def test_a_list_has_no_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_LIST", " a, ,b,")
    assert env_list("TEST_LIST") == ["a", "b"]
