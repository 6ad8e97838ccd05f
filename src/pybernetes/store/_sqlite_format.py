"""The tables of a SQLite store, their checksums, and what is checked before a file is believed. _sqlite_file.py opens it.

SQLite's own log has checksums, its file has none: so each row of `history` has one, `meta` has one over all it says and
knows how many keys are live and the sum of their revisions, and SQLite checks the shape of its trees at open (0.6 s for
150,000 Pods of 6 KB). Formats: 1 has no checksums, 2 none of `meta`.
"""

import sqlite3
import zlib
from collections.abc import Mapping

from pybernetes.store.protocol import Stored

FORMAT = 3
_TABLES = (
    """CREATE TABLE IF NOT EXISTS history (
    revision INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER NOT NULL, previous INTEGER NOT NULL,
    deleted INTEGER NOT NULL, value BLOB NOT NULL, checksum INTEGER NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS live (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS expiry (revision INTEGER PRIMARY KEY, deadline REAL NOT NULL, ttl REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT OR IGNORE INTO meta VALUES ('revision', 0), ('compacted', 0), ('swept', 0), ('keys', 0), ('sum', 0)",
    "INSERT OR IGNORE INTO meta VALUES ('identity', abs(random() / 4)), ('checksum', 0)",
    f"PRAGMA user_version = {FORMAT}",
)
ROW = "key, value, created, revision, previous, deleted, checksum"
"""What of a row of `history` is read, so that it can be checked."""
SET_FACT = "UPDATE meta SET value = ? WHERE name = ?"
_FACTS = ("revision", "compacted", "swept", "keys", "sum", "identity")
ADD_ROW = f"INSERT INTO history ({ROW}) VALUES (?, ?, ?, ?, ?, ?, ?)"
Row = tuple[str, bytes, int, int, int, int, int]

_EVENT_TTL = 3600.0
_EVENTS_OF_FORMAT_1 = """INSERT OR IGNORE INTO expiry SELECT revision, ?, ? FROM live
    WHERE key >= '/registry/events/' AND key < '/registry/events0'"""
"""Format 1 left it to the API server to look for old Events."""


class DamagedError(sqlite3.DatabaseError):
    """What is stored is not what was written."""


class ForeignError(sqlite3.DatabaseError):
    """It is a database of another program's."""


def new_row(key: str, value: bytes, created: int, revision: int, previous: int, deleted: int) -> Row:
    """A row of `history` with its checksum."""
    return key, value, created, revision, previous, deleted, checksum(key, value, created, revision, previous, deleted)


def checksum(key: str, value: bytes, created: int, revision: int, previous: int, deleted: int) -> int:
    """CRC-32 of a row."""
    return zlib.crc32(value, zlib.crc32(f"{revision} {created} {previous} {deleted} {key}".encode()))


def version_of(connection: sqlite3.Connection) -> int:
    """The format; 0 is an empty file. Raises ForeignError."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and not {"history", "live", "meta"} <= tables:
        raise ForeignError
    return version if tables else 0


def facts_of(connection: sqlite3.Connection) -> dict[str, int]:
    """What `meta` says of the whole store. Raises DamagedError."""
    found = dict(connection.execute("SELECT name, value FROM meta"))
    missing = {*_FACTS, "checksum"} - found.keys()
    if missing:
        raise DamagedError(f"it does not say its {', '.join(sorted(missing))}")
    if seal(found) != found["checksum"]:
        raise DamagedError("what it says of itself does not match its checksum")
    return found


def seal(facts: Mapping[str, int]) -> int:
    """CRC-32 of what `meta` says."""
    return zlib.crc32(" ".join([str(facts[name]) for name in _FACTS]).encode())


def write_facts(connection: sqlite3.Connection, facts: Mapping[str, int]) -> None:
    """Changes some of what `meta` says, which the caller vouches for."""
    connection.executemany(SET_FACT, [(value, name) for name, value in facts.items()])
    found = dict(connection.execute("SELECT name, value FROM meta"))
    connection.execute(SET_FACT, (seal(found), "checksum"))


def checked(row: Row | tuple[None, ...] | None, key: str | None = None) -> Stored:
    """The row as it was written; `key` is what it must be of. Raises DamagedError."""
    if row is None or row[0] is None:
        raise DamagedError(f"a value is missing{f' of {key}' if key else ''}")
    try:
        sound = checksum(*row[:6]) == row[6]
    except (TypeError, UnicodeError):
        sound = False
    if not sound:
        raise DamagedError(f"revision {row[3]} does not match its checksum")
    if key is not None and row[0] != key:
        raise DamagedError(f"{key} leads to a value of {row[0]}")
    return Stored(row[0], row[1], row[2], row[3])  # type: ignore[arg-type]  # revisions are plain numbers in the file


def prepare(connection: sqlite3.Connection, version: int, now: float) -> None:
    """Makes the tables, or takes over those of an older format, in one transaction. Nobody else may have it open.

    Raises DamagedError for an older one that is damaged as far as that format can tell.
    """
    check_shape(connection)
    connection.execute("BEGIN IMMEDIATE")
    if version == 1:
        connection.create_function("checksum_of", 6, checksum, deterministic=True)
        connection.execute("ALTER TABLE history ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")
        connection.execute(
            "UPDATE history SET checksum = checksum_of(key, value, created, revision, previous, deleted)"
        )
    for statement in _TABLES:
        connection.execute(statement)
    if version == 1:
        connection.execute(_EVENTS_OF_FORMAT_1, (now + _EVENT_TTL, _EVENT_TTL))
    write_facts(connection, counted(connection) if version == 1 else {})
    connection.execute("COMMIT")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint (TRUNCATE)").fetchone()  # a file without its log knows whose it is


def counted(connection: sqlite3.Connection) -> dict[str, int]:
    """How many keys there are, as `verify` wants it."""
    keys, total = connection.execute("SELECT count(*), coalesce(sum(revision), 0) FROM live").fetchone()
    return {"keys": keys, "sum": total}


def check_shape(connection: sqlite3.Connection) -> None:
    """SQLite's own look at its trees. Raises DamagedError, sqlite3.Error."""
    said = [line for (line,) in connection.execute("PRAGMA quick_check (3)")]
    if said != ["ok"]:
        raise DamagedError("; ".join(" ".join(str(line).split()) for line in said))


def verify(connection: sqlite3.Connection, *, values: bool = False) -> dict[str, int]:
    """The shape of the file and the number of keys; `values`: every row, too. What `meta` says.

    Raises DamagedError, sqlite3.Error.
    """
    check_shape(connection)
    meta = facts_of(connection)
    keys, total, newest = connection.execute(
        "SELECT count(*), coalesce(sum(revision), 0), coalesce(max(revision), 0) FROM live"
    ).fetchone()
    if (keys, total) != (meta["keys"], meta["sum"]) or newest > meta["revision"]:
        raise DamagedError(f"it has {keys} keys where {meta['keys']} were written, or another revision of some")
    if values:
        for key, *row in connection.execute(
            "SELECT l.key, h.key, h.value, h.created, h.revision, h.previous, h.deleted, h.checksum"
            " FROM live l LEFT JOIN history h USING (revision)"
        ):
            checked(tuple(row), key)
        for row in connection.execute(f"SELECT {ROW} FROM history"):
            checked(row)
    return meta
