"""Secrets never leave the container."""

import time

import pytest

from exporters.gateway_client.masking import masked, masked_command


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=swordfish next", "password=*** next"),
        ("DB_PASSWORD: 'sword fish'", "DB_PASSWORD: ***"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": ***, "n": 1}'),
        ("Authorization: Bearer abc.def-ghi", "Authorization: *** ***"),
        ("got bearer abcdefghij!", "got bearer ***!"),
        ("mysql://user:geheim@db:3306/x", "mysql://user:***@db:3306/x"),
        ("connect --token abc123 --n 7", "connect --token *** --n 7"),
        ("aws AKIAABCDEFGHIJKLMNOP x", "aws *** x"),
        ("jwt eyJhbGciOiJI.eyJzdWIi.sig x", "jwt *** x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nx", "***\nx"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut off", "***"),
        ("bypass=3 compass: north passes=7 pwd /tmp/x tokens", "bypass=3 compass: north passes=7 pwd /tmp/x tokens"),
        ("voltage=0.99 keyword=x", "voltage=0.99 keyword=x"),
    ],
)
def test_secrets_are_masked_by_pattern(text: str, shown: str) -> None:
    assert masked(text, {}) == shown


def test_secrets_of_the_environment_are_masked_wherever_they_stand() -> None:
    env = {
        "DB_PASSWORD": "s3cr3t-value",
        "GATEWAY_TOKEN": "s3cr3t-value-longer",
        "PATH": "/usr/bin",
        "PIN_TOKEN": "1234",
    }
    assert masked("a s3cr3t-value-longer b s3cr3t-value /usr/bin 1234", env) == "a *** b *** /usr/bin 1234"


def test_a_files_name_is_no_secret() -> None:
    assert (
        masked("reads /run/secrets/token", {"GATEWAY_TOKEN_FILE": "/run/secrets/token"}) == "reads /run/secrets/token"
    )


def test_the_working_directory_is_no_secret() -> None:
    assert masked("in /srv/grid", {"PWD": "/srv/grid", "OLDPWD": "/srv/grid"}) == "in /srv/grid"


def test_arguments_are_masked_the_one_after_a_secrets_flag_too() -> None:
    command = ["sim", "--password", "a", "--token=b", "-n", "3", "mysql://u:p@h/x"]
    assert masked_command(command, {}) == ["sim", "--password", "***", "--token=***", "-n", "3", "mysql://u:***@h/x"]


@pytest.mark.parametrize("text", ["a" * 16_384, "-" * 16_384, "token" * 3000, "://" * 5000, "eyJ" * 5000, "='" * 8000])
def test_masking_takes_no_time_whatever_the_text(text: str) -> None:
    began = time.perf_counter()
    masked(text, {})
    assert time.perf_counter() - began < 0.5
