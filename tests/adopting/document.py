"""docs/adopting.md as the tests read it: its blocks of code, each with the file that it names."""

import re
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parents[2]
MINIATURE = Path(__file__).resolve().parent / "platform"
_FENCE = re.compile(r"^```(\w*)[ ]?(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TEXT = (SOURCE / "docs" / "adopting.md").read_text()


class Block(NamedTuple):
    """One fenced block: ```language place."""

    language: str
    place: str
    text: str


BLOCKS = [Block(*match.groups()) for match in _FENCE.finditer(TEXT)]


def manage_commands() -> list[list[str]]:
    """Return the arguments of each `python manage.py ...` of the document, in its order."""
    lines = [line for block in BLOCKS if block.language == "sh" for line in block.text.splitlines()]
    return [line.split()[2:] for line in lines if line.startswith("python manage.py ")]
