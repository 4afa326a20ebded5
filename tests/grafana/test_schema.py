"""The JSON against Grafana's dashboard schema, as its own foundation SDK has it for Grafana 11.6.

The SDK's classes are generated from that schema. Each dashboard is read into them and written again: what the schema does not
know would be lost on the way. Then every value must be of the type that the schema gives it.
"""

import enum
import json
import types
import typing
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.grafana.questions import dashboards

register_default_plugins()

each = pytest.mark.parametrize("uid", sorted(dashboards()))


def _without_sql_of_marks(dashboard: Any) -> Any:
    """Return a copy with the marks' target as the schema of 11.6 has it: that of Grafana's own marks alone.

    Later schemas say what is true of 11.6 too: that it is "just a normal query target".
    """
    copy = json.loads(json.dumps(dashboard))
    for mark in copy["annotations"]["list"]:
        mark["target"] = {"limit": 100, "matchAny": False, "tags": [], "type": "tags"}
    return copy


def _read(uid: str) -> tuple[Any, Dashboard]:
    document = _without_sql_of_marks(dashboards()[uid])
    return document, Dashboard.from_json(document)


def _lost(written: Any, again: Any, path: str) -> list[str]:
    """Return where something that we wrote did not come back; what the SDK adds by default is nothing of ours."""
    if isinstance(written, dict):
        if not isinstance(again, dict):
            return [path]
        return [lost for key, value in written.items() for lost in _lost(value, again.get(key), f"{path}.{key}")]
    if isinstance(written, list):
        if not isinstance(again, list) or len(again) != len(written):
            return [path]
        return [
            lost for n, pair in enumerate(zip(written, again, strict=True)) for lost in _lost(*pair, f"{path}[{n}]")
        ]
    return [] if written == again else [path]


def _wrong(value: Any, hint: Any, path: str) -> list[str]:
    """Return where a value is not of the type that the schema gives it."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint in (Any, object) or (value is None and type(None) in parts):
        return []
    if origin in (typing.Union, types.UnionType):
        found = [_wrong(value, part, path) for part in parts if part is not type(None)]
        return [] if [] in found else max(found, key=lambda wrong: len(wrong[0]))  # of the part that fits best
    if origin is list:
        return _all(value, parts[0], path) if isinstance(value, list) else [path]
    if origin is dict:
        return [] if isinstance(value, dict) else [path]
    if origin is typing.Literal:
        return [] if value in parts else [f"{path}: {value!r}"]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [] if value in {member.value for member in hint} else [f"{path}: {value!r}"]
    if hint is float:
        return [] if isinstance(value, (int, float)) and not isinstance(value, bool) else [f"{path}: {value!r}"]
    if hint in (str, int, bool):
        return [] if type(value) is hint else [f"{path}: {value!r}"]
    if isinstance(value, dict) and hasattr(hint, "from_json"):
        value = hint.from_json(value)  # some lists are left as they came
    if not isinstance(value, hint):
        return [f"{path}: {type(value).__name__}"]
    return _wrong_inside(value, path)


def _all(values: list[Any], hint: Any, path: str) -> list[str]:
    return [wrong for n, value in enumerate(values) for wrong in _wrong(value, hint, f"{path}[{n}]")]


def _wrong_inside(instance: Any, path: str) -> list[str]:
    hints = typing.get_type_hints(type(instance))
    return [wrong for name, value in vars(instance).items() for wrong in _wrong(value, hints[name], f"{path}.{name}")]


@each
def test_the_schema_knows_all_that_is_written(uid: str) -> None:
    written, read = _read(uid)
    assert _lost(written, json.loads(JSONEncoder(sort_keys=True).encode(read)), uid) == []


@each
def test_every_value_is_of_the_type_that_the_schema_gives_it(uid: str) -> None:
    _, read = _read(uid)
    assert _wrong_inside(read, uid) == []


def test_a_word_that_the_schema_does_not_know_is_found() -> None:
    document = _without_sql_of_marks(dashboards()["mission-chain"])
    document["panels"][1]["fieldConfig"]["defaults"]["colour"] = "red"
    again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(document)))
    assert _lost(document, again, "") == [".panels[1].fieldConfig.defaults.colour"]


def test_a_value_of_another_type_is_found() -> None:
    document = _without_sql_of_marks(dashboards()["mission-chain"])
    document["panels"][1]["gridPos"]["w"] = "wide"
    document["templating"]["list"][0]["hide"] = 7
    found = _wrong_inside(Dashboard.from_json(document), "")
    assert found == [".panels[1].grid_pos.w: 'wide'", ".templating.list_val[0].hide: 7"]
