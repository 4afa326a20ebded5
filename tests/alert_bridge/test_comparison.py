"""What reconciliation makes of userdb's open alerts and the Alertmanagers' lists: pure, a round a line."""

from datetime import UTC, datetime, timedelta

import pytest

from alert_bridge.alertmanagers import Answer, Listed, Peer, View
from alert_bridge.comparison import Comparison, Known, Limits, Mark, Plan

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LIMITS = Limits(timedelta(minutes=5), timedelta(seconds=60), timedelta(minutes=5))
OURS = frozenset({"alert-bridge"})


def at(minute: float) -> datetime:
    """Return so many minutes before now."""
    return NOW - timedelta(minutes=minute)


def known(fingerprint: str = "a1", start: float = 10, version: int = 1, **more: object) -> Known:
    return Known(fingerprint, version, at(start), **more)  # type: ignore[arg-type]


def listed(fingerprint: str = "a1", start: float | None = 10, **more: object) -> Listed:
    given = {"receivers": ("alert-bridge",)} | more
    return Listed(fingerprint, None if start is None else at(start), **given)  # type: ignore[arg-type]


def silenced(fingerprint: str = "a1", start: float = 10, by: str = "s-1") -> Listed:
    return listed(fingerprint, start, state="suppressed", silenced_by=(by,))


def peer(*alerts: Listed, up: float = 60, name: str = "http://a") -> Answer:
    return Answer(Peer(name), {a.fingerprint: a for a in alerts}, at(up), timedelta(minutes=up))


def view(*answers: Answer, missing: str = "") -> View:
    return View(answers or (peer(),), {missing: f"{missing} does not answer"} if missing else {})


class Rounds:
    """Rounds of one comparison, 40 s apart."""

    def __init__(self) -> None:
        self._comparison = Comparison(LIMITS)
        self._seconds = 0.0

    def next(self, alerts: list[Known], seen: View, seconds: float = 40) -> Plan:
        plan = self._comparison.compare(alerts, seen, OURS, self._seconds, NOW + timedelta(seconds=self._seconds))
        self._seconds += seconds
        return plan


def test_an_open_alert_that_nobody_lists_is_closed_after_the_grace() -> None:
    rounds = Rounds()
    assert [len(rounds.next([known()], view()).closed) for _ in range(4)] == [0, 0, 1, 1]


def test_the_grace_needs_two_rounds_however_long_they_are_apart() -> None:
    rounds = Rounds()
    assert rounds.next([known()], view(), seconds=600).closed == []
    assert rounds.next([known()], view()).closed == [known()]


@pytest.mark.parametrize(
    "between",
    [
        view(missing="http://b"),
        view(peer(up=4)),
        view(peer(), peer(up=4, name="http://b")),
        View(),
        view(peer(listed())),
        view(peer(), peer(listed(), name="http://b")),
        view(peer(silenced())),
    ],
    ids=["one missing", "young", "one young", "nobody asked", "listed", "listed by the other", "silenced"],
)
def test_a_round_that_is_not_certain_or_lists_it_begins_the_wait_anew(between: View) -> None:
    rounds = Rounds()
    for seen in (view(), view(), between, view(), view()):
        assert rounds.next([known()], seen).closed == []
    assert len(rounds.next([known()], view()).closed) == 1


def test_a_change_of_the_alert_begins_the_wait_anew() -> None:
    rounds = Rounds()
    for version in (1, 1, 2, 2):
        assert rounds.next([known(version=version)], view()).closed == []
    assert rounds.next([known(version=2)], view()).closed == [known(version=2)]


@pytest.mark.parametrize("start", [10, 11, None])
def test_a_listed_alert_with_a_start_that_is_not_later_goes_on(start: float | None) -> None:
    rounds = Rounds()
    plans = [rounds.next([known()], view(peer(listed(start=start)))) for _ in range(5)]
    assert plans == [Plan()] * 5


def test_an_alert_listed_with_a_later_start_alone_is_superseded_after_the_grace() -> None:
    rounds = Rounds()
    later = listed(start=5)
    plans = [rounds.next([known()], view(peer(later))) for _ in range(3)]
    assert [plan.superseded for plan in plans] == [[], [], [(known(), later)]]
    assert all(plan.closed == [] for plan in plans)


