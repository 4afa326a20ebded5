"""Where the local run keeps what it makes: everything lies below one folder, so that deleting it undoes the run."""

from pathlib import Path

from runtime.settings import env_text

SOURCE = Path(__file__).resolve().parent.parent
VAR = SOURCE / env_text("LOCAL_VAR", "var")
"""LOCAL_VAR: a path, relative ones from the checkout."""

PROGRAMS = VAR / "programs"
SECRETS = VAR / "secrets"
LOGS = VAR / "log"
INBOX = VAR / "inbox"
PROMETHEUS = VAR / "prometheus"
ALERTMANAGER = VAR / "alertmanager"
TENANTS = VAR / "tenants"
