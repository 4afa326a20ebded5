"""The verdict over a chaos run sees each kind of fault: rows made by hand, one wrong thing at a time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.chain.chaos import plan, verdict
from tests.chain.chaos.ledger import EpisodeRow, MessageRow
from tests.chain.chaos.prometheus import iso
from tests.chain.chaos.verdict import Arrival

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
EPISODE = EpisodeRow(1, "a1", "task-01", 1, "resolved", START, START, "webhook", "alertmanager")
FIRING = MessageRow(1, "k1", "hook", "a1", 1, "firing", "delivered", "", None, START)
RESOLVED = replace(FIRING, id=2, key="k2", kind="resolved")


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def arrived(*keys: str) -> dict[str, list[Arrival]]:
    return {"hook": [Arrival(START.timestamp() + place, key) for place, key in enumerate(keys)]}


def test_what_is_right_has_no_fault() -> None:
    planned = frozenset({("task-01", iso(START.timestamp()))})
    assert verdict.double_episodes([EPISODE, replace(EPISODE, number=2, first=later(9), last=later(9))]) == []
    assert verdict.phantoms([EPISODE], planned) == []
    assert verdict.still_open([EPISODE]) == []
    assert verdict.undelivered([FIRING, RESOLVED]) == []
    assert verdict.ends_untold([EPISODE], [FIRING, RESOLVED]) == []
    assert verdict.arrivals_wrong([FIRING, RESOLVED], arrived("k1", "k2"), {}) == []
    assert verdict.out_of_order([FIRING, RESOLVED], arrived("k1", "k2")) == []


def test_two_episodes_that_hold_one_start_are_seen() -> None:
    assert verdict.double_episodes([EPISODE, replace(EPISODE, number=2)]) != []
    assert verdict.double_episodes([replace(EPISODE, last=later(9)), replace(EPISODE, number=2, first=later(5))]) != []


def test_an_episode_that_was_never_posted_is_seen() -> None:
    planned = frozenset({("task-01", iso(later(1).timestamp())), ("task-02", iso(START.timestamp()))})
    assert verdict.phantoms([EPISODE], planned) != []


def test_an_episode_that_is_left_open_is_seen() -> None:
    assert verdict.still_open([replace(EPISODE, state="firing")]) != []


@pytest.mark.parametrize("state", ["owed", "sending", "unconfirmed", "dead", "late", "in_digest"])
def test_a_message_that_was_not_delivered_is_seen(state: str) -> None:
    assert verdict.undelivered([replace(FIRING, state=state)]) != []


def test_a_message_in_a_digest_is_delivered_with_it() -> None:
    digest = replace(FIRING, id=7, key="d", kind="digest")
    member = replace(FIRING, state="in_digest", digest=7)
    assert verdict.undelivered([digest, member]) == []
    assert verdict.undelivered([replace(digest, state="dead"), member]) != []


def test_an_end_that_was_never_owed_is_seen() -> None:
    assert verdict.ends_untold([EPISODE], [FIRING]) != []
    assert verdict.ends_untold([replace(EPISODE, closed_by="superseded")], [FIRING]) == []


@pytest.mark.parametrize(
    ("keys", "named", "faults"),
    [
        (("k1", "k1"), {}, 1),
        (("k1", "k1"), {"k1": 1}, 0),
        (("k1", "k1", "k1"), {"k1": 1}, 1),
        ((), {}, 1),
        (("k1", "x"), {}, 2),
    ],
    ids=["a double without a name", "one with a name", "two with one name", "nothing arrived", "nobody owed it"],
)
def test_what_arrived_is_compared_with_what_was_owed(keys: tuple[str, ...], named: dict[str, int], faults: int) -> None:
    assert len(verdict.arrivals_wrong([FIRING], arrived(*keys), named)) == faults


def test_one_that_is_void_may_have_arrived_only_by_a_try_with_a_name() -> None:
    void = replace(FIRING, state="void", reason="superseded")
    assert verdict.arrivals_wrong([void], arrived("k1"), {}) != []
    assert verdict.arrivals_wrong([void], arrived("k1"), {"k1": 1}) == []


def test_an_end_that_overtakes_its_beginning_is_seen() -> None:
    assert verdict.out_of_order([FIRING, RESOLVED], arrived("k2", "k1")) != []
    assert verdict.out_of_order([FIRING, RESOLVED], arrived("k1", "k2", "k1")) == []


def test_a_plan_is_the_same_for_the_same_seed_and_has_flaps_and_long_alerts() -> None:
    spans = [span for alert in plan.make(7, 180) for span in alert.spans]
    assert plan.make(7, 180) == plan.make(7, 180) != plan.make(8, 180)
    lengths = [span.end - span.start for span in spans]
    assert min(lengths) < 3
    assert max(lengths) > 30
    assert all(0 <= span.start < span.end <= 180 for span in spans)


def test_the_spans_of_an_alert_never_touch() -> None:
    for alert in plan.make(3, 600):
        ends = [span.end for span in alert.spans]
        assert all(after.start > end for end, after in zip(ends, alert.spans[1:], strict=False))
