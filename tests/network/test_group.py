"""group.py with an embedder that knows people by the colour of their face, and a detector that finds 40-px blocks."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from group import Settings, main
from utils.alignment import TEMPLATE, Alignment, Face
from utils.cropping import Crop, Cropper
from utils.embedder import Embedder
from utils.images import Pixels, fit_image
from utils.settings import UserError, run_script

STEP = 20  # of the red channel, from person to person; 0 is nobody
THRESHOLDS = {"far_1e-3": {"threshold": 0.6}}


class FakeEmbedder:
    """Red says who it is, green scatters a little around that person."""

    def __init__(self, thresholds: dict[str, Any] | None = THRESHOLDS):
        self.thresholds, self.card = thresholds, {"sha256": "f" * 64}
        self.size, self.seen = (8, 8), 0
        self.cropper = Cropper(Alignment("landmarks", 112, 0))
        self.crop_photos = lambda choice, crops: self.cropper

    def fit(self, crop: Crop) -> Pixels:
        return fit_image(crop.image, self.size, crop.cut)

    def embed_images(self, images: Pixels, flip: str = "none") -> np.ndarray:
        self.seen += len(images)
        found = np.empty((len(images), 32), np.float32)
        for row, image in enumerate(images):
            red, green, _ = (int(value) for value in image.mean(axis=(0, 1)).round())
            centre = np.random.default_rng(red // STEP).standard_normal(32)
            found[row] = centre + 0.3 * np.random.default_rng((red, green)).standard_normal(32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


class FakeDetector:
    """A face in each block of 40 pixels that is not black."""

    def __init__(self, min_face: int):
        assert min_face == Settings().min_face

    def detect(self, images: list[Pixels]) -> list[list[Face]]:
        found = []
        for image in images:
            blocks = [left for left in range(0, image.shape[1], 40) if image[20, left + 20, 0]]
            boxes = [np.array((left + 5, 5, left + 35, 35 + left / 40), float) for left in blocks]
            found.append([Face(box, TEMPLATE / 4 + box[:2], 0.99) for box in boxes])
        return found


def photo(path: Path, *people: int, look: int = 0) -> None:
    """Draws blocks of 40 pixels side by side, one a person; 0 is an empty one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((40, 40 * len(people), 3), np.uint8)
    for place, person in enumerate(people):
        pixels[:, 40 * place : 40 * place + 40] = (STEP * person + STEP // 2) * bool(person), 10 * look, 0
    Image.fromarray(pixels).save(path)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeEmbedder]:
    """Makes photos of people 1, 2, 3 and 4, and returns what runs the script on them."""
    (tmp_path / "model.keras").write_bytes(b"weights")
    for person in (1, 2, 3):
        for look in range(1, 5 - person + 1):
            photo(tmp_path / "photos" / f"day {look}" / f"{person}.png", person, look=look)
    photo(tmp_path / "photos" / "both.png", 2, 1, look=7)
    photo(tmp_path / "photos" / "stranger.png", 4)
    photo(tmp_path / "photos" / "empty.png", 0)
    (tmp_path / "photos" / "text.jpg").write_text("no photo")
    monkeypatch.setattr("utils.detector.Detector", FakeDetector)
    settings = Settings((str(tmp_path / "photos"),), str(tmp_path / "people"), str(tmp_path / "model.keras"))

    def group(thresholds: dict[str, Any] | None = THRESHOLDS, **changes: Any) -> FakeEmbedder:
        embedder = FakeEmbedder(thresholds)
        monkeypatch.setattr(Embedder, "load", lambda path, size: embedder)
        main(replace(settings, **changes))
        return embedder

    return group


def people_in(folder: Path) -> dict[str, set[str]]:
    """Returns folder -> the photos its links lead to, as `day 1/2`, by their paths."""
    found: dict[str, set[str]] = {}
    for link in folder.rglob("*.*"):
        if link.is_symlink():
            target = Path(os.path.realpath(link))
            day = f"{target.parent.name}/" if target.parent.name != "photos" else ""
            found.setdefault(link.parent.name, set()).add(day + target.stem)
    return found


GROUPS = {
    "person_0001": {"both", *(f"day {look}/1" for look in (1, 2, 3, 4))},
    "person_0002": {"both", *(f"day {look}/2" for look in (1, 2, 3))},
    "person_0003": {"day 1/3", "day 2/3"},
    "alone": {"stranger"},
    "no_face": {"empty", "text"},
}


