"""The page on the bridge's own watch says what the table of conditions says, and each of its alerts has a runbook."""

import re

import pytest

from alert_bridge import conditions
from alert_bridge.own_alerts import RUNBOOKS
from tests.docs import code, pages


def test_each_condition_is_documented_with_its_severity_and_no_other() -> None:
    rows = pages.rows("self-watch.md", "What is watched")
    written = {re.sub(r"\[(\w+)\]\(runbooks/\1\.md\)", r"\1", row[0]): row[1] for row in rows}
    assert written == {condition.alertname: condition.severity for condition in conditions.ALL}


@pytest.mark.parametrize("condition", conditions.ALL, ids=lambda condition: condition.alertname)
def test_each_of_its_alerts_has_a_runbook_where_its_url_leads(condition: conditions.Condition) -> None:
    folder = RUNBOOKS.rpartition("/main/")[2]
    assert (code.SOURCE / folder / f"{condition.alertname}.md").read_text().startswith(f"# {condition.alertname}\n")
