"""What an answer means, as a table."""

from datetime import UTC, datetime, timedelta

import pytest

from exporters.gateway_client.answers import LONGEST_PAUSE, RESULTS, Answer, Decision, Then, backoff, decide

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OK = '{"accepted": 1, "duplicates": 1, "rejected": [{"index": 1, "id": "b", "reason": "odd"}]}'


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        (Answer(200, OK), Decision(Then.SETTLE, {"accepted": 1, "duplicate": 1, "rejected": 1}, [("b", "odd")])),
        (Answer(400, "x"), Decision(Then.SPLIT, {})),
        (Answer(413, "x"), Decision(Then.SPLIT, {})),
        (Answer(401, "x"), Decision(Then.WAIT, {"unauthorized": 3}, pause=60)),
        (Answer(403, "x"), Decision(Then.WAIT, {"unauthorized": 3}, pause=60)),
        (Answer(429, "x", "7"), Decision(Then.WAIT, {"throttled": 3}, pause=7)),
        (Answer(429, "x"), Decision(Then.WAIT, {"throttled": 3})),
        (Answer(503, "x", "Fri, 02 Jan 2026 03:04:20 GMT"), Decision(Then.WAIT, {"unavailable": 3}, pause=15)),
        (Answer(503, "x", "Fri, 02 Jan 2026 03:00:00 GMT"), Decision(Then.WAIT, {"unavailable": 3}, pause=0)),
        (Answer(503, "x", "99999"), Decision(Then.WAIT, {"unavailable": 3}, pause=600)),
        (Answer(503, "x", "soon"), Decision(Then.WAIT, {"unavailable": 3})),
        (Answer(502, "x"), Decision(Then.WAIT, {"unavailable": 3})),
        (Answer(302, "x"), Decision(Then.WAIT, {"unexpected": 3})),
        (Answer(404, "x"), Decision(Then.WAIT, {"unexpected": 3})),
        (Answer(0, "refused"), Decision(Then.WAIT, {"unreachable": 3})),
        (Answer(200, "<html>welcome</html>"), Decision(Then.WAIT, {"unexpected": 3})),
        (Answer(200, '{"accepted": 2, "duplicates": 0, "rejected": []}'), Decision(Then.WAIT, {"unexpected": 3})),
        (Answer(200, '{"accepted": 4, "duplicates": -1, "rejected": []}'), Decision(Then.WAIT, {"unexpected": 3})),
        (Answer(200, '{"accepted": 2, "duplicates": 0, "rejected": [{"index": 9}]}'), Decision(Then.WAIT, {"unexpected": 3})),
        (Answer(200, "[]"), Decision(Then.WAIT, {"unexpected": 3})),
    ],
)  # fmt: skip
def test_an_answer_decides_over_the_reports_of_its_request(answer: Answer, decision: Decision) -> None:
    assert decide(answer, ["a", "b", "c"], NOW) == decision
    assert set(decision.results) <= set(RESULTS)


@pytest.mark.parametrize(("status", "result"), [(400, "unreadable"), (413, "too_large")])
def test_a_report_refused_alone_is_set_aside_with_the_answer(status: int, result: str) -> None:
    assert decide(Answer(status, "why"), ["a"]) == Decision(Then.SETTLE, {result: 1}, [("a", f"{status}: why")])


def test_a_rejected_report_without_an_id_is_known_by_its_index() -> None:
    answer = Answer(
        200, '{"accepted": 1, "duplicates": 0, "rejected": [{"index": 1, "id": null, "reason": "id: is missing"}]}'
    )
    assert decide(answer, ["a", "b"]).refused == [("b", "id: is missing")]


def test_the_backoff_doubles_to_a_minute_with_full_jitter() -> None:
    assert [backoff(failures, lambda: 1.0) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, LONGEST_PAUSE]
    assert backoff(5, lambda: 0.25) == 4
    assert backoff(100_000, lambda: 1.0) == 60


def test_a_date_far_away_is_no_reason_to_wait_for_ever() -> None:
    date = (NOW + timedelta(days=365)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert decide(Answer(503, "", date), ["a"], NOW).pause == 600
