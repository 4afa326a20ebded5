"""userdb as the verdict reads it: plain SQL and plain rows, beside the project's own models."""

import zlib
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.mariadb import MariaDB


@dataclass(frozen=True)
class EpisodeRow:
    id: int
    fingerprint: str
    task: str
    number: int
    state: str
    first: datetime
    last: datetime
    closed_by: str
    origin: str


@dataclass(frozen=True)
class MessageRow:
    id: int
    key: str
    channel: str
    fingerprint: str
    episode: int | None
    kind: str
    state: str
    reason: str
    digest: int | None
    cause_at: datetime


class Userdb:
    """One connection a question, so that a server that was killed meanwhile is none of its matters."""

    def __init__(self, server: MariaDB) -> None:
        self._server = server

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        import MySQLdb

        link = MySQLdb.connect(
            host="127.0.0.1", port=self._server.port, user="root", database="userdb", charset="utf8mb4"
        )
        with closing(link) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return [tuple(_aware(value) for value in row) for row in cursor.fetchall()]

    def one(self, sql: str) -> Any:
        return self.rows(sql)[0][0]

    def episodes(self) -> list[EpisodeRow]:
        sql = """SELECT a.id, i.fingerprint, COALESCE(JSON_VALUE(i.labels, '$.task'), ''), a.number, a.state, a.starts_at,
                        a.highest_start, a.closed_by, i.origin
                 FROM userdb_alert a JOIN userdb_alertidentity i ON i.fingerprint = a.identity_id
                 ORDER BY i.fingerprint, a.number"""
        return [EpisodeRow(*row) for row in self.rows(sql)]

    def messages(self) -> list[MessageRow]:
        sql = """SELECT n.id, n.`key`, c.name, n.identity_id, n.alert_id, n.kind, n.state, n.reason, n.digest_id, n.cause_at
                 FROM userdb_notification n JOIN userdb_channel c ON c.id = n.channel_id ORDER BY n.id"""
        return [MessageRow(*row) for row in self.rows(sql)]

    def named_tries(self) -> dict[str, int]:
        """Return by key how many tries say of themselves that the message may have arrived though it was sent again."""
        sql = """SELECT n.`key`, COUNT(*) FROM userdb_deliveryattempt t JOIN userdb_notification n ON n.id = t.notification_id
                 WHERE t.outcome = 'unknown' OR t.after_lease
                    OR (t.outcome = 'temporary' AND t.reason IN ('timeout', 'connection'))
                 GROUP BY n.`key`"""
        return {key: int(count) for key, count in self.rows(sql)}

    def bodies(self) -> list[bytes]:
        return [zlib.decompress(body) for (body,) in self.rows("SELECT body FROM userdb_webhookevent ORDER BY id")]

    def waiting(self) -> int:
        return int(
            self.one("SELECT COUNT(*) FROM userdb_notification WHERE state IN ('unconfirmed', 'owed', 'sending')")
        )

    def open(self) -> int:
        return int(self.one("SELECT COUNT(*) FROM userdb_alert WHERE state = 'firing'"))


def _aware(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
