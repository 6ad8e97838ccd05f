"""What sqlite.py asks of its tables: keys now and at older revisions, and the history that a watch replays."""

import sqlite3
from collections.abc import Sequence

from pybernetes.store.protocol import Compacted, Event, FutureRevision, Range, Revision, Stored

_REPLAY_PAGE = 1000
CURRENT = "SELECT h.key, h.value, h.created, h.revision FROM live l JOIN history h USING (revision) WHERE l.key = ?"
MORTAL = """SELECT l.key, e.revision, e.deadline, e.ttl FROM expiry e JOIN history h USING (revision)
    JOIN live l ON l.key = h.key AND l.revision = e.revision"""
_PAGE = """SELECT h.key, h.value, h.created, h.revision FROM live l JOIN history h USING (revision)
    WHERE l.key >= ? AND l.key < ? ORDER BY l.key LIMIT ?"""
_OLD_KEYS = """SELECT key, revision FROM live WHERE key >= :low AND key < :high AND revision <= :at
    UNION ALL
    SELECT key, previous FROM history
    WHERE revision > :at AND previous BETWEEN 1 AND :at AND key >= :low AND key < :high ORDER BY key"""
_REPLAY = """SELECT h.deleted, h.key, h.revision, h.value, h.created, p.value, p.created, p.revision
    FROM history h LEFT JOIN history p ON h.deleted AND p.revision = h.previous
    WHERE h.revision > ? AND h.revision <= ? AND h.key >= ? AND h.key < ? ORDER BY h.revision LIMIT ?"""


def stored(row: tuple[str, bytes, int, int] | None) -> Stored | None:
    return Stored(row[0], row[1], Revision(row[2]), Revision(row[3])) if row else None


def facts(connection: sqlite3.Connection) -> tuple[Revision, Revision]:
    """(newest, compacted) as this transaction sees them."""
    meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    return Revision(meta["revision"]), Revision(meta["compacted"])


class Snapshot:
    """A read transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN")

    def __exit__(self, *_: object) -> None:
        self._connection.execute("ROLLBACK")


def range_at(connection: sqlite3.Connection, low: str, high: str, at: Revision | None, limit: int) -> Range:
    with Snapshot(connection):
        newest, compacted = facts(connection)
        if at is not None and at < compacted:
            raise Compacted(compacted)
        if at is not None and at > newest:
            raise FutureRevision(f"revision {at} has not happened, the newest is {newest}")
        if at is None or at == newest:
            rows = connection.execute(_PAGE, (low, high, limit or -1)).fetchall()
            left = 0
            if limit and len(rows) == limit:
                count = "SELECT count(*) FROM live WHERE key > ? AND key < ?"
                left = connection.execute(count, (rows[-1][0], high)).fetchone()[0]
            items = tuple(Stored(*row) for row in rows)
            return Range(items, newest, left > 0, left)
        keys = connection.execute(_OLD_KEYS, {"low": low, "high": high, "at": at}).fetchall()
        wanted = keys[:limit] if limit else keys
        row = "SELECT key, value, created, revision FROM history WHERE revision = ?"
        old = tuple(Stored(*connection.execute(row, (revision,)).fetchone()) for _, revision in wanted)
        return Range(old, at, len(keys) > len(wanted), len(keys) - len(wanted))


def replay(
    connection: sqlite3.Connection, prefix: str, after: Revision, until: Revision
) -> tuple[Sequence[Event], Revision]:
    with Snapshot(connection):
        _, compacted = facts(connection)
        if after < compacted:
            raise Compacted(compacted)
        limits = (after, until, prefix, prefix + "\U0010ffff", _REPLAY_PAGE)
        rows = connection.execute(_REPLAY, limits).fetchall()
    events: list[Event] = []
    for deleted, key, revision, value, created, old_value, old_created, old_revision in rows:
        if deleted:
            previous = Stored(key, old_value, old_created, old_revision)
            events.append(Event("DELETE", key, revision, previous=previous))
        else:
            events.append(Event("PUT", key, revision, value, created=created))
    return events, Revision(rows[-1][2]) if len(rows) == _REPLAY_PAGE else until
