"""Enrolling that is broken off, thresholds of a search among many, the faces of a photo."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.colours import COLOURS, FakeEmbedder, FakeFinder
from tests.stores import vectors
from utils.alignment import Alignment
from utils.calibration import Calibration, one_to_many
from utils.cropping import Cropper
from utils.enrolment import enroll_photos, origin_for, photos_to_enroll
from utils.faces_named import EveryFace
from utils.gallery import Gallery
from utils.identification import Answer, Identifier, share
from utils.images import Pixels, read_image
from utils.quality import quality
from utils.stores import Nearest
from utils.templates import as_between_photos


def test_an_interrupted_enrolment_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, colour in COLOURS.items():
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("RGB", (32, 40), colour).save(tmp_path / name / f"{number}.png")
    work, _ = photos_to_enroll([str(tmp_path)])
    embedder = FakeEmbedder()

    class Tired(FakeEmbedder):
        def embed_images(self, images: Pixels, flip: str = "none") -> np.ndarray[Any, Any]:
            if self.embedded >= 4:
                raise KeyboardInterrupt  # as Ctrl-C does
            return super().embed_images(images, flip)

    monkeypatch.setattr("utils.enrolment.RAW_AT_ONCE", 2)
    with Gallery.create(tmp_path / "g.db", origin_for(embedder)) as gallery:  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            enroll_photos(Tired(), gallery, work, written=2)  # type: ignore[arg-type]
        half = sum(person.photos for person in gallery.people())
        assert 0 < half < 15
        done = enroll_photos(embedder, gallery, work, written=2)  # type: ignore[arg-type]
        assert (done.known, done.photos, embedder.embedded) == (half, 15 - half, 15 - half)


def test_a_photo_of_somebody_else_is_not_taken_for_enrolled_and_one_named_twice_counts_once(tmp_path: Path) -> None:
    path, folder = tmp_path / "face.png", tmp_path / "faces"
    folder.mkdir()
    Image.new("RGB", (32, 40), COLOURS["ann"]).save(path)
    embedder = FakeEmbedder()
    with Gallery.create(tmp_path / "g.db", origin_for(embedder)) as gallery:  # type: ignore[arg-type]
        names = [str(path), f"{tmp_path}/./face.png", f"{tmp_path}/faces/../face.png"]
        done = enroll_photos(embedder, gallery, [("ann", name) for name in names])  # type: ignore[arg-type]
        assert (done.photos, done.known, done.refused) == (1, 0, [])
        again = enroll_photos(embedder, gallery, [("ann", str(path))])  # type: ignore[arg-type]
        assert (again.photos, again.known, again.refused) == (0, 1, [])
        other = enroll_photos(embedder, gallery, [("bob", str(path))])  # type: ignore[arg-type]
        assert (other.photos, other.known) == (0, 0)
        assert [line.replace(str(path), "it") for line in other.refused] == [
            "it is enrolled as ann: rename or merge the two, or remove it there"
        ]
        assert [(person.name, person.photos) for person in gallery.people()] == [("ann", 1)]


def test_photos_count_by_their_own_quality_and_as_the_store_has_them_mirrored(tmp_path: Path) -> None:
    """Photos of two people in turns; crops, of which one is blurred."""
    noise, mirrored = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8), []
    work = [(person, str(tmp_path / f"{number}.png")) for number, person in enumerate(("ann", "bob", "ann"))]
    for (_, path), image in zip(work, (noise, 0 * noise + 90, noise), strict=True):
        Image.fromarray(image).save(path)

    class Mirroring(FakeEmbedder):
        def embed_images(self, images: Pixels, flip: str = "none") -> np.ndarray[Any, Any]:
            mirrored.append(flip)
            return super().embed_images(images, flip)

    embedder = Mirroring()
    with Gallery.create(tmp_path / "g.db", origin_for(embedder)._replace(flip="sum")) as gallery:  # type: ignore[arg-type]
        enroll_photos(embedder, gallery, work)  # type: ignore[arg-type]
        found = {photo.source: photo.weight for photo in gallery.photos()}
    assert found == pytest.approx({path: quality(read_image(path), None).weight for _, path in work})
    assert 0 == found[work[1][1]] < found[work[2][1]]
    assert mirrored == ["sum"]


def test_a_new_store_is_for_the_mirroring_of_the_calibration_or_else_of_the_thresholds() -> None:
    embedder = FakeEmbedder()
    found = []
    for thresholds, about in ((None, {}), ({"flip": "concat"}, {}), ({"flip": "concat"}, {"flip": "sum"})):
        embedder.thresholds, embedder.card["calibration"] = thresholds, {"about": about}  # type: ignore[assignment]
        origin = origin_for(embedder)  # type: ignore[arg-type]
        found.append((origin.flip, origin.size))
    assert found == [("none", 3), ("concat", 6), ("sum", 3)]


def test_the_threshold_is_that_of_a_search_among_so_many(tmp_path: Path) -> None:
    """Of strangers drawn like those of the calibration, the share that was asked for is given a name."""
    size, number = 128, 300
    pairs = 2 - 2 * np.einsum("nd,nd->n", vectors(50_000, 1, size), vectors(50_000, 2, size))
    same = np.linspace(0.01, 0.5, 500)
    fitted = Calibration.fit(np.concatenate((pairs, same)), np.repeat((False, True), (50_000, 500)), 100)
    origin = FakeEmbedder()
    with Gallery.create(tmp_path / "g.db", origin_for(origin)._replace(size=size)) as gallery:  # type: ignore[arg-type]
        with gallery.batch():
            for row, vector in enumerate(vectors(number, 3, size)):
                gallery.enroll(str(row), vector[None], [f"photo {row}"])
        for far in (0.3, 0.05):
            identifier = Identifier(gallery, fitted, far)
            answers = identifier.who(vectors(2000, 4, size))
            assert np.mean([answer.name is not None for answer in answers]) == pytest.approx(far, rel=0.25)
            assert all((answer.name is not None) == (answer.chance < far) for answer in answers if answer.chance)
            assert identifier.threshold(number) == fitted.distance_at(one_to_many(far, number))
        chances = np.array([answer.chance for answer in answers])
        assert np.mean(chances < 0.5) == pytest.approx(0.5, abs=0.1)  # the answer's own rate holds as well
        named = Identifier(gallery, fitted, 0.05).who(vectors(number, 3, size)[:1])[0]
        assert named == Answer("0", "0", pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))
        assert "fewer than 1 in 1,000,000 of strangers" in str(named)


def test_the_nearest_is_told_by_distances_that_were_corrected(tmp_path: Path) -> None:
    """The mean of many photos is nearer to everybody: a single photo that is a little farther can be the right one."""
    size, shared = 64, 0.6  # of two strangers' photos, the cosine

    def photos(person: int, number: int, seed: int) -> np.ndarray[Any, Any]:
        own = vectors(1, 100 + person, size - 1)[0]
        noise = vectors(number, seed, size - 1)
        rest = (own + 0.9 * noise) / np.linalg.norm(own + 0.9 * noise, axis=1, keepdims=True)
        return np.hstack((np.full((number, 1), shared**0.5), rest * (1 - shared) ** 0.5)).astype(np.float32)

    strangers = np.concatenate([photos(person, 1, person) for person in range(500, 1500)])
    far = ((strangers[::2] - strangers[1::2]) ** 2).sum(1)
    near = np.linspace(0.01, 0.4, 500)
    fitted = Calibration.fit(np.concatenate((far, near)), np.repeat((False, True), (len(far), 500)), 100)
    with Gallery.create(tmp_path / "g.db", origin_for(FakeEmbedder())._replace(size=size)) as gallery:  # type: ignore[arg-type]
        with gallery.batch():
            for person in range(40):
                number = 1 if person % 2 else 40  # photos
                gallery.enroll(str(person), photos(person, number, person), [f"{person}/{k}" for k in range(number)])
        probes = np.concatenate([photos(person, 20, 7000 + person) for person in range(40)])
        whose = np.repeat(np.arange(40), 20).astype(str)
        named = np.array([answer.nearest for answer in Identifier(gallery, fitted).who(probes)])
        found = gallery.nearest(probes, 40)
        uncorrected = np.array([names[0] for names in found.names])
        corrected = as_between_photos(found.distances, found.lengths, fitted.distance_at(0.5)).argmin(1)
    assert named.tolist() == [names[place] for names, place in zip(found.names, corrected.tolist(), strict=True)]
    assert np.mean(named == whose) > np.mean(uncorrected == whose)


def test_faces_are_cropped_from_the_left_and_crops_stay() -> None:
    cropper = Cropper(Alignment(size=32), finder=FakeFinder())
    crowd, crop, wall = (
        np.zeros((40, 320, 3), np.uint8),
        np.zeros((32, 32, 3), np.uint8),
        np.full((9, 9, 3), 7, np.uint8),
    )
    crowd[..., 0] = 200
    faces = EveryFace(cropper, FakeFinder())([crop, crowd, wall])
    assert [len(some) for some in faces] == [1, 10, 1]
    assert faces[0][0].faces is None
    assert faces[2][0].faces == 0
    assert [some.face.box[0] for some in faces[1] if some.face] == [5.0 + 30 * number for number in range(10)]
    alone = cropper([crowd])[0]
    assert any(np.array_equal(alone.image, some.image) for some in faces[1])


class OnePerson:
    """A store that remembers how it was asked."""

    def __init__(self, flip: str):
        self.origin, self.asked = origin_for(FakeEmbedder())._replace(flip=flip), ()  # type: ignore[arg-type]

    def nearest(self, embeddings: Any, *asked: Any) -> Nearest:
        self.asked = asked
        number = len(embeddings)
        return Nearest([["ann"]] * number, np.full((number, 1), 0.1), np.ones((number, 1), np.float32), 1)


@pytest.mark.parametrize(
    ("flip", "about"), [("none", {}), ("sum", {"flip": "sum"}), ("sum", {}), ("none", {"flip": "sum"})]
)
def test_a_calibration_is_for_photos_mirrored_as_the_stores(flip: str, about: dict[str, str]) -> None:
    distances = np.concatenate((np.linspace(0.0, 0.9, 300), np.linspace(0.8, 3.0, 300)))
    fitted = replace(Calibration.fit(distances, np.arange(600) < 300, 30), about=about)
    store = OnePerson(flip)
    identifier = Identifier(store, fitted, 0.05, "all", approximate=True)  # type: ignore[arg-type]
    (answer,) = identifier.who(np.zeros((1, 3)))
    assert store.asked == (1, "all", True)
    if flip != about.get("flip", "none"):
        assert (answer.name, answer.chance, identifier.calibration) == (None, None, None)
        assert "no calibration for these embeddings" in identifier.basis(9)
    else:
        assert answer.name == "ann"
        assert "extrapolated" not in identifier.basis(1)
        assert "extrapolated" in identifier.basis(1000)  # 300 pairs show no rate of 1 in 20,000


def test_shares_in_words() -> None:
    assert [share(rate) for rate in (0.3, 0.2, 0.01, 1e-7)] == [
        "30%",
        "1 in 5",
        "1 in 100",
        "fewer than 1 in 1,000,000",
    ]
