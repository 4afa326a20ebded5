"""Quiet hours as a pure function: which moments are quiet, until when, in which zone, and what passes all the same."""

from datetime import UTC, datetime, time

import pytest

from userdb.quiet_hours import QuietHours, of, zone

NIGHT = QuietHours(time(22), time(7), zone("Asia/Shanghai"))
NOON = QuietHours(time(12), time(13, 30), zone("UTC"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        (NIGHT, "2026-11-25T21:59:59+08:00", None),
        (NIGHT, "2026-11-25T22:00:00+08:00", "2026-11-26T07:00:00+08:00"),
        (NIGHT, "2026-11-25T23:59:59+08:00", "2026-11-26T07:00:00+08:00"),
        (NIGHT, "2026-11-26T00:00:00+08:00", "2026-11-26T07:00:00+08:00"),
        (NIGHT, "2026-11-26T06:59:59+08:00", "2026-11-26T07:00:00+08:00"),
        (NIGHT, "2026-11-26T07:00:00+08:00", None),
        (NIGHT, "2026-11-25T14:00:00+00:00", "2026-11-25T23:00:00+00:00"),
        (NOON, "2026-11-25T11:59:59+00:00", None),
        (NOON, "2026-11-25T12:00:00+00:00", "2026-11-25T13:30:00+00:00"),
        (NOON, "2026-11-25T13:30:00+00:00", None),
    ],
)
def test_what_is_owed_waits_until_their_end(hours: QuietHours, now: str, until: str | None) -> None:
    assert hours.until(at(now), {}) == (at(until) if until else None)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-03-29T00:30:00+01:00", "2026-03-29T07:00:00+02:00"),  # the clock is put forward at two
        ("2026-10-25T00:30:00+02:00", "2026-10-25T07:00:00+01:00"),  # and back at three
    ],
)
def test_the_wall_clock_counts_in_the_nights_in_which_it_is_changed(now: str, until: str) -> None:
    hours = QuietHours(time(22), time(7), zone("Europe/Berlin"))
    assert hours.until(at(now), {}) == at(until)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-03-29T01:59:00+01:00", "2026-03-29T03:30:00+02:00"),  # half past two is skipped
        ("2026-10-25T02:10:00+02:00", "2026-10-25T02:30:00+02:00"),  # and comes twice
        ("2026-10-25T02:10:00+01:00", "2026-10-25T02:30:00+01:00"),
    ],
)
def test_an_end_within_the_hour_that_is_skipped_or_comes_twice_is_never_before_now(now: str, until: str) -> None:
    hours = QuietHours(time(1), time(2, 30), zone("Europe/Berlin"))
    assert hours.until(at(now), {}) == at(until)


def test_what_is_critical_passes_if_the_channel_says_so() -> None:
    now = at("2026-11-25T23:00:00+08:00")
    assert NIGHT.until(now, {"severity": "critical"}) is None
    kept = QuietHours(NIGHT.start, NIGHT.end, NIGHT.zone, critical_passes=False)
    assert kept.until(now, {"severity": "critical"}) is not None


@pytest.mark.parametrize("name", ["Asia/Shanghae", "", "../etc/passwd", "Asia", "a\x00b"])
def test_a_zone_that_is_none_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone such as Asia/Shanghai"):
        zone(name)


def test_hours_of_a_zone_that_is_known_no_more_are_not_kept_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert of(time(22), time(7), "Mars/Olympus", True) is None
    assert "quiet hours are not kept" in caplog.text


def test_without_a_start_or_an_end_there_are_none() -> None:
    assert of(None, time(7), "UTC", True) is None
    assert of(time(22), None, "UTC", True) is None
