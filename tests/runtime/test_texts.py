"""Texts and times of strangers become what every database takes."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.texts import clean, parse_time


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T10:00:00Z", utc(2026, 11, 24, 10)),
        ("2026-11-24t10:00:00z", utc(2026, 11, 24, 10)),
        ("2026-11-24 10:00:00Z", utc(2026, 11, 24, 10)),
        ("2026-11-24T10:00:00.5Z", utc(2026, 11, 24, 10, 0, 0, 500_000)),
        ("2026-11-24T10:00:00.123456789Z", utc(2026, 11, 24, 10, 0, 0, 123_456)),
        ("2026-11-24T18:00:00+08:00", utc(2026, 11, 24, 10)),
        ("2026-11-24T04:30:00-05:30", utc(2026, 11, 24, 10)),
        ("2026-11-24T10:00:00-00:00", utc(2026, 11, 24, 10)),
        ("2026-11-24T09:59:00+23:59", utc(2026, 11, 23, 10)),
        ("2024-02-29T00:00:00Z", utc(2024, 2, 29)),
        ("2016-12-31T23:59:60Z", utc(2016, 12, 31, 23, 59, 59)),
        ("2017-01-01T07:59:60.5+08:00", utc(2016, 12, 31, 23, 59, 59, 500_000)),
        ("1000-01-01T00:00:00Z", utc(1000, 1, 1)),
        ("9999-12-31T23:59:59Z", utc(9999, 12, 31, 23, 59, 59)),
    ],
)
def test_rfc_3339_times_in_utc(text: str, moment: datetime) -> None:
    assert parse_time(text) == moment
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        None, 7, "", "now", "2026-11-24", "2026-11-24T10:00Z", "2026-11-24T10:00:00", "20261124T100000Z",
        "2026-11-24T10:00:00.Z", "2026-11-24T10:00:00+8:00", "2026-11-24T10:00:00+0800", "2026-11-24T10:00:00Z ",
        "2026-11-24T10:00:00+10:75", "٢٠٢٦-11-24T10:00:00Z", "2026-11-24T10:00:00Z\n",
    ],
)  # fmt: skip
def test_another_form_is_no_rfc_3339_time(text: object) -> None:
    with pytest.raises(ValueError, match="is no RFC 3339 time"):
        parse_time(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z", "2026-01-01T00:00:99Z", "2026-01-01T00:00:00+24:00", "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-00:01",
    ],
)  # fmt: skip
def test_the_right_form_may_still_be_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        parse_time(text)


@pytest.mark.parametrize("text", ["0999-12-31T23:59:59Z", "1000-01-01T00:00:00+00:01", "0001-01-01T00:00:00Z"])
def test_a_time_before_mysqls_first_year_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="before the year 1000"):
        parse_time(text)


@given(st.text(st.characters(codec=None, exclude_categories=[])))
def test_every_text_becomes_one_that_databases_take(text: str) -> None:
    cleaned = clean(text)
    assert "\x00" not in cleaned
    assert cleaned.encode("utf-8").decode() == cleaned
    assert clean(cleaned) == cleaned
    assert len(cleaned) == len(text)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_a_good_text_is_not_touched(text: str) -> None:
    assert clean(text) == text


@given(st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-1439, 1439))
def test_what_was_written_is_read(moment: datetime, minutes: int) -> None:
    sign, offset = "-" if minutes < 0 else "+", abs(minutes)
    text = f"{moment.isoformat()}{sign}{offset // 60:02}:{offset % 60:02}"
    assert parse_time(text) == datetime.fromisoformat(text)
