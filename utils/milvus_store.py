"""Enrolled people in Milvus, for more of them than one machine holds: the same client talks to Milvus Lite (a folder).

Two collections: the photos, and a template of each kind a person, which Milvus searches. There are no transactions: a
row says whose templates are being made anew, and after a kill the next who opens the store finishes them. What is
removed is no longer found at once, and leaves Milvus' disks when it compacts (asked for, done when the server likes).
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.image_cache import image_keys
from utils.milvus_client import address, milvus, number_of
from utils.settings import UserError
from utils.stores import Nearest, NoPeople, Origin, Person, Photo, clean_name, clean_source, unknown_people
from utils.templates import KINDS, templates

AT_ONCE = 1000  # rows of a request
SECONDS = 20.0  # for a server to answer at all
LONGEST_TEXT = 8192  # bytes
NOTE = "origin"  # a row of the templates that is nobody: Lite keeps no description of a collection
UNFINISHED = "unfinished"  # a row of the templates, of a person whose templates may be older than the photos


class MilvusStore:
    """People in a Milvus collection; raises UserError for whatever the server refuses."""

    def __init__(self, where: str, sha256: str | None = None, origin: Origin | None = None):
        self.where = where
        uri, self._photos = address(where)
        self._templates = f"{self._photos}_templates"
        self._milvus = milvus()
        with self._told():
            token = os.environ.get("MILVUS_TOKEN", "")  # not a flag: others would see it in the list of processes
            self._client = self._milvus.MilvusClient(uri, token=token, timeout=SECONDS)
            if origin is not None:
                self._make(origin)
            if not self._client.has_collection(self._photos):
                raise NoPeople(f"nobody is enrolled in {where}; python identify.py enroll FOLDER --store {where}")
            (note,) = self._client.get(self._templates, ids=[number_of(NOTE)], output_fields=["name"])
            self.origin = Origin(**json.loads(note["name"]))
        self.origin.check(where, origin.sha256 if origin else sha256)
        with self._told():
            for row in list(self._rows(self._templates, f'how == "{UNFINISHED}"', ["name"])):
                self._renew(row["name"])

    def _make(self, origin: Origin) -> None:
        """Makes the collections that are not there."""
        kind = self._milvus.DataType
        text, number, share = kind.VARCHAR, kind.INT64, kind.FLOAT
        fields = {
            self._templates: [("person", number), ("name", text), ("how", text), ("photos", number), ("length", share)],
            self._photos: [("person", number), ("name", text), ("source", text), ("stamp", number), ("weight", share)],
        }
        for collection, columns in fields.items():
            if self._client.has_collection(collection):
                continue
            schema = self._client.create_schema(auto_id=False)
            schema.add_field("id", number, is_primary=True)
            for name, datatype in columns:
                schema.add_field(name, datatype, **({"max_length": LONGEST_TEXT} if datatype == text else {}))
            schema.add_field("vector", kind.FLOAT_VECTOR, dim=origin.size)
            index = self._client.prepare_index_params()
            index.add_index("vector", index_type="AUTOINDEX", metric_type="IP")
            self._client.create_collection(collection, schema=schema, index_params=index, consistency_level="Strong")
            if collection == self._templates:
                row = {"id": number_of(NOTE), "person": 0, "name": json.dumps(origin._asdict()), "how": NOTE}
                self._upsert(collection, [row | {"photos": 0, "length": 0.0, "vector": [0.0] * origin.size}])

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def batch(self) -> AbstractContextManager[object]:
        """Does nothing: Milvus has no transactions."""
        return contextlib.nullcontext()

    def enroll(
        self,
        person: str,
        embeddings: NDArray[np.floating],
        sources: Sequence[str],
        weights: NDArray[np.floating] | None = None,
    ) -> None:
        """Puts embeddings (N,D) under a name; a photo that is there stays its person's."""
        vectors, weights = self.origin.rows(embeddings, len(sources), weights)
        stamps, paths = image_keys(sources).view(np.int64).tolist(), [clean_source(source) for source in sources]
        name = clean_name(person)
        with self._told():
            known = {row["id"]: row["name"] for row in self._get(paths)}
            owners = [known.get(number_of(path), name) for path in paths]
            fields = zip(owners, paths, stamps, weights.tolist(), vectors.tolist(), strict=True)
            self._begin(dict.fromkeys(owners))
            self._upsert(self._photos, [_photo_row(*values) for values in fields])
            for owner in dict.fromkeys(owners):
                self._renew(owner)

    def owners(self, sources: Sequence[str], changed: bool = False) -> list[str | None]:
        """Returns whose each photo (N) is: None where it is not enrolled, or has `changed` on the disk since."""
        stamps, paths = image_keys(sources).view(np.int64).tolist(), [clean_source(source) for source in sources]
        with self._told():
            rows = list(self._get(paths))
        if changed:
            ever = {row["id"]: row["name"] for row in rows}
            return [ever.get(number_of(path)) for path in paths]
        known = {(row["id"], row["stamp"]): row["name"] for row in rows}
        numbers = zip(map(number_of, paths), stamps, strict=True)
        return [known.get(number) if number[1] else None for number in numbers]

    def people(self) -> list[Person]:
        """Returns the people and how many photos each has, by name."""
        with self._told():
            rows = self._rows(self._templates, 'how == "mean"', ["name", "photos"])
            return sorted(Person(row["name"], row["photos"]) for row in rows)

    def rename(self, old: str, new: str) -> None:
        """Gives a person another name, which nobody has."""
        new, names = clean_name(new), {person.name for person in self.people()}
        unknown_people([clean_name(old)], names, self.where)
        if new in names - {clean_name(old)}:
            raise UserError(f"'{new}' is enrolled already; python identify.py merge '{new}' '{old}' joins the two")
        self._move([clean_name(old)], new)

    def merge(self, into: str, others: Sequence[str]) -> None:
        """Gives a person the photos of others, who are then no more."""
        target, rest = clean_name(into), [clean_name(other) for other in others]
        unknown_people([target, *rest], (person.name for person in self.people()), self.where)
        if target in rest:
            raise UserError(f"'{into}' cannot be merged with itself")
        self._move(rest, target)

    def remove(self, people: Sequence[str]) -> int:
        """Erases people, and asks Milvus to compact. Returns how many photos that were."""
        enrolled, names = (
            {person.name: person.photos for person in self.people()},
            [clean_name(name) for name in people],
        )
        unknown_people(names, enrolled, self.where)
        with self._told():
            for collection in (self._photos, self._templates):
                self._client.delete(collection, filter=f"person in {[number_of(name) for name in names]}")
                self._client.flush(collection)
                self._client.compact(collection)
        return sum(enrolled[name] for name in dict.fromkeys(names))

    def photos(self, people: Sequence[str] = ()) -> Iterable[Photo]:
        """Yields the photos of people, or of all."""
        names = [clean_name(name) for name in people]
        unknown_people(names, (person.name for person in self.people()), self.where)
        chosen = f"person in {[number_of(name) for name in names]}" if names else ""
        with self._told():
            for row in self._rows(self._photos, chosen, ["name", "source", "weight", "vector"]):
                yield Photo(row["name"], row["source"], row["weight"], np.asarray(row["vector"], np.float32))

    def nearest(
        self, queries: NDArray[np.floating], number: int = 1, how: str = "mean", approximate: bool = False
    ) -> Nearest:
        """Returns the nearest templates of queries (Q,D); how exactly is for the server's index to say."""
        every = self.people()
        compared = sum(person.photos for person in every) if how == "all" else len(every)
        number = min(number, compared)
        names: list[list[str]] = []
        shape = len(queries), number
        distances, lengths = np.full(shape, 4.0), np.ones(shape, np.float32)  # an index may find fewer than asked for
        request = (
            (self._photos, ["name"], "") if how == "all" else (self._templates, ["name", "length"], f'how == "{how}"')
        )
        vectors = np.asarray(queries, np.float32)
        for first in range(0, len(vectors) if number else 0, AT_ONCE):
            part = vectors[first : first + AT_ONCE].tolist()
            with self._told():
                collection, fields, chosen = request
                found = self._client.search(collection, part, filter=chosen, limit=number, output_fields=fields)
            for row, hits in enumerate(found, first):
                names.append([hit["entity"]["name"] for hit in hits])
                distances[row, : len(hits)] = np.clip([2 - 2 * hit["distance"] for hit in hits], 0.0, 4.0)
                lengths[row, : len(hits)] = [hit["entity"].get("length", 1.0) for hit in hits]
        return Nearest(names, distances, lengths, compared)

    def _move(self, names: Sequence[str], to: str) -> None:
        with self._told():
            self._begin(dict.fromkeys([*names, to]))
            for name in names:
                rows = list(self._rows(self._photos, f"person == {number_of(name)}", ["*"]))
                self._upsert(self._photos, [row | {"person": number_of(to), "name": to} for row in rows])
            for name in dict.fromkeys([to, *names]):
                self._renew(name)

    def _begin(self, names: Iterable[str]) -> None:
        """Notes whose templates will be older than their photos until they are renewed."""
        empty = {"how": UNFINISHED, "photos": 0, "length": 0.0, "vector": [0.0] * self.origin.size}
        rows = [{"id": number_of(f"{UNFINISHED}/{n}"), "person": number_of(n), "name": n} | empty for n in names]
        self._upsert(self._templates, rows)

    def _renew(self, name: str) -> None:
        """Makes the templates of a person anew; none where there is no photo."""
        rows = list(self._rows(self._photos, f"person == {number_of(name)}", ["weight", "vector"]))
        if not rows:
            self._client.delete(self._templates, filter=f"person == {number_of(name)}")
            return
        vectors = np.array([row["vector"] for row in rows], np.float32)
        weights, people = np.array([row["weight"] for row in rows], np.float32), np.zeros(len(rows), np.int64)
        made = {how: templates({0: name}, people, vectors, weights, how) for how in KINDS if how != "all"}
        fixed = {"person": number_of(name), "name": name, "photos": len(rows)}
        self._upsert(
            self._templates,
            [
                fixed | {"id": number_of(f"{how}/{name}"), "how": how, "length": float(t.lengths[0])}
                | {"vector": t.vectors[0].tolist()}
                for how, t in made.items()
            ],
        )  # fmt: skip
        self._client.delete(self._templates, ids=[number_of(f"{UNFINISHED}/{name}")])

    def _get(self, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
        for first in range(0, len(paths), AT_ONCE):
            numbers = [number_of(path) for path in paths[first : first + AT_ONCE]]
            yield from self._client.get(self._photos, ids=numbers, output_fields=["name", "stamp"])

    def _rows(self, collection: str, chosen: str, fields: list[str]) -> Iterator[dict[str, Any]]:
        rows = self._client.query_iterator(collection, batch_size=AT_ONCE, filter=chosen, output_fields=fields)
        while part := rows.next():
            yield from part
        rows.close()

    def _upsert(self, collection: str, rows: list[dict[str, Any]]) -> None:
        for first in range(0, len(rows), AT_ONCE):
            self._client.upsert(collection, rows[first : first + AT_ONCE])

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turns what Milvus says into one line."""
        try:
            yield
        except (self._milvus.MilvusException, OSError) as error:
            reason = str(getattr(error, "message", error)).splitlines()[0]
            raise UserError(f"{self.where}: {reason}") from error


def _photo_row(name: str, source: str, stamp: int, weight: float, vector: list[float]) -> dict[str, Any]:
    numbers = {"id": number_of(source), "person": number_of(name), "stamp": stamp, "weight": weight}
    return numbers | {"name": name, "source": source, "vector": vector}
