"""When to try again: the table of waits, and its sum."""

from datetime import timedelta

import pytest

from alert_bridge.retry import MAX_ATTEMPTS, next_try, pause


@pytest.mark.parametrize(
    ("attempts", "retry_after", "chance", "seconds"),
    [
        (1, None, 0.0, 2),
        (2, None, 0.0, 4),
        (3, None, 0.0, 8),
        (8, None, 0.0, 256),
        (9, None, 0.0, 300),
        (23, None, 0.0, 300),
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


@pytest.mark.parametrize("attempts", [24, 25, 1000])
def test_after_the_last_try_there_is_no_other(attempts: int) -> None:
    assert next_try(attempts, 60.0, 0.0) is None


def test_a_destination_may_be_away_for_41_to_83_minutes() -> None:
    def total(chance: float) -> timedelta:
        waits = [next_try(attempts, None, chance) for attempts in range(1, MAX_ATTEMPTS)]
        return sum((wait for wait in waits if wait is not None), timedelta())

    # 2 + 4 + ... + 256 = 510 s, then 15 waits of 300 s: 5,010 s
    assert total(0.0) == timedelta(seconds=5010)
    assert total(1.0) == timedelta(seconds=2505)


@pytest.mark.parametrize(
    ("failures", "chance", "seconds"),
    [(1, 0.0, 1), (2, 0.0, 2), (6, 0.0, 32), (7, 0.0, 60), (7, 1.0, 30), (2_000, 0.0, 60), (10**9, 0.0, 60)],
)
def test_a_channels_rest_grows_to_a_minute_and_no_further(failures: int, chance: float, seconds: float) -> None:
    assert pause(failures, chance) == timedelta(seconds=seconds)