def test_of_two_later_starts_the_earlier_one_is_taken() -> None:
    rounds = Rounds()
    for _ in range(3):
        plan = rounds.next([known()], view(peer(listed(start=4)), peer(listed(start=5), name="http://b")))
    assert [found.start for _, found in plan.superseded] == [at(5)]


@pytest.mark.parametrize(
    "seen",
    [
        view(peer(listed(start=5)), peer(listed(start=10), name="http://b")),
        view(peer(listed(start=5)), missing="http://b"),
        view(peer(listed(start=5)), peer(up=1, name="http://b")),
        view(peer(silenced(start=5))),
        view(peer(listed(start=5)), peer(listed(start=None), name="http://b")),
    ],
    ids=["the other knows the old one", "one missing", "one young", "silenced", "an odd start"],
)
def test_a_later_start_that_is_in_doubt_or_silenced_supersedes_nothing(seen: View) -> None:
    rounds = Rounds()
    assert [rounds.next([known()], seen).superseded for _ in range(5)] == [[]] * 5


@pytest.mark.parametrize(
    ("alerts", "mark"),
    [
        ([silenced()], Mark("a1", "silenced", ("s-1",))),
        ([listed(state="suppressed", inhibited_by=("b2",))], Mark("a1", "inhibited", ("b2",))),
        (
            [listed(state="suppressed", inhibited_by=("b2",), silenced_by=("s-2", "s-1"))],
            Mark("a1", "silenced", ("s-1", "s-2", "b2")),
        ),
        ([silenced(), silenced(by="s-2")], Mark("a1", "silenced", ("s-1", "s-2"))),
        ([silenced(), listed()], None),
        ([listed(state="unprocessed")], None),
        ([listed(state="suppressed")], None),
    ],
)
def test_an_alert_is_marked_when_everybody_who_lists_it_suppresses_it(alerts: list[Listed], mark: Mark | None) -> None:
    answers = [peer(alert, name=f"http://{n}") for n, alert in enumerate(alerts)]
    plan = Rounds().next([known()], view(*answers, missing="http://gone"))
    assert plan.marks == ([mark] if mark else [])


def test_a_mark_is_written_when_it_changes_and_taken_away_when_nothing_suppresses_it_any_more() -> None:
    marked = known(suppression="silenced", suppressed_by=("s-1",))
    assert Rounds().next([marked], view(peer(silenced()))).marks == []
    assert Rounds().next([marked], view(peer(silenced(by="s-2")))).marks == [Mark("a1", "silenced", ("s-2",))]
    assert Rounds().next([marked], view(peer(listed()))).marks == [Mark("a1", "", ())]


def test_while_nobody_lists_it_a_mark_stays() -> None:
    marked = known(suppression="silenced", suppressed_by=("s-1",))
    assert Rounds().next([marked], view()).marks == []


def test_an_alert_that_was_never_sent_is_found_in_the_second_round() -> None:
    rounds = Rounds()
    assert [rounds.next([], view(peer(listed()))).found for _ in range(2)] == [[], [listed()]]


def test_an_alert_that_began_lately_is_not_called_unsent() -> None:
    rounds = Rounds()
    assert [len(rounds.next([], view(peer(listed(start=4))), seconds=25).found) for _ in range(4)] == [0, 0, 0, 1]


def test_alerts_of_other_receivers_are_not_missed() -> None:
    rounds = Rounds()
    other = listed(receivers=("mail", "pager"))
    assert [rounds.next([], view(peer(other))).found for _ in range(3)] == [[]] * 3


def test_a_silenced_alert_that_was_never_sent_is_found_too() -> None:
    rounds = Rounds()
    assert [rounds.next([], view(peer(silenced()))).found for _ in range(2)] == [[], [silenced()]]


def test_while_one_does_not_answer_what_another_lists_is_found_all_the_same() -> None:
    rounds = Rounds()
    assert [len(rounds.next([], view(peer(listed()), missing="http://b")).found) for _ in range(2)] == [0, 1]


def test_what_vanished_for_a_round_is_seen_anew() -> None:
    rounds = Rounds()
    for seen in (view(peer(listed())), view(), view(peer(listed()))):
        assert rounds.next([], seen).found == []


@pytest.mark.parametrize("fingerprint", ["", "x" * 65, "white space", "\u5e73"])
def test_a_fingerprint_that_is_none_is_not_found(fingerprint: str) -> None:
    rounds = Rounds()
    assert [rounds.next([], view(peer(listed(fingerprint)))).found for _ in range(2)] == [[], []]
