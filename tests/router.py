"""The tests' router: userdb's tables are made in both databases, and used where USERDB_ALIAS says."""

from typing import Any

from userdb.router import UserdbRouter


class BothRouter(UserdbRouter):
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return True if app_label == "userdb" else None
