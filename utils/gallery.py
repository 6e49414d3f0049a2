"""People and their embeddings in one SQLite file: whole after `kill -9`, read by several at once, erasable.

The file belongs to one embedder, whose SHA-256 it holds. What is written in one call is there wholly or not at all
(write-ahead log). A photo is known by its path: it is one row, however often it is enrolled.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from utils.gallery_file import FORMAT, begin_log, connect, is_new, make_tables, told, transaction
from utils.gallery_search import NeighbourLists, nearest
from utils.image_cache import image_keys
from utils.settings import UserError
from utils.stores import Nearest, NoPeople, Origin, Person, Photo, clean_name, clean_source, unknown_people
from utils.templates import Templates, templates

ROWS = 20_000  # embeddings that are read at once
FEWEST_FOR_LISTS = 10_000  # templates from which on lists of neighbours are made: fewer are compared at once
PUT = """
INSERT INTO photos (person, source, stamp, weight, vector) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (source) DO UPDATE SET stamp = excluded.stamp, weight = excluded.weight, vector = excluded.vector
"""  # a photo that is there stays its person's, also where the folder has the name from before a renaming
DROP = "DELETE FROM people WHERE id = ? AND NOT EXISTS (SELECT 1 FROM photos WHERE person = ?)"


class Gallery:
    """A gallery in a file; raises UserError for whatever the file or the disk refuses. Close it, or use `with`."""

    def __init__(self, path: str | os.PathLike[str], connection: sqlite3.Connection):
        self.path, self._db = Path(path), connection
        self._lock = threading.RLock()  # a page in the browser asks from several threads
        self._kept: tuple[object, str, Templates] | None = None  # templates as last read, and of which version
        self._lists: NeighbourLists | None = None  # of those templates
        facts = dict(connection.execute("SELECT name, value FROM facts"))
        made_by = facts["sha256"], int(facts["size"]), facts["flip"], facts["model_path"]
        self.origin = Origin(*made_by, facts.get("cut", ""))  # the first galleries do not say the last

    @classmethod
    def open(cls, path: str | os.PathLike[str], sha256: str | None = None) -> "Gallery":
        """Opens a gallery that is there; `sha256` is that of the embedder whose vectors will be compared, if any."""
        if not os.path.isfile(path):
            raise NoPeople(f"no gallery '{os.fspath(path)}'; python identify.py enroll FOLDER makes one")
        with told(path):
            connection = connect(path)
            if is_new(connection):
                raise NoPeople(f"'{os.fspath(path)}' is empty; python identify.py enroll FOLDER")
            return cls(path, connection)._checked(sha256)

    @classmethod
    def create(cls, path: str | os.PathLike[str], origin: Origin) -> "Gallery":
        """Opens a gallery to write to, and makes it where there is none; only its owner may read a new one."""
        with told(path):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = connect(path)
            is_new(connection)  # another program's file is refused before it is touched
            begin_log(connection)
            with transaction(connection):
                if is_new(connection):
                    make_tables(connection, origin)
            gallery = cls(path, connection)._checked(origin.sha256)
            with contextlib.suppress(UserError):  # that it still cannot be done was said when it was asked for
                gallery.finish_erasing()
            return gallery

    def _checked(self, sha256: str | None) -> "Gallery":
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != FORMAT:
            raise UserError(f"{self.path} has format {version}, this version of the kit reads {FORMAT}")
        self.origin.check(str(self.path), sha256)
        return self

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; its log is written back and goes, where no other program has it open."""
        with contextlib.suppress(sqlite3.Error):  # a full disk: the log stays, and is read next time
            self._db.close()

    @contextlib.contextmanager
    def batch(self) -> Iterator[sqlite3.Connection]:
        """What is written within the block is written together: all of it, or nothing."""
        with self._lock, told(self.path):
            if self._db.in_transaction:
                yield self._db
            else:
                with transaction(self._db):
                    yield self._db

    def enroll(
        self,
        person: str,
        embeddings: NDArray[np.floating],
        sources: Sequence[str],
        weights: NDArray[np.floating] | None = None,
    ) -> None:
        """Puts embeddings (N,D) under a name; `sources` (N) say where they are from, `weights` (N,) what they count."""
        vectors, weights = self.origin.rows(embeddings, len(sources), weights)
        name, stamps = clean_name(person), image_keys(sources).view(np.int64).tolist()
        with self.batch() as db:
            db.execute("INSERT OR IGNORE INTO people (name) VALUES (?)", (name,))
            number = db.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()[0]
            blobs = (row.tobytes() for row in vectors)
            paths = map(clean_source, sources)
            rows = zip([number] * len(stamps), paths, stamps, weights.tolist(), blobs, strict=True)
            db.executemany(PUT, rows)
            db.execute(DROP, (number, number))

    def owners(self, sources: Sequence[str], changed: bool = False) -> list[str | None]:
        """Returns whose each photo (N) is: None where it is not enrolled, or has `changed` on the disk since."""
        with self._lock, told(self.path):
            rows = self._db.execute("SELECT source, stamp, name FROM photos JOIN people ON people.id = person")
            known = {(source, stamp): name for source, stamp, name in rows}
        if changed:
            ever = {source: name for (source, _), name in known.items()}
            return [ever.get(clean_source(source)) for source in sources]
        stamps = image_keys(sources).view(np.int64).tolist()
        return [
            known.get((clean_source(s), stamp)) if stamp else None for s, stamp in zip(sources, stamps, strict=True)
        ]

    def people(self) -> list[Person]:
        """Returns the people and how many photos each has, by name."""
        text = "SELECT name, count(*) FROM people JOIN photos ON person = people.id GROUP BY people.id ORDER BY name"
        with self._lock, told(self.path):
            return [Person(*row) for row in self._db.execute(text)]

    def rename(self, old: str, new: str) -> None:
        """Gives a person another name, which nobody has."""
        new = clean_name(new)
        with self.batch() as db:
            (number,) = self._numbers([old])
            if db.execute("SELECT 1 FROM people WHERE name = ? AND id != ?", (new, number)).fetchone():
                raise UserError(f"'{new}' is enrolled already; python identify.py merge '{new}' '{old}' joins the two")
            db.execute("UPDATE people SET name = ? WHERE id = ?", (new, number))

    def merge(self, into: str, others: Sequence[str]) -> None:
        """Gives a person the photos of others, who are then no more."""
        if clean_name(into) in map(clean_name, others):
            raise UserError(f"'{into}' cannot be merged with itself")
        with self.batch() as db:
            target, *rest = self._numbers([into, *others])
            for number in rest:
                db.execute("UPDATE photos SET person = ? WHERE person = ?", (target, number))
                db.execute("DELETE FROM people WHERE id = ?", (number,))

    def remove(self, people: Sequence[str]) -> int:
        """Erases people: nothing of them stays in the file or its log. Returns how many photos that were."""
        with self.batch() as db:
            photos = 0
            db.execute("INSERT OR REPLACE INTO facts VALUES ('erasing', '1')")  # a kill: the next writer finishes it
            for number in self._numbers(people):
                photos += db.execute("DELETE FROM photos WHERE person = ?", (number,)).rowcount
                db.execute("DELETE FROM people WHERE id = ?", (number,))
        self.finish_erasing()
        return photos

    def finish_erasing(self) -> None:
        """Rewrites the file without what was removed, where that has not been done, and empties its log.

        `secure_delete` alone leaves copies: of rows that had moved from page to page, the old page keeps some.
        """
        with self._lock, told(self.path, "removed, but traces are left in the file until the next enroll or remove: "):
            if not self._db.execute("SELECT 1 FROM facts WHERE name = 'erasing'").fetchone():
                return
            self._db.execute("VACUUM")  # which writes a new file into the log, and the log then over the old file
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                raise UserError(
                    f"removed, but another program is reading {self.path}: traces stay in it until the next enroll or"
                    " remove after that"
                )
            self._db.execute("DELETE FROM facts WHERE name = 'erasing'")

    def _numbers(self, names: Sequence[str]) -> list[int]:
        """Returns the rows of people; raises UserError, with the nearest names, for one who is not there."""
        every = dict(self._db.execute("SELECT name, id FROM people"))
        names = [clean_name(name) for name in dict.fromkeys(names)]
        unknown_people(names, every, str(self.path))
        return [every[name] for name in names]

    def photos(self, people: Sequence[str] = ()) -> Iterable[Photo]:
        """Yields the photos of people, or of all."""
        with self._lock, told(self.path):
            numbers = self._numbers(people) if people else [r[0] for r in self._db.execute("SELECT id FROM people")]
            text = "SELECT name, source, weight, vector FROM photos JOIN people ON people.id = person WHERE person = ?"
            for number in numbers:
                for name, source, weight, vector in self._db.execute(f"{text} ORDER BY source", (number,)):
                    yield Photo(name, source, weight, np.frombuffer(vector, "<f4"))

    def templates(self, how: str = "mean") -> Templates:
        """Returns (names, vectors (P,D)): what a face is compared with; see utils/templates.py."""
        with self._lock, told(self.path):
            version = self._db.execute("PRAGMA data_version").fetchone()[0], self._db.total_changes
            if self._kept is None or self._kept[:2] != (version, how):
                self._kept = version, how, self._read_templates(how)
            return self._kept[2]

    def _read_templates(self, how: str) -> Templates:
        self._db.execute("BEGIN")  # one state of the file for all that is read
        try:
            number = self._db.execute("SELECT count(*) FROM photos").fetchone()[0]
            vectors = np.empty((number, self.origin.size), np.float32)
            people, weights = np.empty(number, np.int64), np.empty(number, np.float32)
            rows = self._db.execute("SELECT person, weight, vector FROM photos")
            for first in range(0, number, ROWS):
                part = list(zip(*rows.fetchmany(ROWS), strict=True))
                here = slice(first, first + len(part[0]))
                people[here], weights[here] = part[0], part[1]
                vectors[here] = np.frombuffer(b"".join(part[2]), "<f4").reshape(-1, self.origin.size)
            names = dict(self._db.execute("SELECT id, name FROM people"))
        finally:
            self._db.execute("COMMIT")
        return templates(names, people, vectors, weights, how)

    def nearest(
        self, queries: NDArray[np.floating], number: int = 1, how: str = "mean", approximate: bool = False
    ) -> Nearest:
        """Returns the nearest templates of queries (Q,D); `approximate` searches with FAISS, among many."""
        with self._lock:
            found = self.templates(how)
            approximate = approximate and len(found.names) >= FEWEST_FOR_LISTS
            if approximate and (self._lists is None or self._lists.vectors is not found.vectors):
                self._lists = NeighbourLists(found.vectors)
        search = self._lists.nearest if approximate and self._lists else partial(nearest, vectors=found.vectors)
        rows, distances = search(queries, k=number)
        names = [[found.names[row] for row in line] for line in rows.tolist()]
        return Nearest(names, distances, found.lengths[rows], len(found.names))
