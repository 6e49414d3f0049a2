"""A teacher in the step: it sees what the student sees, and what it says is what the student learns."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import train
from datasets.drawn_faces import draw_people
from nets.augment import OTHER, Augment
from nets.teaching import NOBODY, SEEN_BY_TEACHER, Teaching, told
from nets.trainer import Trainer
from tests.network.on_jax import assert_pass_on_jax
from tests.network.several_devices import ended, history_of, start
from tests.network.small_embedder import save_small_embedder
from utils.annotations import write_annotations
from utils.batch_sheet import GAP, LEFT, TOP
from utils.callbacks import Keep
from utils.images import fit_image
from utils.people_folder import PeopleFolder
from utils.settings import parse
from utils.targets import narrowing, spreading

BOX = (0.125, 0.25, 0.875, 1.0)
MOVED = {"flip": True, "shift": 3.0, "rotation": 12.0, "scale": 0.1}
TINY = ["--input_size", "32", "--crop", "0.8", "--batch_size", "12", "--epochs", "2", "--steps_per_epoch", "3"]
TAUGHT = [
    "--val_people",
    "4",
    "--embedding_size",
    "24",
    "--alignment",
    "landmarks-40-4",
]


@pytest.fixture(scope="module")
def annotation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_people(folder / "people", people=14, images=5, size=40, seed=0)
    write_annotations(folder / "cls_train.txt", folder / "people", PeopleFolder(folder / "people"))
    save_small_embedder(folder / "people", folder / "teacher.keras")
    return folder / "cls_train.txt"


def flags(annotation: Path, logs: Path, *more: str) -> list[str]:
    of_files = {"annotation_path": annotation, "save_dir": logs, "teacher": annotation.with_name("teacher.keras")}
    return [*TINY, *TAUGHT, *(text for name, path in of_files.items() for text in (f"--{name}", str(path))), *more]


def run(annotation: Path, logs: Path, *more: str) -> tuple[Path, list[dict[str, Any]]]:
    """Trains, and returns the run's folder and its figures."""
    train.main(parse(train.Settings, flags(annotation, logs, *more)))
    (folder,) = logs.glob("*-mobilenet")
    return folder, json.loads((folder / "history.json").read_text())


def coordinates(number: int = 12, height: int = 40, width: int = 48) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.repeat(np.stack([x, y, 0 * x + 100], axis=-1)[None], number, axis=0)


def faces(number: int = 12) -> np.ndarray:
    return np.random.default_rng(1).integers(60, 190, (number, 40, 48, 3)).astype(np.uint8)


def shown(images: np.ndarray, box: Any = BOX, size: tuple[int, int] = (60, 72), **settings: Any) -> list[np.ndarray]:
    """Returns what the student sees (32 x 36), what the teacher sees, and who is nobody."""
    return [np.asarray(each) for each in Augment((32, 36), seed=3, **settings).with_teacher(images, box, size)]


def test_without_variation_it_sees_its_part_of_the_photo():
    smooth = np.stack([fit_image(face[::8, ::8].copy(), (40, 48)) for face in faces()])
    own, seen, nobody = shown(smooth)
    assert (own == smooth[:, 4:36, 6:42]).all()
    expected = [fit_image(face, (60, 72), BOX) for face in smooth]
    assert np.abs(seen - expected)[:, 2:-2, 2:-2].max() < 3  # grey values: another rounding, and OpenCV's own
    assert not nobody.any()


def test_it_sees_the_face_moved_as_the_student_does():
    """Places in the photo are a linear function of places in the picture: one for both."""
    own, seen, _ = shown(coordinates(), **MOVED)
    still, _, _ = shown(coordinates())
    places = still[0, :, :, :2] - [23.5, 19.5]  # of the student's pixels, from the middle of the photo
    teacher = shown(coordinates())[1][0, :, :, :2] - [23.5, 19.5]
    for number in range(len(own)):
        inside = (slice(10, 22), slice(10, 26))  # not what shows a border
        design = np.concatenate([places[inside].reshape(-1, 2), np.ones((12 * 16, 1))], axis=1)
        linear, *_ = np.linalg.lstsq(design, own[number][inside][..., :2].reshape(-1, 2), rcond=None)
        middle = (slice(22, 38), slice(28, 44))
        expected = np.concatenate([teacher[middle].reshape(-1, 2), np.ones((256, 1))], axis=1) @ linear
        assert seen[number][middle][..., :2].reshape(-1, 2) == pytest.approx(expected, abs=2e-2)


