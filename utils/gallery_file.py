"""The SQLite file of a gallery: opened, made, written to in transactions, and its errors told in one line."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from utils.settings import UserError
from utils.stores import Origin

KIND = 0x46616365  # "Face": SQLite's application_id of a gallery
FORMAT = 1  # of the tables; a later version that changes them counts on
PATIENCE = 60.0  # seconds to wait for another program that is writing
TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE photos (
    id INTEGER PRIMARY KEY, person INTEGER NOT NULL REFERENCES people (id), source TEXT NOT NULL UNIQUE,
    stamp INTEGER NOT NULL, weight REAL NOT NULL, vector BLOB NOT NULL
);
CREATE INDEX photos_of ON photos (person);
"""
REASONS = {  # SQLite's primary error codes -> what to do about it
    5: f"another program has been writing to it for {PATIENCE:.0f} s; try again",
    8: "it may only be read",
    10: "the disk is full or broken; what was there before is untouched",
    11: "it is damaged; put back a copy",
    13: "the disk is full; what was there before is untouched",
    14: "it cannot be opened; is its folder there, and may it be written?",
    26: "it is no gallery (no SQLite file)",
}


def connect(path: str | os.PathLike[str]) -> sqlite3.Connection:
    """Opens the file; where its folder may not be written to, and there is no log, it is read as it stands."""
    where = Path(path).resolve()
    mode = "rw" if os.access(where, os.W_OK) else "ro"
    if not os.access(where.parent, os.W_OK) and not os.path.exists(f"{where}-wal"):
        mode = "ro&immutable=1"
    name = f"{where.as_uri()}?mode={mode}"
    connection = sqlite3.connect(name, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=True)
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def begin_log(connection: sqlite3.Connection) -> None:
    """Sets the write-ahead log, with which readers and a writer do not wait for each other; SQLite's timeout is not
    for this command, and two programs may begin one gallery."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def is_new(connection: sqlite3.Connection) -> bool:
    """Says whether nothing was ever written to the file; raises UserError where another program did."""
    kind = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if kind != KIND and (kind or tables):
        raise UserError("the --gallery named is an SQLite file of another program; give it another name")
    return kind != KIND


def make_tables(connection: sqlite3.Connection, origin: Origin) -> None:
    for statement in filter(str.strip, TABLES.split(";")):
        connection.execute(statement)
    facts = origin._asdict() | {"size": str(origin.size)}
    connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
    connection.execute(f"PRAGMA application_id = {KIND}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")  # waits for other writers here, not half-way
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def told(path: str | os.PathLike[str], before: str = "") -> Iterator[None]:
    """Turns what SQLite or the disk says into one line."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        raise UserError(f"gallery {os.fspath(path)}: {before}{REASONS.get(code, str(error))}") from error
    except OSError as error:
        raise UserError(f"gallery {os.fspath(path)}: {error.strerror or error}") from error
