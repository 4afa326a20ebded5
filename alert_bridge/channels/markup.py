"""A message in a chat service's markup, cut to its limit: whole lines, a mark, nothing cut within a character or a construct.

In: the parts of a message, the service's dialect, and whether a text fits. Out: the text. Used by the chat channels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from alert_bridge.channels.base import Parts

_LENGTHS = (5_000, 1_000, 300, 100)
"""Characters that one paragraph, label or event may have: when the text does not fit, all of them give way alike."""
_URL = 1_000
"""A longer URL is left out rather than cut: a part of a link leads elsewhere."""
_SAFE = "%/:=&?~#+!$,;'@*._-"
"""What stays as it is in a URL. Brackets, spaces, `<`, `>` and `|` would end a link in one dialect or the other."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a service writes what it can."""

    escape: Callable[[str], str]
    """Text of strangers -> text that is shown as it is: no link, no mention, no emphasis."""
    heading: str
    bold: str
    link: str
    """With `{name}` and `{url}`."""
    newline: str = "\n"


def is_url(text: str) -> bool:
    """Return whether a text may become a link: `javascript:` may not."""
    return text.startswith(("http://", "https://"))


def write(parts: Parts, dialect: Dialect, fits: Callable[[str], bool]) -> str:
    """Return the message as markup that fits: shorter pieces first, then fewer lines from the end, the heading last."""
    for length in _LENGTHS:
        lines = list(_lines(parts, dialect, length))
        if length < _LENGTHS[0]:
            lines.append(dialect.escape(parts.left_out))
        text = dialect.newline.join(lines)
        if fits(text):
            return text
    mark = lines.pop()
    while lines and not fits(text):
        lines.pop()
        text = dialect.newline.join([*lines, mark])
    return text


def _lines(parts: Parts, dialect: Dialect, length: int) -> Iterator[str]:
    def plain(text: str) -> str:
        text = " ".join(text.split())
        # cut before it is escaped: an escape is a construct too
        return dialect.escape(text if len(text) <= length else text[:length] + "…")

    yield dialect.heading.format(text=plain(parts.heading))
    for paragraph in parts.paragraphs:
        yield plain(paragraph)
    for name, value in parts.facts:
        yield f"{dialect.bold.format(text=plain(name))}: {plain(value)}"
    for name, url in parts.links:
        if not is_url(url):
            yield f"{plain(name)}: {plain(url)}"
        elif len(url) <= _URL:
            yield dialect.link.format(name=plain(name), url=quote(url, safe=_SAFE))
    if parts.evidence:
        yield dialect.bold.format(text=plain(parts.evidence_title))
    for event in parts.evidence:
        yield plain(event)
    if parts.labels:
        yield dialect.bold.format(text=plain(parts.labels_title))
    for name, value in parts.labels:
        yield f"{plain(name)} = {plain(value)}"
