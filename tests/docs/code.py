"""What the code says of itself, read from its syntax trees: variables, settings, metrics, statuses. Nothing is imported."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parents[2]
PACKAGES = ("runtime", "userdb", "alert_bridge", "exporters", "local")
READERS = {"env_text", "env_number", "env_bool", "env_list", "Secret"}
FOREIGN = {"PATH", "DJANGO_SETTINGS_MODULE", "TERM", "HOME"}
"""Variables of the system and of Django, which are not ours to document."""
COLLECTED = SOURCE / "exporters" / "gateway_client" / "exposition.py"
"""Names its families in a loop: a test asks the collector itself."""


@cache
def trees() -> dict[Path, ast.Module]:
    files = [file for package in PACKAGES for file in sorted((SOURCE / package).rglob("*.py"))]
    return {file: ast.parse(file.read_text()) for file in [*files, SOURCE / "manage.py"]}


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield (last part of the called name, call)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            yield name, node


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _constants() -> dict[str, str]:
    """Return the modules' constants that are texts: a variable's name may be one."""
    found: dict[str, str] = {}
    for tree in trees().values():
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                text = _text(node.value)
                if text is not None:
                    found[node.targets[0].id] = text
    return found


def _readers() -> set[str]:
    """Return the functions that read a variable named by their first parameter, wrappers of wrappers included."""
    found = set(READERS)
    while True:
        more = {
            node.name
            for tree in trees().values()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.args.args
            for name, call in _calls(node)
            if name in found and call.args and getattr(call.args[0], "id", "") == node.args.args[0].arg
        }
        more |= {
            node.name
            for tree in trees().values()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.args.args
            for inner in ast.walk(node)
            if getattr(_environ(inner), "id", "") == node.args.args[0].arg
        }
        if more <= found:
            return found
        found |= more


def _environ(node: ast.AST) -> ast.AST | None:
    """Return the key of `os.environ[key]`, `os.environ.get(key)`, `os.getenv(key)`, else None."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
        return node.slice
    if isinstance(node, ast.Call) and node.args:
        called = ast.unparse(node.func)
        if called in ("os.environ.get", "os.environ.setdefault", "os.getenv"):
            return node.args[0]
    return None


def variables() -> set[str]:
    """Return every environment variable that is read; a secret `X` as `X` and `X_FILE`."""
    constants, readers = _constants(), _readers()
    found: set[str] = set()
    for tree in trees().values():
        for node in ast.walk(tree):
            key = _environ(node)
            name = None if key is None else _text(key) or constants.get(getattr(key, "id", ""))
            if name:
                found.add(name)
        for name, call in _calls(tree):
            if name in readers and call.args:
                variable = _text(call.args[0]) or constants.get(getattr(call.args[0], "id", ""))
                if variable:
                    found |= {variable, f"{variable}_FILE"} if name == "Secret" else {variable}
    return found - FOREIGN


def django_settings() -> set[str]:
    """Return the settings of our own that a host project may set: `getattr(settings, "X", ...)`."""
    return {
        name
        for tree in trees().values()
        for called, call in _calls(tree)
        if called == "getattr" and len(call.args) > 1 and getattr(call.args[0], "id", "") == "settings"
        if (name := _text(call.args[1])) and name.isupper()
    }


class Family(NamedTuple):
    """One metric as it is scraped."""

    name: str
    type: str
    labels: frozenset[str]


_TYPES = {"Counter": "counter", "Gauge": "gauge", "Histogram": "histogram", "Summary": "summary", "Info": "info"}


def metrics() -> set[Family]:
    """Return every metric family that is made anywhere, named as in the exposition."""
    found: set[Family] = set()
    for file, tree in trees().items():
        for called, call in _calls(tree):
            kind = _TYPES.get(called.removesuffix("MetricFamily"))
            if kind is None or not call.args or file == COLLECTED:
                continue  # a collections.Counter has no argument
            name = _text(call.args[0])
            assert name, f"{file.name}, line {call.lineno}: the metric's name is no literal"
            found.add(Family(exposed(name, kind), kind, frozenset(_labels(tree, call))))
    return found


def exposed(name: str, kind: str) -> str:
    """Return the name as it is scraped."""
    suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
    return name if name.endswith(suffix) else name + suffix


def _labels(tree: ast.AST, call: ast.Call) -> tuple[str, ...]:
    """Return the labels of a family: its third argument or `labels=`, a literal or a name that is assigned one."""
    given = next((word.value for word in call.keywords if word.arg in ("labels", "labelnames")), None)
    if given is None and len(call.args) > 2:
        given = call.args[2]
    if isinstance(given, ast.Name):
        assigned = [n for n in ast.walk(tree) if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == given.id]
        literals = [texts for n in assigned if (texts := _texts(n.value))]
        assert len(literals) == 1, f"labels of line {call.lineno}: not one literal"
        return literals[0]
    return _texts(given)


def _texts(node: ast.AST | None) -> tuple[str, ...]:
    """Return the texts of a literal list or tuple of nothing else, () for all else."""
    found = [_text(part) for part in node.elts] if isinstance(node, (ast.List, ast.Tuple)) else []
    return () if None in found else tuple(text for text in found if text is not None)


def statuses(module: str, functions: tuple[str, ...]) -> set[int]:
    """Return the HTTP statuses that a module answers with through these functions of its own, or `status=`."""
    found: set[int] = set()
    for name, call in _calls(trees()[SOURCE / module]):
        if name not in (*functions, "JsonResponse"):
            continue
        values = [word.value for word in call.keywords if word.arg == "status"] + call.args[:1] * (name in functions)
        found |= {v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, int)}
    return found


def compared_paths(module: str) -> set[str]:
    """Return the paths that a hand-written HTTP server compares with: `path == "/x"`."""
    return {
        text
        for node in ast.walk(trees()[SOURCE / module])
        if isinstance(node, ast.Compare) and ast.unparse(node.left) == "path"
        if (text := _text(node.comparators[0]))
    }
