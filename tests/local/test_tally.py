"""What `make smoke` adds up: only what the story caused counts, and what is missing is named."""

from datetime import UTC, datetime, timedelta

from local import sample
from local.sightings import COMMITTED, COUNTED, DELIVERED, FAILED, FIRING, SAMPLE, WEBHOOK, Sighting
from local.tally import OWED, Tally

START = datetime(2026, 11, 25, 10, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def story() -> list[Sighting]:
    seen = [Sighting(at(0), SAMPLE, sample.BEGINS)]
    seen += [Sighting(at(second), FAILED, "") for second in (3, 4, 5)]
    seen += [Sighting(at(second + 0.5), COMMITTED, "") for second in (3, 4, 5)]
    seen += [Sighting(at(4.9), COUNTED, "", count=2), Sighting(at(7), COUNTED, "", count=3)]
    seen += [Sighting(at(10), FIRING, "", alert=name) for name in ("SimulationFailing", "RepeatedFailures")]
    seen += [Sighting(at(11), WEBHOOK, "")]
    seen += [Sighting(at(50), SAMPLE, sample.ENDS)]
    for alert, kind, channel in sorted(OWED):
        moment = at(12 if kind == "firing" else 61)
        seen.append(Sighting(moment, DELIVERED, "", alert, kind, channel, key=f"{alert}.{kind}.{channel}"))
    return seen


def test_a_whole_story_leaves_nothing_missing() -> None:
    tally = Tally()
    tally.add(story())
    assert tally.missing() == []


def test_the_legs_count_from_the_third_failure_and_the_end_from_the_success() -> None:
    tally = Tally()
    tally.add(story())
    assert tally.legs() == {
        "run_failed": 0.0, "report_committed": 0.5, "seen_in_recent_events": 2.0, "firing_simulation_failing": 5.0,
        "firing_repeated_failures": 5.0, "webhook": 6.0, "delivered_first": 7.0, "delivered_all": 7.0, "resolved": 11.0,
    }  # fmt: skip


def test_each_message_that_was_not_told_is_named() -> None:
    tally = Tally()
    tally.add(seen for seen in story() if (seen.alert, seen.channel) != ("RepeatedFailures", "inbox-webhook"))
    assert tally.missing() == ["RepeatedFailures firing by inbox-webhook"]


def test_what_happened_before_the_story_does_not_count() -> None:
    tally = Tally()
    early = [Sighting(at(-5), FAILED, ""), Sighting(at(-4), DELIVERED, "", "RepeatedFailures", "firing", "inbox-email")]
    tally.add([*early, Sighting(at(0), SAMPLE, sample.BEGINS)])
    tally.add(early)
    assert len(tally.missing()) == 1 + len(OWED)


def test_a_run_that_ended_otherwise_than_it_should_is_trouble() -> None:
    tally = Tally()
    tally.add([Sighting(at(0), SAMPLE, sample.BEGINS), Sighting(at(9), SAMPLE, "unexpected exits [0, 0, 1, 1, 0]")])
    assert "unexpected exits [0, 0, 1, 1, 0]" in tally.trouble
