"""Triples: who is drawn, that a batch is a function of (seed, step) alone, and what bad files do."""

from pathlib import Path
from typing import Any, cast

import cv2
import keras
import numpy as np
import pytest

import train as train_script
from utils.annotations import Annotations, read_annotations, split_people
from utils.dataloader import Loader, Pixels
from utils.images import ImageError
from utils.samplers import TripleSampler, sampler_of
from utils.settings import UserError, parse
from utils.unlabelled import with_unlabelled


def annotations_of(folder: Path, counts: list[int]) -> Annotations:
    """Writes people with `counts` images each, every image of its own grey, and reads their annotation."""
    lines = []
    for person, count in enumerate(counts):
        for image in range(count):
            path = folder / f"{person}_{image}.png"
            grey = len(lines) * 250 // sum(counts)
            cv2.imwrite(str(path), np.full((20, 20, 3), grey, np.uint8))
            lines.append(f"{person};{path}\n")
    (folder / "cls_train.txt").write_text("".join(lines))
    return read_annotations(folder / "cls_train.txt")


@pytest.fixture
def people(tmp_path: Path) -> Annotations:
    return annotations_of(tmp_path, [4, 1, 2, 7, 1, 3])


def test_a_batch_depends_on_seed_and_step_alone(people):
    pixels = Pixels((24, 24), flip=True, shift=3.0)
    one = Loader(TripleSampler(people, 12, 1), pixels, (0, 50), workers=1)
    later = Loader(TripleSampler(people, 12, 1), pixels, (30, 50), workers=4)
    other = Loader(TripleSampler(people, 12, 2), pixels, (0, 50), workers=1)
    backwards = [later[i] for i in reversed(range(10))][::-1]
    for i in range(10):
        images, labels = one[30 + i]
        assert (images == backwards[i][0]).all()
        assert (labels == backwards[i][1]).all()
    assert any((one[i][1] != other[i][1]).any() for i in range(10))
    assert len(later) == 20


