"""The gallery file: what is enrolled is found, what is removed is gone to the last byte, nothing is half there."""

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.stores import ORIGIN, SIZE, enrolled, vectors
from utils.gallery import Gallery
from utils.gallery_export import write_people
from utils.settings import UserError
from utils.stores import Person, known_origin, open_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.db"


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    with Gallery.create(path, ORIGIN) as made:
        yield made


def bytes_of(path: Path) -> bytes:
    """The file, and whatever lies beside it."""
    return b"".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")))


def test_enrolled_people_are_found_again(gallery: Gallery, path: Path) -> None:
    made = enrolled(gallery)
    assert gallery.people() == [Person("ann", 3), Person("bob", 3), Person("cid", 3)]
    found = gallery.nearest(made[:, 0], 1, "all")
    assert found.names == [["ann"], ["bob"], ["cid"]]
    np.testing.assert_allclose(found.distances, 0, atol=1e-9)
    assert [len(names) for names in gallery.nearest(made[:, 0], 2, "all").names] == [2, 2, 2]
    means = gallery.templates()
    np.testing.assert_array_equal(gallery.nearest(means.vectors[[2, 0]]).lengths[:, 0], means.lengths[[2, 0]])
    with Gallery.open(path, ORIGIN.sha256) as again:  # at once, by another reader
        assert again.templates("all").names == gallery.templates("all").names
        assert again.origin == ORIGIN


def test_a_photo_is_one_row_and_stays_its_persons(gallery: Gallery) -> None:
    enrolled(gallery, ("ann",), photos=2)
    gallery.rename("ann", "Ann Lee")
    changed = vectors(2, seed=9)
    gallery.enroll("ann", changed, ["ann/0.jpg", "ann/1.jpg"])  # the folder has the old name
    assert gallery.people() == [Person("Ann Lee", 2)]
    np.testing.assert_allclose([photo.vector for photo in gallery.photos(["Ann Lee"])], changed, atol=1e-6)
    gallery.rename("Ann Lee", "ann")  # whom enrolling left without a photo, and so is nobody
    gallery.enroll("ann", changed[:1], ["ann/0.jpg"], np.array([0.25]))
    assert [photo.weight for photo in gallery.photos()] == [0.25, 1.0]


def test_owners_know_a_photo_until_it_changes(gallery: Gallery, tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"1")
    gallery.enroll("ann", vectors(1), [str(photo)])
    gallery.enroll("ann", vectors(1), ["camera 1"])
    assert gallery.owners([str(photo), "camera 1", "b.jpg"]) == ["ann", None, None]
    photo.write_bytes(b"22")
    assert gallery.owners([str(photo)]) == [None]
    assert gallery.owners([str(photo), "b.jpg"], changed=True) == ["ann", None]
    gallery.enroll("ann", vectors(1), [str(photo)])
    assert gallery.owners([str(photo)]) == ["ann"]


def test_templates_are_read_anew_after_every_change(gallery: Gallery, path: Path) -> None:
    enrolled(gallery)
    assert gallery.templates() is gallery.templates()
    with Gallery.open(path) as other:
        other.merge("ann", ["cid"])
    assert gallery.templates().names == ["ann", "bob"]
    gallery.rename("bob", "Bo")
    assert gallery.templates().names == ["ann", "Bo"]
    assert gallery.people() == [Person("Bo", 3), Person("ann", 6)]
    assert len(gallery.templates("all").names) == 9
    assert gallery.templates("mean").names == ["ann", "Bo"]
    gallery.rename("Bo", "cid")  # who was merged, and so is nobody


