"""What sqlite.py asks of its tables: keys now and at older revisions, and the history that a watch replays.

Every row is checked against its checksum as it is read; DamagedError says which one is not as it was written.
"""

import sqlite3
from collections.abc import Sequence

from pybernetes.store._sqlite_format import ROW, checked
from pybernetes.store.protocol import Compacted, Event, FutureRevision, Range, Revision, Stored

_REPLAY_PAGE = 1000
_H = "h.key, h.value, h.created, h.revision, h.previous, h.deleted, h.checksum"
_P = _H.replace("h.", "p.")
_CURRENT = f"SELECT {_H} FROM live l LEFT JOIN history h USING (revision) WHERE l.key = ?"
MORTAL = """SELECT l.key, e.revision, e.deadline, e.ttl FROM expiry e JOIN history h USING (revision)
    JOIN live l ON l.key = h.key AND l.revision = e.revision"""
_PAGE = f"""SELECT l.key, {_H} FROM live l LEFT JOIN history h USING (revision)
    WHERE l.key >= ? AND l.key < ? ORDER BY l.key LIMIT ?"""
_OLD_KEYS = """SELECT key, revision FROM live WHERE key >= :low AND key < :high AND revision <= :at
    UNION ALL
    SELECT key, previous FROM history
    WHERE revision > :at AND previous BETWEEN 1 AND :at AND key >= :low AND key < :high ORDER BY key"""
_REPLAY = f"""SELECT {_H}, {_P} FROM history h LEFT JOIN history p ON h.deleted AND p.revision = h.previous
    WHERE h.revision > ? AND h.revision <= ? AND h.key >= ? AND h.key < ? ORDER BY h.revision LIMIT ?"""


def current(connection: sqlite3.Connection, key: str) -> Stored | None:
    """What the key has now. Raises DamagedError."""
    row = connection.execute(_CURRENT, (key,)).fetchone()
    return None if row is None else checked(row, key)


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
    """A page of keys from `low` to `high` (excluded), now or at a revision. Raises Compacted, FutureRevision."""
    with Snapshot(connection):
        newest, compacted = facts(connection)
        if at is not None and at < compacted:
            raise Compacted(compacted)
        if at is not None and at > newest:
            raise FutureRevision(f"revision {at} has not happened, the newest is {newest}")
        if at is None or at == newest:
            rows = connection.execute(_PAGE, (low, high, limit or -1))
            items = tuple(checked(tuple(row), key) for key, *row in rows)
            left = 0
            if limit and len(items) == limit:
                count = "SELECT count(*) FROM live WHERE key > ? AND key < ?"
                left = connection.execute(count, (items[-1].key, high)).fetchone()[0]
            return Range(items, newest, left > 0, left)
        keys = connection.execute(_OLD_KEYS, {"low": low, "high": high, "at": at}).fetchall()
        wanted = keys[:limit] if limit else keys
        one = f"SELECT {ROW} FROM history WHERE revision = ?"
        old = tuple(checked(connection.execute(one, (revision,)).fetchone(), key) for key, revision in wanted)
        return Range(old, at, len(keys) > len(wanted), len(keys) - len(wanted))


def replay(
    connection: sqlite3.Connection, prefix: str, after: Revision, until: Revision
) -> tuple[Sequence[Event], Revision]:
    """A page of the events of a prefix, and the revision it reaches. Raises Compacted."""
    with Snapshot(connection):
        _, compacted = facts(connection)
        if after < compacted:
            raise Compacted(compacted)
        limits = (after, until, prefix, prefix + "\U0010ffff", _REPLAY_PAGE)
        rows = connection.execute(_REPLAY, limits).fetchall()
    events: list[Event] = []
    for row in rows:
        one, deleted = checked(row[:7]), row[5]
        if deleted:
            events.append(Event("DELETE", one.key, one.revision, previous=checked(row[7:], one.key)))
        else:
            events.append(Event("PUT", one.key, one.revision, one.value, created=one.created))
    return events, events[-1].revision if len(events) == _REPLAY_PAGE else until
