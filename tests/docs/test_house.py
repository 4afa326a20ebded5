"""The files at the root agree with each other: hooks with `make check`, the changelog with the version, commands with make."""

import re
import tomllib

import pytest
import yaml

from tests.docs.code import SOURCE

MAKEFILE = (SOURCE / "Makefile").read_text()
CHANGELOG = (SOURCE / "CHANGELOG.md").read_text()


def _recipe(target: str) -> str:
    (recipe,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return str(recipe)


def _tools(text: str) -> set[str]:
    """Return the tools of .venv/bin that a text calls, ruff's with their command."""
    found = re.findall(r"(?:\$\(BIN\)|\.venv/bin)/(\S+)(?: (check|format))?", text)
    return {" ".join(filter(None, tool)) for tool in found}


def test_the_hooks_call_the_tools_of_make_check() -> None:
    document = yaml.safe_load((SOURCE / ".pre-commit-config.yaml").read_text())
    entries = [hook["entry"] for repository in document["repos"] for hook in repository["hooks"]]
    assert _tools("\n".join(entries)) == _tools(_recipe("check")) != set()


def test_the_changelog_begins_with_the_version() -> None:
    version = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["version"]
    heads = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    assert heads[0].split(" ")[0] == version


def test_each_entry_of_the_changelog_has_a_kind_and_an_area() -> None:
    entries = re.findall(r"^- .*$", CHANGELOG, re.MULTILINE)
    assert entries
    odd = [
        entry
        for entry in entries
        if not re.match(r"- \[(CHANGE|FEATURE|ENHANCEMENT|BUGFIX|SECURITY)\] [\w ]+: ", entry)
    ]
    assert odd == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md", "docs/local-run.md"])
def test_each_make_target_that_is_named_is_there(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"`(?:[A-Z]+=\S+ )?make ([a-z]+)", (SOURCE / page).read_text()))
    assert named - targets == set()
    assert named
