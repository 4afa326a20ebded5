"""Settings from the environment: `X`, or for a secret `X_FILE` with a file that holds it.

In: os.environ. Out: typed values, or a `SettingsError` whose text is the one line an operator needs. Called by every
process at its start; `Secret.values()` is called at each use, so that a rotated file is seen without a restart.
"""

import os
import threading
from collections.abc import Mapping
from pathlib import Path


class SettingsError(Exception):
    """A setting is missing or wrong. The text names the variable and says what to set."""


def env_text(name: str, default: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Return the variable's text; raise SettingsError when it is unset or empty and there is no default."""
    value = (os.environ if env is None else env).get(name, "").strip()
    if value:
        return value
    if default is None:
        raise SettingsError(f"{name} is not set")
    return default


def env_number(name: str, default: float, low: float, high: float) -> float:
    """Return the variable as a number between low and high; raise SettingsError naming both bounds otherwise."""
    text = env_text(name, str(default))
    try:
        number = float(text)
    except ValueError:
        raise SettingsError(f"{name}: {text!r} is not a number") from None
    if not low <= number <= high:
        raise SettingsError(f"{name}: {text} is not between {low:g} and {high:g}")
    return number


def env_bool(name: str, default: bool = False) -> bool:
    """Return true/yes/on/1 or false/no/off/0; raise SettingsError for anything else."""
    text = env_text(name, str(default)).lower()
    if text in ("true", "yes", "on", "1"):
        return True
    if text in ("false", "no", "off", "0"):
        return False
    raise SettingsError(f"{name}: {text!r} is neither true nor false")


def env_list(name: str, default: str = "") -> list[str]:
    """Return the comma-separated parts of the variable, without blanks."""
    return [part.strip() for part in env_text(name, default).split(",") if part.strip()]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


class Secret:
    """A secret given as `NAME` or as `NAME_FILE`; a file may hold several values, one a line, the newest first.

    Several values let a rotation refuse nobody: a verifier accepts each, a sender uses the first. The file is read again
    when its modification time or size changes.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._values: tuple[str, ...] = ()

    def values(self) -> tuple[str, ...]:
        """Return all values in force, () when the secret is not set; raise SettingsError when its file can't be read."""
        path = os.environ.get(f"{self.name}_FILE", "").strip()
        direct = os.environ.get(self.name, "").strip()
        if path and direct:
            raise SettingsError(f"{self.name} and {self.name}_FILE are both set: keep one")
        if not path:
            return _lines(direct)
        with self._lock:
            try:
                stat = Path(path).stat()
                seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if seen != self._seen:
                    self._values = _lines(Path(path).read_text(encoding="utf-8"))
                    self._seen = seen
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"{self.name}_FILE: {path} can't be read: {error.__class__.__name__}") from error
            return self._values

    def required(self, hint: str) -> str:
        """Return the value to use; raise SettingsError that names the variable and gives the hint when there is none."""
        values = self.values()
        if not values:
            path = os.environ.get(f"{self.name}_FILE", "").strip()
            what = f"{self.name}_FILE: {path} is empty" if path else f"{self.name} (or {self.name}_FILE) is not set"
            raise SettingsError(f"{what}: {hint}")
        return values[0]
