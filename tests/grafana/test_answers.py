"""Every question of every panel, variable and mark, put to a real Prometheus and a real MariaDB that the chain has filled."""

import time
from collections.abc import Iterator, Mapping
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from tests import settings
from tests.grafana import questions
from tests.grafana.questions import Question, dashboards, in_promql, in_sql, label_values
from tests.grafana.story import TENANT, Story, told
from tests.prometheus.promql import selectors

pytestmark = [
    pytest.mark.chain, pytest.mark.mysql, pytest.mark.timeout(500),
    pytest.mark.skipif(not settings.WITH_MYSQL, reason="USERDB=sqlite"),
]  # fmt: skip

_HOUR = 3600
Choices = dict[str, list[str]]


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with told(tmp_path) as made:
        yield made


def _values(story: Story, question: Question, chosen: Mapping[str, list[str]]) -> list[str]:
    """Return what a variable offers."""
    now = int(time.time())
    if question.kind == "mysql":
        return [row[0] for row in story.ask(in_sql(question.text, chosen, now - _HOUR, now))]
    selector, label = label_values(question.text)
    return list(story.prometheus(f"label/{label}/values", **{"match[]": in_promql(selector, chosen)}))


def _choices(story: Story, uid: str) -> Choices:
    """Return what is chosen on a page that was just opened: "All", or the story's tenant where there is one to choose."""
    chosen: Choices = {}
    for question, variable in zip(
        (q for q in questions.of_variables() if q.page == uid), questions.variables(dashboards()[uid]), strict=True
    ):
        offered = _values(story, question, chosen)
        assert offered, question
        chosen[variable["name"]] = [variable["allValue"]] if "allValue" in variable else offered
        if not variable["multi"]:
            assert TENANT in offered
            chosen[variable["name"]] = [TENANT]
    return chosen


def _answers(story: Story, question: Question, chosen: Choices) -> bool:
    """Return whether something is there to be drawn; AssertionError when the question can't even be asked."""
    now = int(time.time())
    if question.kind == "mysql":
        return bool(story.ask(in_sql(question.text, chosen, now - _HOUR, now + 1)))
    expression = in_promql(question.text, chosen)
    if question.instant:
        found = [series["value"] for series in story.prometheus("query", query=expression)["result"]]
    else:
        span: dict[str, Any] = {"query": expression, "start": now - 600, "end": now, "step": 5}
        found = [value for series in story.prometheus("query_range", **span)["result"] for value in series["values"]]
    return any(not isnan(float(value)) for _, value in found)


def _names(question: Question, chosen: Choices) -> set[str]:
    return {selector.metric for selector in selectors(in_promql(question.text, chosen)) if selector.metric}


def _ask_all(story: Story) -> tuple[list[str], list[str], set[str]]:
    """Return the questions that can't be asked, those without an answer, and the names of all metrics."""
    import MySQLdb

    broken: list[str] = []
    silent: list[str] = []
    names: set[str] = set()
    for uid in dashboards():
        chosen = _choices(story, uid)
        for question in (q for q in (*questions.of_panels(), *questions.of_marks()) if q.page == uid):
            try:
                answered = _answers(story, question, chosen)
            except (AssertionError, MySQLdb.Error) as error:  # what either server says: all of it is told at the end
                broken.append(f"{question}: {error}")
                continue
            if not answered and not question.quiet:
                silent.append(str(question))
            if question.kind == "prometheus":
                names |= _names(question, chosen)
    return broken, silent, names


def test_every_question_is_answered_where_an_answer_is_due_and_names_what_is_there(story: Story) -> None:
    broken, silent, names = _ask_all(story)
    assert "\n".join([*broken, *silent]) == ""
    # "or vector(0)" and "== 0" are never silent: a name that is misspelt shows here alone
    assert names - set(story.prometheus("label/__name__/values")) == set()
