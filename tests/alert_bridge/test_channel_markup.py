"""Messages in a chat service's markup: what comes first, how they are cut, and that no stranger's text becomes markup."""

import re

import pytest

from alert_bridge.channels import dingtalk, feishu, slack, wecom
from alert_bridge.channels.markup import Dialect, write
from tests.alert_bridge.messages import parts

PLAIN = Dialect(
    escape=lambda text: text.replace("*", "\\*"), heading="# {text}", bold="**{text}**", link="[{name}]({url})"
)
DIALECTS = {"dingtalk": dingtalk._DIALECT, "feishu": feishu._DIALECT, "wecom": wecom._DIALECT, "slack": slack._DIALECT}
CUT = {"dingtalk": r"\\$", "feishu": r"&[#\w]*$", "wecom": r"[\[<*`]$", "slack": r"&\w*$|[*`~]$"}
"""How a text ends that was cut within an escape."""
EVERY = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


def of_bytes(limit: int):  # type: ignore[no-untyped-def]
    return lambda text: len(text.encode()) <= limit


def test_a_message_that_fits_is_whole_and_says_what_matters_first() -> None:
    assert write(parts(), PLAIN, of_bytes(5000)).split("\n") == [
        "# FIRING: SimulationFailing (alpha)",
        "潮流计算 does not converge",
        "**Since**: 2026-11-24T10:00:00.000Z",
        "[Who was told, and when](http://bridge/admin/userdb/alert/1/change/)",
        "[In Prometheus](http://p/g)",
        "**Last failures of alpha**",
        "2026-11-24T09:59:00.000Z error power-flow no_convergence: after 30 iterations",
        "**Labels**",
        "tenant = alpha",
    ]


def test_a_long_paragraph_gives_way_before_the_lines_after_it() -> None:
    text = write(parts(paragraphs=("流" * 4000,)), PLAIN, of_bytes(4096))
    assert "流" * 1000 + "…\n" in text
    assert "流" * 1001 not in text
    assert "tenant = alpha" in text
    assert text.endswith("… (cut)")


def test_when_shorter_pieces_are_not_enough_lines_go_from_the_end() -> None:
    labels = tuple((f"label{n:03}", "x" * 400) for n in range(100))
    text = write(parts(labels=labels), PLAIN, of_bytes(4096))
    assert "label000" in text
    assert "label099" not in text
    assert text.endswith("\n… (cut)")


@pytest.mark.parametrize("name", DIALECTS)
def test_whatever_the_limit_the_text_fits_and_each_line_is_whole(name: str) -> None:
    dialect = DIALECTS[name]
    odd = parts(paragraphs=("*流[计](算)`" * 200,), labels=(("a*b", "<c>" * 300),), evidence=("&_~" * 400,) * 3)
    whole = write(odd, dialect, of_bytes(10**9)).split(dialect.newline)
    for limit in [*range(20, 1200, 7), 4096]:
        text = write(odd, dialect, of_bytes(limit))
        assert len(text.encode()) <= limit
        for line in text.split(dialect.newline):
            begun = line.removesuffix("…")
            assert line == dialect.escape("… (cut)") or any(full.startswith(begun) for full in whole), line
            assert line == begun or not re.search(CUT[name], begun), f"cut within: {line[-20:]!r}"


def test_a_link_is_never_cut() -> None:
    links = (("In Prometheus", "http://p/" + "g" * 3000), ("Page", "http://b/1"))
    text = write(parts(links=links), PLAIN, of_bytes(2000))
    assert "ggg" not in text
    assert "[Page](http://b/1)" in text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd"])
@EVERY
def test_only_http_becomes_a_link(dialect: Dialect, url: str) -> None:
    text = write(parts(links=(("Runbook", url),)), dialect, of_bytes(10_000))
    assert dialect.link.format(name="Runbook", url=url) not in text
    assert "Runbook: " in text


@EVERY
def test_an_address_ends_no_link_early(dialect: Dialect) -> None:
    text = write(parts(links=(("Graph", "http://p/a)b|c>d e\nf(g"),)), dialect, of_bytes(10_000))
    assert dialect.link.format(name="Graph", url="http://p/a%29b%7Cc%3Ed%20e%0Af%28g") in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("dingtalk", r"\[click\]\(http://evil/\) \<@all\> \*\*x"),
        ("feishu", "&#91;click&#93;&#40;http://evil/&#41; &#60;@all&#62; &#42;&#42;x"),
        ("wecom", "[\u200bclick](http://evil/) <\u200b@all> *\u200b*\u200bx"),
        ("slack", "[click](http://evil/) &lt;@all&gt; *\u200b*\u200bx"),
    ],
)
def test_no_text_of_a_stranger_becomes_a_link_a_mention_or_emphasis(name: str, shown: str) -> None:
    odd = "[click](http://evil/) <@all> **x"
    text = write(parts(paragraphs=(odd,), evidence=(odd,), labels=(("l", odd),)), DIALECTS[name], of_bytes(10_000))
    assert text.count(shown) == 3
    assert odd not in text
