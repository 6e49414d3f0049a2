"""audit.py with an embedder: one that knows the drawn people, and a real one; and with the face detector."""

import csv
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from audit import Settings, main
from datasets.drawn_faces import draw_face
from utils.annotations import read_annotations, write_annotations
from utils.embedder import Embedder
from utils.people_folder import PeopleFolder

PEOPLE, IMAGES, WRONG = 60, 6, 14


class FakeEmbedder:
    """Knows who is on a photo from its name, `<person>_<image>.png`, and scatters around that person."""

    def __init__(self):
        self.network, self.card, self.cut = SimpleNamespace(output_shape=(None, 48)), {"sha256": "f" * 64}, 1.0
        self.embedded, self.cropper = [], SimpleNamespace(describe=lambda: "as they are")
        self.crop_photos = lambda choice, crops: self.cropper

    def embed_files(self, paths, flip="none", progress=None):
        self.embedded += paths
        found = []
        for path in paths:
            person, image = map(int, Path(path).stem.split("_"))
            centre = np.random.default_rng(person).standard_normal(48) + 0.7
            found.append(centre + 0.45 * np.random.default_rng((person, image)).standard_normal(48))
        found = np.array(found, np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of 60 people, two of them one, 14 photos in wrong folders; 30 others and 2 of these to evaluate on."""
    folder = tmp_path_factory.mktemp("audit")
    rng = np.random.default_rng(0)

    def save(path, pixels):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)

    for person in range(PEOPLE):
        who = 7 if person == 41 else person
        for image in range(IMAGES):
            number = image + IMAGES if person == 41 else image
            pixels = rng.integers(0, 256, (24, 24, 3), np.uint8)
            save(folder / "people" / f"p{person:02}" / f"{who}_{number}.png", pixels)
    for wrong in range(WRONG):
        path = folder / "people" / f"p{wrong + 10}" / f"{wrong + 10}_1.png"
        path.rename(folder / "people" / f"p{wrong + 30}" / path.name)
    pixels = cv2.imread(str(folder / "people" / "p50" / "50_0.png"))
    save(folder / "people" / "p51" / "50_0.png", pixels)  # one picture under two labels; the first is right
    for person in (3, 25, *range(100, 130)):
        for image in range(20, 24):
            save(
                folder / "lfw" / f"Name_{person}" / f"{person}_{image}.png", rng.integers(0, 256, (24, 24, 3), np.uint8)
            )
    write_annotations(folder / "cls_train.txt", folder / "people", PeopleFolder(folder / "people"))
    return folder


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """Runs the audit with the fake; returns its settings, the fake, and the rows of the CSV."""
    embedder = FakeEmbedder()
    monkeypatch.setattr(Embedder, "load", lambda path, size: embedder)
    (tmp_path / "model.keras").touch()
    settings = Settings(
        annotation_path=str(made / "cls_train.txt"),
        model_path=str(tmp_path / "model.keras"),
        against=str(made / "lfw"),
        save_dir=str(tmp_path / "audit"),
        min_side=0,
        sharpness=0,
    )

    def audit(**changes):
        main(replace(settings, **changes))
        with open(tmp_path / "audit" / "findings.csv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return audit, embedder


def test_wrong_labels_people_twice_and_a_leak_are_found(run):
    audit, _ = run
    rows = audit()
    likely = {
        Path(row["path"]).name: row for row in rows if (row["kind"], row["certainty"]) == ("mislabelled", "likely")
    }
    moved = {f"{wrong + 10}_1.png" for wrong in range(WRONG)} | {"50_0.png"}
    assert len(moved & set(likely)) >= 0.75 * len(moved)
    assert moved <= {Path(row["path"]).name for row in rows if row["kind"] == "mislabelled"}
    assert len(set(likely) - moved) <= 1
    row = likely["12_1.png"]
    assert (row["person"], row["other_person"]) == ("p32", "p12")
    assert "see whether it is p12" in row["action"]
    twice = [(row["person"], row["other_person"]) for row in rows if row["kind"] == "same_person"]
    assert twice[0] == ("p07", "p41")
    leaks = [(row["person"], row["other_person"]) for row in rows if row["kind"] == "in_evaluation_set"]
    assert {("p03", "Name_3"), ("p25", "Name_25")} <= set(leaks)
    assert len(twice) + len(leaks) <= 5
    (picture,) = (row for row in rows if row["kind"] == "two_labels")
    assert (picture["person"], picture["other_person"]) == ("p51", "p50")  # the nearer is kept


def test_second_run_embeds_nothing_again_and_cleans(run, tmp_path, capsys):
    audit, embedder = run
    before = audit()
    assert len(embedder.embedded) == len(set(embedder.embedded)) == PEOPLE * IMAGES + 1 + 32 * 4
    kinds = "mislabelled,same_person,in_evaluation_set,two_labels"
    after = audit(apply=str(tmp_path / "clean.txt"), apply_kinds=kinds)
    assert after == before
    assert len(embedder.embedded) == PEOPLE * IMAGES + 1 + 32 * 4
    cleaned = read_annotations(tmp_path / "clean.txt")
    assert cleaned.number_of_people == PEOPLE - 1 - 2  # two joined, two left out
    assert not {"p03", "p25", "p41"} & set(cleaned.people)
    places = cleaned.starts[cleaned.people.index("p07") :][:2]
    assert {Path(cleaned.path(row)).parent.name for row in range(*places)} == {"p07", "p41"}
    assert "same_person               1  people joined with another" in capsys.readouterr().out


def test_a_real_embedder_and_the_detector(tmp_path):
    from nets.facenet import facenet

    for person in range(3):
        for image in range(2):
            path = tmp_path / "people" / f"p{person}" / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), draw_face(person, image, 100, 0)[:, :, ::-1])
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "people" / "p2" / "noise.png"), noise)
    (tmp_path / "people" / "p2" / "broken.png").write_bytes(b"no image")
    write_annotations(tmp_path / "a.txt", tmp_path / "people", PeopleFolder(tmp_path / "people"))
    Embedder(facenet((96, 96, 3), mode="predict"), {"backbone": "mobilenet", "crop": 1.0}).save(tmp_path / "e.keras")
    settings = Settings(
        str(tmp_path / "a.txt"), str(tmp_path / "e.keras"), save_dir=str(tmp_path / "audit"), faces=True
    )
    for _ in range(2):
        main(settings)
        with open(tmp_path / "audit" / "findings.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert "noise.png" in [Path(row["path"]).name for row in rows if row["kind"] == "faceless"]
        assert [Path(row["path"]).name for row in rows if row["kind"] == "unreadable"] == ["broken.png"]
        assert not [row for row in rows if row["kind"] in ("mislabelled", "same_person")]  # too few to say
    assert len(list((tmp_path / "audit").glob("embeddings-*.npz"))) == 1
