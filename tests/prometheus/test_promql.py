"""The reader of PromQL finds every selector, and nothing else."""

import pytest

from tests.prometheus.promql import Matcher, Selector, operators, selectors

JOB = Matcher("job", "=", "b")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("up", [Selector("up", ())]),
        ("vector(1)", []),
        ("time() - 5m", []),
        ('up{job="b"}', [Selector("up", (JOB,))]),
        ("up{job='b',}", [Selector("up", (JOB,))]),
        ("up{job=`b`}", [Selector("up", (JOB,))]),
        ('{__name__="up", job="b"}', [Selector("", (Matcher("__name__", "=", "up"), JOB))]),
        ('up{note="job=\\"b\\" {"}', [Selector("up", (Matcher("note", "=", 'job="b" {'),))]),
        ('up # {job="b"}\n', [Selector("up", ())]),
        ("sum by (job) (a)", [Selector("a", ())]),
        ("sum(a) without (job, tenant)", [Selector("a", ())]),
        ("SUM BY (job) (a)", [Selector("a", ())]),
        ("a > on (job) group_left (tenant) b", [Selector("a", ()), Selector("b", ())]),
        ("a == bool b", [Selector("a", ()), Selector("b", ())]),
        ("a AND b UNLESS c", [Selector("a", ()), Selector("b", ()), Selector("c", ())]),
        ("rate(a[5m:1m] offset 1h30m) @ 1.5e3", [Selector("a", ())]),
        ('policy:x:known{tenant!="*"} or b', [Selector("policy:x:known", (Matcher("tenant", "!=", "*"),)), Selector("b", ())]),
        ('label_replace(a, "path", "rows", "", "")', [Selector("a", ())]),
        ("count_values(\"version\", a)", [Selector("a", ())]),
    ],
)  # fmt: skip
def test_the_selectors_of_an_expression(expression: str, expected: list[Selector]) -> None:
    assert selectors(expression) == expected


@pytest.mark.parametrize(
    ("expression", "trouble"),
    [("up{job}", "no matcher"), ('up{job="b"', "to unpack"), ("up ; down", "no PromQL"), ("sum by (job", "to the end")],
)
def test_what_is_no_promql_is_refused(expression: str, trouble: str) -> None:
    with pytest.raises(ValueError, match=trouble):
        selectors(expression)


def test_the_operators_are_those_between_vectors() -> None:
    found = operators('a{b!="c"} >= on (and_so) d{e="x or y"} or f unless (g == 1) # and')
    assert [token.text for token in found] == [">=", "or", "unless", "=="]