def test_colours_change_alike():
    plain = np.repeat(np.arange(60, 180, 10, dtype=np.float32)[:, None, None, None], 40, axis=1)
    images = np.broadcast_to(plain, (12, 40, 48, 3)) * [1.0, 0.8, 0.6]
    own, seen, _ = shown(images.astype(np.float32), brightness=0.3, contrast=0.3, saturation=0.5)
    assert own[:, 16, 16] == pytest.approx(seen[:, 30, 30], rel=1e-4)
    assert np.abs(own[:, 16, 16] - images[:, 16, 16]).min(axis=0).max() > 0.1


def test_the_teacher_sees_no_patches():
    own, seen, _ = shown(faces(), patches=1.0)
    still = shown(faces())
    assert all((a != b).any() for a, b in zip(own, still[0], strict=True))
    assert (seen == still[1]).all()


def test_mixed_images_are_two_faces_in_the_same_shares_for_both():
    plain, (own, seen, nobody) = shown(faces(400)), shown(faces(400), mixed=0.4)
    assert 120 < nobody.sum() < 200
    for still, found in zip(plain, (own, seen), strict=False):
        assert (found[~nobody] == still[~nobody]).all()
    shares = []
    for still, found in zip(plain, (own, seen), strict=False):
        other = np.roll(still, 200, axis=0) - still
        share = ((found - still) * other).sum(axis=(1, 2, 3)) / np.square(other).sum(axis=(1, 2, 3))
        assert np.abs(still + share[:, None, None, None] * other - found).max() < 1e-2
        shares.append(share[nobody])
    assert shares[0] == pytest.approx(shares[1], abs=1e-4)
    assert OTHER[0] <= shares[0].min() < 0.25
    assert 0.45 < shares[0].max() <= OTHER[1]


def test_another_step_is_varied_otherwise_and_a_saved_state_goes_on():
    augment, again = (Augment((32, 36), seed=3, mixed=0.5, **MOVED) for _ in range(2))
    first, second = (augment.with_teacher(faces(), BOX, (20, 20)) for _ in range(2))
    assert np.abs(first[1] - second[1]).max() > 1
    again.random.state.assign(Augment((32, 36), seed=3, mixed=0.5, **MOVED).random.state)
    for a, b in zip(first, again.with_teacher(faces(), BOX, (20, 20)), strict=True):
        assert (np.asarray(a) == np.asarray(b)).all()


