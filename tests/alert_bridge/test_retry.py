"""When to try again: the table of waits, and its sum."""

from datetime import timedelta

import pytest

from alert_bridge.retry import MAX_ATTEMPTS, MAX_DIGEST_ATTEMPTS, next_try, pause


@pytest.mark.parametrize(
    ("attempts", "retry_after", "chance", "seconds"),
    [
        (1, None, 0.0, 2),
        (2, None, 0.0, 4),
        (3, None, 0.0, 8),
        (8, None, 0.0, 256),
        (9, None, 0.0, 300),
        (35, None, 0.0, 300),
        (3, None, 0.5, 6),
        (3, None, 1.0, 4),
        (1, 0.5, 0.0, 2),
        (1, 30.0, 0.0, 30),
        (1, 30.0, 1.0, 30),
        (9, 30.0, 0.0, 300),
        (1, 86400.0, 0.0, 3600),
        (1, float("inf"), 0.0, 3600),
        (1, -5.0, 0.0, 2),
    ],
)
def test_the_wait_after_a_failed_try(attempts: int, retry_after: float | None, chance: float, seconds: float) -> None:
    assert next_try(attempts, retry_after, chance) == timedelta(seconds=seconds)


@pytest.mark.parametrize("attempts", [36, 37, 1000])
def test_after_the_last_try_there_is_no_other(attempts: int) -> None:
    assert next_try(attempts, 60.0, 0.0) is None


def total(chance: float, most: int, digest: bool) -> timedelta:
    waits = [next_try(attempts, None, chance, digest) for attempts in range(1, most)]
    return sum((wait for wait in waits if wait is not None), timedelta())


def test_a_destination_may_be_away_for_72_to_143_minutes_longer_than_what_it_misses_is_late() -> None:
    # 2 + 4 + ... + 256 = 510 s, then 27 waits of 300 s: 8,610 s
    assert total(0.0, MAX_ATTEMPTS, False) == timedelta(seconds=8610)
    assert total(1.0, MAX_ATTEMPTS, False) == timedelta(seconds=4305) > timedelta(hours=1)


def test_a_digest_is_tried_for_half_a_day_to_a_day() -> None:
    # 2 + 4 + ... + 32 = 62 s, then 1,434 waits of 60 s
    assert total(0.0, MAX_DIGEST_ATTEMPTS, True) == timedelta(seconds=86_102)
    assert next_try(MAX_DIGEST_ATTEMPTS, None, 0.0, True) is None


@pytest.mark.parametrize(("asked", "seconds"), [(None, 1), (600.0, 600), (7200.0, 3600)])
def test_a_channel_rests_as_long_as_its_destination_asks_an_hour_at_most(asked: float | None, seconds: float) -> None:
    assert pause(1, 0.0, asked) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("failures", "chance", "seconds"),
    [(1, 0.0, 1), (2, 0.0, 2), (6, 0.0, 32), (7, 0.0, 60), (7, 1.0, 30), (2_000, 0.0, 60), (10**9, 0.0, 60)],
)
def test_a_channels_rest_grows_to_a_minute_and_no_further(failures: int, chance: float, seconds: float) -> None:
    assert pause(failures, chance) == timedelta(seconds=seconds)