def test_images_and_labels_are_those_of_the_rows(people):
    sampler = TripleSampler(people, 12, 1)
    images, labels, paths = Loader(sampler, Pixels((20, 20)), (0, 5), 1).batch(4)
    rows = sampler.rows(4)
    assert images.shape == (12, 20, 20, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32
    for i, row in enumerate(rows):
        assert labels[i] == people.labels[row]
        assert (images[i] == row * 250 // len(people)).all()
        assert paths[i] == people.path(row)


def test_flip_mirrors_half_of_the_images(tmp_path):
    annotations = annotations_of(tmp_path, [30, 30])
    for row in range(len(annotations)):
        half = np.zeros((20, 20, 3), np.uint8)
        half[:, :10] = 255
        cv2.imwrite(annotations.path(row), half)
    loader = Loader(TripleSampler(annotations, 30, 0), Pixels((20, 20), flip=True), (0, 20), 1)
    left = np.concatenate([loader[i][0][:, 10, 2, 0] > 128 for i in range(20)])
    assert 0.4 < left.mean() < 0.6


def test_an_unreadable_file_is_named_and_replaced_by_the_same_person(people, tmp_path):
    (tmp_path / "3_2.png").write_bytes(b"no image")
    loader = Loader(TripleSampler(people, 12, 0), Pixels((20, 20)), (0, 200), 1)
    for i in range(200):
        images, labels = loader[i]
        rows = np.round(images[:, 0, 0, 0].astype(int) * len(people) / 250).astype(int)
        assert (people.labels[rows] == labels).all()
        assert not (rows == 4 + 1 + 2 + 2).any()
    assert list(loader.bad_files) == [str(tmp_path / "3_2.png")]
    assert "3_2.png" in loader.bad_files[str(tmp_path / "3_2.png")]
    assert (len(loader.bad_rows), loader.photos_tried()) == (1, 18)
    assert not loader.too_many_bad_files()  # one file of 18


def test_many_bad_files_stop_training(people, tmp_path):
    for person, photo in ((3, 1), (3, 2), (2, 0), (2, 1)):
        (tmp_path / f"{person}_{photo}.png").write_bytes(b"no image")
    loader = Loader(TripleSampler(people, 12, 0), Pixels((20, 20)), (0, 100), 1)
    for i in range(100):
        loader[i]
    assert len(loader.bad_files) == 4
    assert loader.too_many_bad_files()


def test_a_person_of_whom_nothing_can_be_read_counts_by_photos_not_by_tries(tmp_path):
    """40 of 8,000 photos: one draw of that person tries them all, and they are tried once."""
    annotations = annotations_of(tmp_path, [40] * 200)
    reads = []
    loader = Loader(TripleSampler(annotations, 96, 0), Pixels((20, 20)), (0, 40), 1)

    def read(row):
        reads.append(row)
        if annotations.labels[row] == 7:
            raise ImageError(f"{row} is no image")
        return np.zeros((20, 20, 3), np.uint8)

    loader.photos.read = read
    for step in range(40):
        loader[step]
    assert sum(annotations.labels[row] == 7 for row in reads) == len(loader.bad_rows) == 40
    assert loader.photos_tried() == len(set(reads)) > 2000
    assert len(loader.bad_rows) > 0.01 * loader.photos_tried() or not loader.too_many_bad_files()
    assert loader.people_unread() == 1


def test_of_photos_of_nobody_another_stands_in(people, tmp_path):
    dark = np.full((20, 20, 3), 7, np.uint8)
    (tmp_path / "more").mkdir()
    cv2.imwrite(str(tmp_path / "more" / "b.png"), dark)
    (tmp_path / "more" / "a.png").write_bytes(b"no image")
    train, held_out = split_people(people, 2, 0)
    both = with_unlabelled(train, tmp_path / "more", held_out)
    flags = ["--batch_size", "4", "--images_each", "2", "--unlabelled", "more", "--teacher", "t.keras"]
    settings = parse(train_script.Settings, [*flags, "--unlabelled_images", "2"])
    loader = Loader(sampler_of(settings, both), Pixels((20, 20)), (0, 20), 1)
    for step in range(20):
        images, labels, paths = loader.batch(step)
        assert (labels[-2:] == -1).all()
        assert (images[-2:] == dark).all()
        assert paths[-2:] == [str(tmp_path / "more" / "b.png")] * 2
    assert list(loader.bad_files) == [str(tmp_path / "more" / "a.png")]


def test_few_bad_files_do_not_stop_training(tmp_path):
    annotations = annotations_of(tmp_path, [200, 200])
    (tmp_path / "1_17.png").write_bytes(b"no image")
    loader = Loader(TripleSampler(annotations, 30, 0), Pixels((20, 20)), (0, 60), 1)
    for i in range(60):
        loader[i]
    assert loader.bad_files
    assert not loader.too_many_bad_files()


def test_nothing_readable_is_said(people, tmp_path):
    for path in tmp_path.glob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="none of the 18 images"):
        Loader(TripleSampler(people, 12, 0), Pixels((20, 20)), (0, 1), 1)[0]


def test_people_without_a_readable_photo_are_counted(people, tmp_path):
    for path in [*tmp_path.glob("1_*.png"), *tmp_path.glob("2_0.png")]:
        path.write_bytes(b"")
    loader = Loader(TripleSampler(people, 12, 0), Pixels((20, 20)), (0, 20), 1)
    assert loader.people_unread() == 0
    for i in range(20):
        loader[i]
    assert loader.people_unread() == 1


class Numbered(Loader):
    """Items that hold nothing but their number."""

    def __init__(self, steps: int):
        super().__init__(cast(Any, None), Pixels((1, 1)), (0, steps), workers=4)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((2, 1), index, np.float32), np.zeros(2, np.float32)


class Seen(keras.Model):
    """A model whose loss is the number of the item."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = self.add_weight((), "ones")
        self.built = True

    def call(self, numbers: Any) -> Any:
        return numbers * self.weight

    def compute_loss(self, x: Any = None, *_: Any, **named: Any) -> Any:
        return keras.ops.mean(x) + 0.0 * self.weight


def test_fit_sees_every_step_once_over_its_epochs():
    """Keras's readers begin at item 0 again after each epoch of data that has an end."""
    model, sums = Seen(), []
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: sums.append(20 * logs["loss"]))
    model.fit(Numbered(60), epochs=3, steps_per_epoch=20, shuffle=False, verbose=0, callbacks=[note])
    assert sums == pytest.approx([sum(range(0, 20)), sum(range(20, 40)), sum(range(40, 60))])
