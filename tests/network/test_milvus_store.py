"""Milvus Lite beside the gallery file: the same calls, the same answers. In a process of its own folder; no server."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.stores import ORIGIN, enrolled, vectors
from utils.gallery import Gallery
from utils.milvus_client import address
from utils.milvus_store import MilvusStore
from utils.settings import UserError
from utils.stores import NoPeople, Store, known_origin, open_store

pytest.importorskip("milvus_lite")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Lite's own server


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """A gallery file and a Milvus folder, both empty."""
    stores: tuple[Store, Store] = (
        Gallery.create(tmp_path / "people.sqlite", ORIGIN),
        open_store(f"milvus://{tmp_path}/people.db", origin=ORIGIN),
    )
    yield stores
    for store in stores:
        store.close()


def test_every_verb_gives_what_the_file_gives(both: tuple[Store, Store]) -> None:
    made = enrolled(both[0])
    assert (enrolled(both[1]) == made).all()
    queries = vectors(20, seed=1)
    for change in (
        lambda store: None,
        lambda store: store.enroll("bob", vectors(2, 5), ["new/1.jpg", "ann/0.jpg"], np.array((0.5, 0.0))),
        lambda store: store.rename("ann", "Ann O'Hara \" and 1 == 1"),
        lambda store: store.merge("cid", ["bob"]),
        lambda store: store.remove(["cid"]),
    ):
        for store in both:
            change(store)
        assert both[0].people() == both[1].people()
        for how in ("mean", "quality", "all"):
            one, two = (store.nearest(queries, 2, how) for store in both)
            assert one.names == two.names
            assert one.compared == two.compared
            np.testing.assert_allclose(one.distances, two.distances, atol=1e-5)
            np.testing.assert_allclose(one.lengths, two.lengths, atol=1e-5)
        kept = [sorted((p.person, p.source, round(p.weight, 4)) for p in store.photos()) for store in both]
        assert kept[0] == kept[1]


def test_what_a_kill_left_is_finished_by_whoever_opens_it_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = f"milvus://{tmp_path}/people.db"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for change, expected in (
        (lambda store: store.enroll("Ada", vectors(3), ["1.jpg", "2.jpg", "3.jpg"]), [("Ada", 3), ("Bob", 1)]),
        (lambda store: store.rename("Ada", "Ada Lee"), [("Ada Lee", 3), ("Bob", 1)]),
        (lambda store: store.merge("Bob", ["Ada Lee"]), [("Bob", 4)]),
    ):
        store = open_store(where, origin=ORIGIN)
        if not store.people():
            store.enroll("Bob", vectors(1, 7), ["b.jpg"])
        with monkeypatch.context() as patch:
            patch.setattr(MilvusStore, "_renew", killed)
            with pytest.raises(KeyboardInterrupt):
                change(store)
        store.close()
        store = open_store(where)
        assert [tuple(person) for person in store.people()] == expected
        assert len(list(store.photos())) == 4
        assert store.nearest(vectors(3), 1, "all").names == [[expected[0][0]]] * 3
        assert store.nearest(vectors(3), 1).compared == len(expected)
        store.close()


def test_photos_that_are_there_are_known(both: tuple[Store, Store], tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"1")
    for store in both:
        store.enroll("ann", vectors(1), [str(photo)])
        assert store.owners([str(photo), "other.jpg"]) == ["ann", None]
    photo.write_bytes(b"22")  # it has changed
    assert [store.owners([str(photo)]) for store in both] == [[None], [None]]
    assert [store.owners([str(photo), "other.jpg"], changed=True) for store in both] == [["ann", None]] * 2


def test_what_is_refused(both: tuple[Store, Store], tmp_path: Path) -> None:
    enrolled(both[1])
    for call, words in (
        (lambda: both[1].remove(["ann", "bobb"]), "did you mean 'bob'"),
        (lambda: both[1].rename("ann", "bob"), "enrolled already"),
        (lambda: both[1].merge("ann", ["ann"]), "itself"),
        (lambda: MilvusStore(f"milvus://{tmp_path}/people.db", "b" * 64), "another embedder"),
        (lambda: MilvusStore("milvus://127.0.0.1:1/people"), "milvus://127.0.0.1:1/people: "),
        (lambda: address("milvus://host/bad name"), "is expected"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert len(both[1].people()) == 3


def test_an_empty_place_is_known_as_such(tmp_path: Path) -> None:
    where = f"milvus://{tmp_path}/none.db"
    assert known_origin(where) is None
    with pytest.raises(NoPeople, match="nobody is enrolled"):
        open_store(where)
    other = ORIGIN._replace(size=4)
    open_store(where, origin=other).close()
    assert known_origin(where) == other
    assert address("milvus://host:19530") == ("http://host:19530", "people")
    assert address("milvus://host:19530/faces") == ("http://host:19530", "faces")
