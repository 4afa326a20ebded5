"""Reading a webhook's body never fails on what is inside, whatever JSON it is: good entries beside odd ones count."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_bridge import payload
from tests.alert_bridge.words import firing, resolved

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["fingerprint", "status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "unknown"]
ODD = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, ANY)).map(lambda fields: resolved("odd") | fields)


@given(
    entries=st.lists(ODD | ANY, max_size=4), place=st.integers(0, 4), more=st.dictionaries(st.text(), ANY, max_size=3)
)
def test_a_good_alert_counts_beside_anything(entries: list[Any], place: int, more: dict[str, Any]) -> None:
    place = min(place, len(entries))
    document = more | {"alerts": [*entries[:place], firing("good"), *entries[place:]]}
    webhook = payload.parse(json.dumps(document).encode())
    assert "good" in [word.fingerprint for word in webhook.words]
    assert len(webhook.words) + len(webhook.odd) == webhook.entries == len(entries) + 1
    for word in webhook.words:
        texts = [*word.labels.items(), *word.annotations.items(), (word.generator_url, "")]
        assert all(isinstance(part, str) and "\x00" not in part for pair in texts for part in pair)
        json.dumps(texts, ensure_ascii=False).encode()  # no lone surrogate


@given(document=ANY)
def test_any_json_is_a_webhook_or_no_object(document: Any) -> None:
    body = json.dumps(document).encode()
    if isinstance(document, dict):
        assert payload.parse(body).entries >= 0
    else:
        with pytest.raises(payload.UnreadableBody):
            payload.parse(body)


@given(body=st.binary(max_size=60))
def test_any_bytes_are_read_or_named_unreadable(body: bytes) -> None:
    with suppress(payload.UnreadableBody):
        assert payload.parse(body).entries >= 0


@pytest.mark.parametrize("depth", [100, 500, 980, 985, 990, 3000])
def test_nesting_too_deep_to_be_written_again_is_odd_or_unreadable_and_nothing_worse(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    body = json.dumps({"alerts": [firing("good"), firing("deep", note="HERE")]}).replace('"HERE"', nested)
    try:
        webhook = payload.parse(body.encode())
    except payload.UnreadableBody:
        assert depth > 500
        return
    assert webhook.words[0].fingerprint == "good"