def test_a_gallery_of_many_photos_is_read_in_parts(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    made = enrolled(gallery)
    monkeypatch.setattr("utils.gallery.ROWS", 4)  # of nine
    found = gallery.templates("all")
    assert found.names == ["ann"] * 3 + ["bob"] * 3 + ["cid"] * 3
    np.testing.assert_allclose(found.vectors, made.reshape(9, -1), atol=1e-6)


def test_who_is_enrolled_later_is_found_by_faiss_too(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr("utils.gallery.FEWEST_FOR_LISTS", 40)
    gallery.enroll("ann", vectors(60), [f"ann/{number}" for number in range(60)])
    new = vectors(1, seed=5)
    assert gallery.nearest(new, 1, "all", approximate=True).names == [["ann"]]
    gallery.enroll("bob", new, ["bob/0"])
    assert gallery.nearest(new, 1, "all", approximate=True).names == [["bob"]]


def test_a_merge_that_fails_half_way_changes_nothing(gallery: Gallery) -> None:
    enrolled(gallery)
    gallery._db.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_DELETE else 0)
    with pytest.raises(UserError, match="not authorized"):
        gallery.merge("ann", ["bob"])
    gallery._db.set_authorizer(None)
    assert gallery.people() == [Person("ann", 3), Person("bob", 3), Person("cid", 3)]


@pytest.mark.parametrize("reader", [False, True])
def test_nothing_of_a_removed_person_stays(path: Path, reader: bool) -> None:
    """Rows that moved from page to page leave copies that secure_delete does not reach: hence so many, in disorder."""
    rng = np.random.default_rng(0)
    names = [f"person{number:012x}" for number in rng.integers(0, 1 << 40, 1500)]
    gallery = Gallery.create(path, ORIGIN)
    with gallery.batch():
        for name, vector in zip(names, vectors(len(names)), strict=True):
            gallery.enroll(name, vector[None], [f"/{rng.integers(1 << 40):x}/{name}.jpg"])
    stored = {photo.person: photo.vector.tobytes() for photo in gallery.photos()}
    before = bytes_of(path)
    assert all(name.encode() in before and stored[name] in before for name in names)
    reading = Gallery.open(path) if reader else None
    if reading:
        reading.templates()
    assert gallery.remove(names[:500]) == 500
    data = bytes_of(path)
    assert not any(name.encode() in data or stored[name][:16] in data for name in names[:500])
    assert all(name.encode() in data and stored[name] in data for name in names[500:])
    assert [person.name for person in gallery.people()] == sorted(names[500:])
    assert gallery._db.execute("SELECT name FROM facts WHERE name = 'erasing'").fetchall() == []  # it is done
    gallery.close()


def test_an_erasure_that_a_reader_holds_up_is_finished_by_the_next_writer(
    gallery: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(gallery, ("ann", "zacharias"))
    monkeypatch.setattr("utils.gallery_file.PATIENCE", 0.1)
    slow = Gallery.open(path)
    slow._db.execute("BEGIN")
    slow._db.execute("SELECT count(*) FROM people").fetchone()  # holds the file as it is now
    hasty = Gallery.open(path)
    with pytest.raises(UserError, match="another program is reading") as caught:
        hasty.remove(["zacharias"])
    assert "\n" not in str(caught.value)
    assert [person.name for person in hasty.people()] == ["ann"]
    assert b"zacharias" in bytes_of(path)
    slow._db.execute("COMMIT")
    slow.close()
    Gallery.create(path, ORIGIN).close()
    assert b"zacharias" not in bytes_of(path)
    hasty.close()


def test_what_is_broken_off_is_not_there(gallery: Gallery) -> None:
    def broken_off() -> None:
        with gallery.batch():
            gallery.enroll("dan", vectors(1), ["dan/0.jpg"])
            raise KeyboardInterrupt

    enrolled(gallery)
    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert len(gallery.people()) == 3


def test_a_full_disk_leaves_what_was_there(gallery: Gallery, path: Path) -> None:
    enrolled(gallery)
    pages = gallery._db.execute("PRAGMA page_count").fetchone()[0]
    gallery._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(UserError, match="the disk is full; what was there before is untouched"):
        gallery.enroll("dan", vectors(2000), [f"dan/{number}" for number in range(2000)])
    assert len(gallery.people()) == 3
    gallery._db.execute("PRAGMA max_page_count = 100000")
    gallery.enroll("dan", vectors(2), ["dan/0", "dan/1"])
    assert len(gallery.people()) == 4


def test_files_that_are_no_gallery(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but a text that is longer than a hundred bytes " * 20)
    (tmp_path / "short.db").write_text("short")
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.commit()
    other.close()
    (tmp_path / "empty.db").touch()
    before = {each: each.read_bytes() for each in tmp_path.iterdir()}
    for name, words in (
        ("text.db", "no gallery"),
        ("short.db", "no gallery"),
        ("other.db", "another program"),
        ("none.db", "enroll"),
        ("empty.db", "enroll"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            Gallery.open(tmp_path / name)
        assert "\n" not in str(caught.value)
        if name in ("none.db", "empty.db"):
            assert known_origin(str(tmp_path / name)) is None
        else:
            with pytest.raises(UserError, match=words):
                Gallery.create(tmp_path / name, ORIGIN)
    assert {each: each.read_bytes() for each in tmp_path.iterdir()} == before
    with pytest.raises(UserError, match=r"text.db.people.db: "):
        Gallery.create(tmp_path / "text.db" / "people.db", ORIGIN)


def test_another_embedders_gallery_is_refused_with_the_way_out(gallery: Gallery, path: Path) -> None:
    enrolled(gallery)
    for opened in (
        lambda: Gallery.open(path, "b" * 64),
        lambda: Gallery.create(path, ORIGIN._replace(sha256="b" * 64)),
    ):
        with pytest.raises(UserError, match="another embedder") as caught:
            opened()
        assert "embedder.keras" in str(caught.value)
        assert "--model_path" in str(caught.value)
        assert "--gallery" in str(caught.value)


def test_people_who_are_not_there_change_nothing(gallery: Gallery) -> None:
    enrolled(gallery)
    for call, words in (
        (lambda: gallery.remove(["ann", "bobb"]), r"nobody is called 'bobb' .*did you mean 'bob'"),
        (lambda: gallery.rename("dan", "x"), "nobody is called 'dan'"),
        (lambda: gallery.rename("ann", "bob"), "enrolled already; python identify.py merge 'bob' 'ann'"),
        (lambda: gallery.merge("ann", ["bob", "eve"]), "nobody is called 'eve'"),
        (lambda: gallery.merge("ann", ["ann"]), "itself"),
        (lambda: gallery.merge("ann", ["bob", " ann"]), "itself"),
        (lambda: gallery.rename("ann", " \n"), "is no name"),
        (lambda: gallery.enroll("a\tb", vectors(1), ["x"]), "is no name"),
    ):
        with pytest.raises(UserError, match=words):
            call()
    assert [person.photos for person in gallery.people()] == [3, 3, 3]
    with pytest.raises(ValueError, match="finite"):
        gallery.enroll("ann", np.full((1, SIZE), np.nan), ["x"])
    with pytest.raises(ValueError, match="expected"):
        gallery.enroll("ann", vectors(1, size=4), ["x"])


def test_names_in_any_script_and_form(gallery: Gallery) -> None:
    gallery.enroll("Zoe\u0308 ", vectors(1), ["a\udcff.jpg"])  # as macOS decomposes it; a file that is no UTF-8
    assert gallery.people() == [Person("Zoë", 1)]
    gallery.rename("Zo\u00eb", "王芳'; DROP TABLE people; --")
    assert [photo.source for photo in gallery.photos()] == ["a\\xff.jpg"]
    assert gallery.remove([" 王芳'; DROP TABLE people; --"]) == 1


def test_only_its_owner_reads_a_new_gallery(gallery: Gallery, path: Path) -> None:
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


def test_faces_that_are_cut_otherwise_are_refused(path: Path) -> None:
    with Gallery.create(path, ORIGIN._replace(cut="landmarks-112-0")):
        pass
    with pytest.raises(UserError, match="holds faces cut with --align landmarks-112-0, this is --align no"):
        open_store(str(path), origin=ORIGIN._replace(cut="no"))
    open_store(str(path), origin=ORIGIN._replace(cut="landmarks-112-0")).close()
    open_store(str(path), origin=ORIGIN).close()  # of before it was noted


def test_exported_people_can_be_read(gallery: Gallery, tmp_path: Path) -> None:
    made = enrolled(gallery)
    assert write_people(str(tmp_path / "all.npz"), ORIGIN, gallery.photos()) == 9
    with np.load(tmp_path / "all.npz", allow_pickle=False) as stored:
        np.testing.assert_allclose(stored["embeddings"], made.reshape(9, -1), atol=1e-6)
        assert stored["names"].tolist() == ["ann"] * 3 + ["bob"] * 3 + ["cid"] * 3
    assert write_people(str(tmp_path / "bob.json"), ORIGIN, gallery.photos(["bob", "bob"])) == 3
    (bob,) = json.loads((tmp_path / "bob.json").read_text())["people"]
    assert bob["name"] == "bob"
    if os.name == "posix":
        assert {path.stat().st_mode & 0o777 for path in (tmp_path / "bob.json", tmp_path / "all.npz")} == {0o600}
    np.testing.assert_allclose([photo["embedding"] for photo in bob["photos"]], made[1], atol=1e-6)
    with pytest.raises(UserError, match="must end in"):
        write_people("people.pkl", ORIGIN, [])
