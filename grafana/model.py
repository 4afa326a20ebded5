"""What a dashboard is made of: pages of rows of panels, each panel with its questions to Prometheus or to userdb.

Plain data without a dependency; `pages/` fills it in, `build.py` turns it into Grafana's JSON, the tests ask every question.
"""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["stat", "timeseries", "table", "heatmap"]


@dataclass(frozen=True)
class Prom:
    """A question to Prometheus."""

    text: str
    legend: str = ""
    quiet: bool = False
    """Rightly without an answer while all is well: else the tests want one."""


@dataclass(frozen=True)
class Sql:
    """A question to userdb, to the views of Grafana's own user alone."""

    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Link:
    title: str
    url: str


@dataclass(frozen=True)
class Column:
    """How one column of a table, or one series, is shown."""

    unit: str = ""
    width: int = 0
    links: tuple[Link, ...] = ()
    colours: tuple[tuple[str, str], ...] = ()
    """Word and colour."""
    hidden: bool = False


@dataclass(frozen=True)
class Panel:
    title: str
    says: str
    """What it shows, and how to read it."""
    questions: tuple[Prom | Sql, ...]
    kind: Kind = "timeseries"
    unit: str = "short"
    width: int = 12
    height: int = 8
    steps: tuple[tuple[float, str], ...] = ()
    """From which value on it has which colour; below the first it is green."""
    columns: dict[str, Column] = field(default_factory=dict)
    stacked: bool = False
    empty: str = ""
    """What stands there when there is nothing."""
    drop: tuple[str, ...] = ()
    """Labels that a table of Prometheus' leaves out."""


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a page."""

    name: str
    label: str
    question: Prom | Sql
    """A `label_values(...)` of Prometheus, or a SELECT of one column."""
    several: bool = True
    all_value: str = ""
    """What "All" means; empty: every value."""


@dataclass(frozen=True)
class Mark:
    """Moments or spans that are marked in every graph of a page: columns time, timeend, text, tags."""

    name: str
    colour: str
    question: Sql


@dataclass(frozen=True)
class Page:
    uid: str
    title: str
    says: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    marks: tuple[Mark, ...] = ()
    since: str = "now-3h"