def colours_teacher(**settings: Any) -> Teaching:
    """Returns a teacher whose vectors are the mean colours, 4 numbers with a constant; and any length."""
    inputs = keras.Input((20, 24, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    x = keras.layers.BatchNormalization()(keras.layers.Dense(4)(x))  # which would learn, and move
    return Teaching(keras.Model(inputs, x), BOX, **settings)


@pytest.mark.parametrize("narrow", [False, True])
def test_what_it_says_is_what_is_made_of_kept_embeddings(narrow):
    pixels = np.random.default_rng(0).uniform(0, 255, (30, 20, 24, 3)).astype(np.float32)
    teacher = colours_teacher(offset=np.zeros(4, np.float32))
    vectors = np.asarray(teacher(pixels))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(30), abs=1e-5)
    change = narrowing(vectors, 2) if narrow else spreading(vectors, 0.7)
    taught = Teaching(teacher.network, BOX, *change)
    assert np.asarray(taught(pixels)) == pytest.approx(change.of(vectors), abs=2e-3)  # which is float16


def test_it_neither_learns_nor_moves():
    teacher = colours_teacher(offset=np.zeros(4, np.float32))
    assert not teacher.trainable_variables
    before = [keras.ops.convert_to_numpy(variable).copy() for variable in teacher.variables]
    assert len(before) == 6
    augment = Augment((32, 36), brightness=0.2)
    inputs = keras.Input((20, 24, 3))
    model = keras.Model(inputs, teacher(inputs))
    model(np.ones((3, 20, 24, 3), np.float32), training=True)
    _, said = teacher.view(augment, faces())
    assert all((keras.ops.convert_to_numpy(v) == b).all() for v, b in zip(teacher.variables, before, strict=True))
    assert said[SEEN_BY_TEACHER].shape == (12, 4)


def test_who_became_nobody_has_no_label():
    targets, outputs = {"label": np.array([3, 4, -1], np.int32)}, {"Embedding": np.ones((3, 2))}
    assert told(targets, outputs) == (targets, outputs)
    said = {SEEN_BY_TEACHER: np.zeros((3, 2)), NOBODY: np.array([True, False, False])}
    found, rest = told(targets, outputs | said)
    assert np.asarray(found["label"]).tolist() == [-1, 4, -1]
    assert found["teacher"] is said[SEEN_BY_TEACHER]
    assert rest == outputs


def test_a_teacher_needs_what_varies_images():
    with pytest.raises(ValueError, match="received no augment"):
        Trainer(keras.Sequential(), None, 1, teacher=colours_teacher(offset=np.zeros(4)))  # type: ignore[arg-type]


def test_where_nothing_is_varied_it_teaches_what_kept_embeddings_do(annotation, tmp_path):
    """Once the loader cuts the photos, once the device; the teacher is shown them by OpenCV, or in the step."""
    still = ["--flip", "no", "--dropout", "0", "--init_lr", "1e-4"]
    _, kept = run(annotation, tmp_path / "kept", *still)
    _, varied = run(annotation, tmp_path / "varied", *still, "--teacher_sees", "varied")
    for row, other in zip(kept, varied, strict=True):
        assert other["teacher_contrast"] == pytest.approx(row["teacher_contrast"], rel=0.02)
        assert other["contrastive"] == pytest.approx(row["contrastive"], rel=0.02)


def test_the_picture_of_a_batch_shows_mixed_faces(annotation, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mixed = ["--teacher_sees", "varied", "--mixed", "1", "--flip", "no", "--show_batch", "yes"]
    train.main(parse(train.Settings, flags(annotation, tmp_path / "logs", *mixed)))
    with Image.open("batch.png") as image:
        picture = np.asarray(image.convert("RGB")).astype(int)
    before, after = (picture[top : top + 32, LEFT : LEFT + 32] for top in (TOP, TOP + 32 + GAP))
    assert before.std() > 5
    assert np.abs(before - after).max() > 20


def test_the_picture_of_a_batch_shows_what_the_loader_varies(annotation, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moved = ["--shift", "12", "--flip", "no", "--show_batch", "yes"]
    train.main(parse(train.Settings, flags(annotation, tmp_path / "logs", *moved)))
    with Image.open("batch.png") as image:
        picture = np.asarray(image.convert("RGB")).astype(int)
    before, after = (picture[top : top + 32, LEFT : LEFT + 32] for top in (TOP, TOP + 32 + GAP))
    assert np.abs(before - after).max() > 20


def test_a_run_goes_on_exactly_and_its_state_holds_no_teacher(annotation, tmp_path, monkeypatch):
    varied = ["--teacher_sees", "varied", "--mixed", "0.5", "--rotation", "5", "--blur", "0.2", "--shift", "2"]
    folder, whole = run(annotation, tmp_path / "whole", *varied)
    with np.load(folder / "state.npz") as stored:
        assert not [name for name in stored.files if "teacher" in name]
    assert {"teacher_contrast", "contrastive"} <= set(whole[-1])
    kept = Keep.on_epoch_end

    def broken(self: Keep, epoch: int, logs: dict[str, Any] | None = None) -> None:
        kept(self, epoch, logs)
        raise KeyboardInterrupt

    monkeypatch.setattr(Keep, "on_epoch_end", broken)
    with pytest.raises(KeyboardInterrupt):
        run(annotation, tmp_path / "broken", *varied)
    monkeypatch.undo()
    (half,) = (tmp_path / "broken").glob("*-mobilenet")
    train.main(parse(train.Settings, ["--resume", str(half)]))
    found = json.loads((half / "history.json").read_text())
    assert len(found) == 2
    assert [row["loss"] for row in found] == [row["loss"] for row in whole]


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_two_devices_are_taught_as_one(backend, annotation, tmp_path):
    plain = ["--teacher_sees", "varied", "--flip", "no", "--optimizer", "sgd", "--init_lr", "0.02"]
    ways = {"one": [], "two": ["--devices", "2"]}
    one, two = (flags(annotation, tmp_path / way, *plain, *more) for way, more in ways.items())
    ended(start(backend, one, two))
    for row, whole in zip(history_of(tmp_path / "two"), history_of(tmp_path / "one"), strict=True):
        assert row["teacher_contrast"] == pytest.approx(whole["teacher_contrast"], rel=1e-4)


def test_the_same_on_jax():
    assert_pass_on_jax(__file__, "-k", "sees or mixed or says or learns or state or colours")
