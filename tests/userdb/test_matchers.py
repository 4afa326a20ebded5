"""Matchers over labels mean what they mean to Alertmanager; what is none is named by its line."""

import pytest
from django.core.exceptions import ValidationError

from userdb.matchers import Matcher, parse, validate_matchers, wants

LABELS = {"alertname": "RepeatedFailures", "severity": "error", "tenant": "team-a"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('severity="error"', True),
        ("severity=error", True),
        ('severity="Error"', False),
        ('severity!="info"', True),
        ('severity=~"error|critical"', True),
        ('severity=~"err"', False),  # anchored at both ends
        ('severity=~"err.*"', True),
        ('severity!~"error|critical"', False),
        ('severity!~"err"', True),
        ('missing=""', True),
        ('missing!=""', False),
        ('missing=~".*"', True),
        ('missing=~".+"', False),
        ('tenant="team-a"\nseverity="info"', False),
        ('tenant="team-a"\n\n severity = "error" \n', True),
        ("", True),
    ],
)
def test_what_a_channel_wants(text: str, holds: bool) -> None:
    assert wants(parse(text), LABELS) is holds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'a="say \"x\""', 'say "x"'),
        (r'a="back\\slash"', "back\\slash"),
        (r'a="two\nlines"', "two\nlines"),
        ('a="b,c{}="', "b,c{}="),
        ('a="说"', "说"),
        ("a=", ""),
    ],
)
def test_values_are_read_as_alertmanager_reads_them(text: str, value: str) -> None:
    assert parse(text) == (Matcher("a", "=", value),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("severity", "line 1: 'severity' is no matcher"),
        ("severity~error", "line 1:"),
        ('a="b"\nc', "line 2: 'c' is no matcher"),
        ('a="b', "line 1:"),
        ('a="b" c="d"', "line 1:"),
        ("1a=b", "line 1:"),
        ('a=~"("', "line 1: '(' is no regular expression"),
        ('a=="b"', "line 1:"),
    ],
)
def test_what_is_no_matcher_is_named_by_its_line(text: str, said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validate_matchers(text)
    assert raised.value.messages[0].startswith(said)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", False),
        ('severity="none"', False),
        ('alertname!="X"', False),
        ('alertname="Watchdog"', True),
        ('alertname=~"Watch.*"', True),
    ],
)
def test_the_watchdog_is_wanted_only_by_name(text: str, holds: bool) -> None:
    assert wants(parse(text), {"alertname": "Watchdog", "severity": "none"}) is holds
