"""Pages of Markdown as the tests read them: tables, words in backquotes, headings, links."""

import re
import subprocess
from functools import cache
from pathlib import Path

from tests.docs.code import SOURCE

_CODE = re.compile(r"`([^`]+)`")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)\"")


@cache
def tracked() -> tuple[Path, ...]:
    """Return every Markdown file that git tracks or is about to."""
    command = ["git", "ls-files", "*.md"]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True)
    return tuple(SOURCE / line for line in done.stdout.splitlines())


def text(page: str) -> str:
    return (SOURCE / "docs" / page).read_text()


def rows(page: str, section: str = "") -> list[list[str]]:
    """Return the cells of every row of a page's tables, or of one section's, heads left out."""
    found: list[list[str]] = []
    inside = not section
    for line in text(page).splitlines():
        if section and line.startswith("## "):
            inside = line == f"## {section}"
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if not inside or not line.startswith("|"):
            continue
        if set("".join(cells)) <= set("-: "):
            found.pop()  # what stood before the rule was the head
            continue
        found.append(cells)
    return found


def words(cell: str) -> list[str]:
    """Return what stands in backquotes."""
    return _CODE.findall(cell)


def links(file: Path) -> list[str]:
    """Return the relative links of a page, code left out."""
    plain = _CODE.sub("", _FENCE.sub("", file.read_text()))
    found = [next(filter(None, match)) for match in _LINK.findall(plain)]
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(file: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", _FENCE.sub("", file.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.replace("`", "")).strip().lower().replace(" ", "-") for head in heads}
