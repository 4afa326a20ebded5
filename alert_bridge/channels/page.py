"""A message as HTML, for mail readers: plain elements, no style sheet, no picture, nothing loaded. Called by `email.py`."""

from collections.abc import Iterable
from html import escape

from alert_bridge.channels.base import Parts
from alert_bridge.channels.markup import is_url


def page(parts: Parts) -> str:
    """Return the HTML document; all text of strangers is escaped, only http and https become links."""
    blocks = [f"<h3>{escape(parts.heading)}</h3>"]
    blocks += [f'<p style="white-space:pre-line">{escape(text)}</p>' for text in parts.paragraphs]
    blocks.append(_table(parts.facts))
    blocks.append(_list(_link(name, url) for name, url in parts.links))
    if parts.evidence:
        blocks.append(f"<p><b>{escape(parts.evidence_title)}</b></p>")
        blocks.append(_list(escape(event) for event in parts.evidence))
    if parts.labels:
        blocks.append(f"<p><b>{escape(parts.labels_title)}</b></p>")
        blocks.append(_table(parts.labels))
    body = "\n".join(block for block in blocks if block)
    return f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n{body}\n</body></html>\n'


def _link(name: str, url: str) -> str:
    if not is_url(url):
        return f"{escape(name)}: {escape(url)}"
    return f'<a href="{escape(url)}">{escape(name)}</a>'


def _list(items: Iterable[str]) -> str:
    lines = [f"<li>{item}</li>" for item in items]
    return "<ul>\n" + "\n".join(lines) + "\n</ul>" if lines else ""


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"<tr><td><b>{escape(name)}</b></td><td>{escape(value)}</td></tr>" for name, value in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>" if lines else ""
