"""The same site, with userdb's database written by hand: USERDB_URL plays no part."""

from portal.settings import *  # noqa: F403
from portal.settings import BASE_DIR, DATABASES

DATABASES["userdb"] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": BASE_DIR / "by-hand.sqlite3",
    "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 2, "init_command": "PRAGMA journal_mode=WAL"},
}