def test_photos_are_grouped_and_later_ones_join(
    run: Callable[..., FakeEmbedder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run().seen == 12
    output = capsys.readouterr().out
    assert people_in(tmp_path / "people") == GROUPS
    assert "3 groups with 11 of 12 faces, the largest of 5; in none: 1" in output
    assert "photos: 11 with faces, 1 without, 1 unusable, the first:" in output
    assert "1 in 1,000 of strangers are as near" in output
    assert max(map(len, output.replace(str(tmp_path), "").splitlines())) <= 80
    page = (tmp_path / "people" / "index.html").read_text()
    assert page.count("data:image/jpeg") == 12

    capsys.readouterr()
    assert run(cut=0.9).seen == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "--cut would change nothing: no photo is new" in said
    assert "not there any more" not in said
    (tmp_path / "people" / "person_0002").rename(tmp_path / "people" / "Anna")
    photo(tmp_path / "photos" / "new" / "9.png", 2, look=9)
    photo(tmp_path / "photos" / "new" / "stranger.png", 4, look=9)
    assert run().seen == 2
    moved = {name: photos for name, photos in GROUPS.items() if name not in ("person_0002", "alone")}
    assert people_in(tmp_path / "people") == moved | {
        "Anna": GROUPS["person_0002"] | {"new/9"},
        "person_0004": {"stranger", "new/stranger"},
    }
    assert "<h2>Anna<b>5 photos" in (tmp_path / "people" / "index.html").read_text()
    (tmp_path / "photos" / "new" / "9.png").unlink()
    text = next((tmp_path / "photos").rglob("text.*"))
    photo(text, 5)
    assert run().seen == 1  # mended
    assert "text" in people_in(tmp_path / "people")["alone"]
    assert "text" not in people_in(tmp_path / "people").get("no_face", set())
    run()
    assert "1 photos of earlier runs are not there any more; their faces stay" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_kill_at_any_point_leaves_what_the_same_command_completes(
    run: Callable[..., FakeEmbedder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        """Stands for SIGKILL: nothing is done after it."""

    def kill(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr("group.CHUNK", 5)
    for place in ("utils.grouping.continued", "utils.group_folders._take_away", "utils.groups_page.write_page"):
        with monkeypatch.context() as patch:
            patch.setattr(place, kill)
            with pytest.raises(Killed):
                run()
    assert run().seen == 0  # what was seen the first time is not looked at again
    assert people_in(tmp_path / "people") == GROUPS


def test_the_main_face_only_copies_and_other_ways(run: Callable[..., FakeEmbedder], tmp_path: Path) -> None:
    assert run(faces="main", output=str(tmp_path / "one"), files="copy").seen == 11
    assert len(list((tmp_path / "one").glob("person_*/*.png"))) == 10
    run(method="chinese_whispers", cut=0.6, output=str(tmp_path / "two"), files="none")
    assert sorted(os.listdir(tmp_path / "two")) == ["groups.csv", "groups.npz", "index.html"]
    rows = (tmp_path / "two" / "groups.csv").read_text().splitlines()[1:]
    assert sum(",person_0001," in row for row in rows) == 5


def test_misuse_is_one_line_and_leaves_nothing(
    run: Callable[..., FakeEmbedder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="neither calibration nor thresholds"):
        run(thresholds=None)
    (tmp_path / "blank").mkdir()
    with pytest.raises(UserError, match="no photo in"):
        run(input=(str(tmp_path / "blank"),))
    photo(tmp_path / "blank" / "a.png", 0)
    (tmp_path / "blank" / "b.jpg").write_text("text")
    with pytest.raises(UserError, match=r"no face in any of the 2 photos of .*: no face found"):
        run(input=(str(tmp_path / "blank"),))
    assert not (tmp_path / "people").exists()
    with pytest.raises(UserError, match="is not empty and holds no"):
        run(output=str(tmp_path / "photos" / "day 1"))
    with pytest.raises(UserError, match="lie in --output"):
        run(output=str(tmp_path))
    with pytest.raises(UserError, match="--cut 0 to 4"):
        run(cut=5.0)
    run()
    (tmp_path / "model.keras").write_bytes(b"others")
    with pytest.raises(UserError, match=r"was made with embedder .* choose another --output"):
        run()
    for arguments, line in (([], "one folder of photos is grouped; received 0"), (["a", "b"], "received 2")):
        with pytest.raises(SystemExit) as ended:
            run_script(main, Settings, arguments)
        assert ended.value.code == 2
        assert line in capsys.readouterr().err


def test_crops_are_one_face_each(run: Callable[..., FakeEmbedder], tmp_path: Path) -> None:
    from utils.photo_faces import FaceReader

    photo(tmp_path / "crop.png", 1)
    crop = Image.open(tmp_path / "crop.png").resize((112, 112))
    crop.save(tmp_path / "crop.png")
    embedder: Any = FakeEmbedder()
    reader = FaceReader(embedder, every=True, min_face=40)
    paths = [str(tmp_path / name) for name in ("crop.png", "photos/both.png", "photos/empty.png")]
    ((one, two, none),) = reader.read(paths)
    assert np.isnan(one.boxes).all()
    assert two.boxes[:, 0].tolist() == [5, 45]
    assert (len(none.boxes), none.problem) == (0, "no face found")
    embedder.cropper = Cropper()
    ((whole,),) = FaceReader(embedder, every=True, min_face=40).read(paths[1:2])
    assert np.isnan(whole.boxes).all()
    assert whole.embeddings.shape == (1, 32)
