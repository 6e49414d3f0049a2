"""A teacher's embeddings: those of its own photos, in order, computed once; from Keras and from ONNX files."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from datasets.drawn_faces import draw_people
from utils import teacher as teacher_module
from utils.alignment import Alignment
from utils.annotations import Annotations, read_annotations, write_annotations
from utils.embedder import Embedder
from utils.images import fit_image, read_image
from utils.people_folder import PeopleFolder
from utils.settings import UserError
from utils.teacher import Teacher, teacher_embeddings


@pytest.fixture
def annotations(tmp_path: Path) -> Annotations:
    draw_people(tmp_path / "people", people=4, images=6, size=64, seed=0)
    write_annotations(tmp_path / "cls_train.txt", tmp_path / "people", PeopleFolder(tmp_path / "people"))
    return read_annotations(tmp_path / "cls_train.txt")


def keras_teacher(folder: Path, seed: int = 0) -> Path:
    """Writes a network of 32 pixels that averages squares of the picture, with its card; 5 numbers, any length."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(keras.layers.Rescaling(1 / 255)(inputs)))
    network = keras.Model(inputs, keras.layers.Dense(5)(x))
    card = {"input_size": [32, 32], "crop": [0.1, 0.2, 0.9, 1.1], "alignment": "landmarks-64-4"}
    Embedder(network, card).save(folder / "teacher.keras")
    return folder / "teacher.keras"


def count_of_embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns a list that will hold how many images each call of an embedder was given."""
    counts: list[int] = []
    embed = Embedder.embed_images

    def counted(self: Embedder, images: np.ndarray) -> np.ndarray:
        counts.append(len(images))
        return embed(self, images)

    monkeypatch.setattr(Embedder, "embed_images", counted)
    return counts


def test_embeddings_are_those_of_the_files_in_order(annotations, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_module, "CHUNK", 5)
    monkeypatch.setattr(teacher_module, "BLOCK", 10)
    path = keras_teacher(tmp_path)
    found = teacher_embeddings(Teacher.load(path), annotations, tmp_path / "cache")
    embedder = Embedder.load(path)
    photos = [read_image(annotations.path(row)) for row in range(24)]
    crops = np.stack([fit_image(photo, (32, 32), (0.1, 0.2, 0.9, 1.1)) for photo in photos])
    assert found.dtype == np.float16
    assert found == pytest.approx(embedder.embed_images(crops), abs=1e-3)
    assert np.linalg.norm(found.astype(float), axis=1) == pytest.approx(np.ones(24), abs=2e-3)
    assert len(list((tmp_path / "cache").glob("*/*.npz"))) == 3  # blocks of 10, 10, 4


def test_they_are_computed_once_for_any_split(annotations, tmp_path, monkeypatch, capsys):
    teacher, counts = Teacher.load(keras_teacher(tmp_path)), count_of_embedded(monkeypatch)
    some = annotations.select(np.array([2, 0]))
    first = teacher_embeddings(teacher, some, tmp_path / "cache")
    assert sum(counts) == 12
    whole = teacher_embeddings(teacher, annotations, tmp_path / "cache")
    assert sum(counts) == 24  # the rest only
    again = teacher_embeddings(teacher, annotations, tmp_path / "cache")
    assert sum(counts) == 24
    assert (again == whole).all()
    assert (whole[12:18] == first[:6]).all()  # person 2 came first in the split
    assert (whole[:6] == first[6:]).all()
    assert "24 photos, 24 of them from" in capsys.readouterr().out


def test_a_break_costs_the_block_only(annotations, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_module, "BLOCK", 8)
    monkeypatch.setattr(teacher_module, "CHUNK", 8)
    teacher, read = Teacher.load(keras_teacher(tmp_path)), Teacher._read
    unbroken = teacher_embeddings(teacher, annotations, tmp_path / "other")

    def breaking(self: Teacher, path: str) -> np.ndarray | str:
        if path == annotations.path(20):
            raise KeyboardInterrupt
        return read(self, path)

    monkeypatch.setattr(Teacher, "_read", breaking)
    with pytest.raises(KeyboardInterrupt):
        teacher_embeddings(teacher, annotations, tmp_path / "cache")
    monkeypatch.setattr(Teacher, "_read", read)
    counts = count_of_embedded(monkeypatch)
    assert (teacher_embeddings(teacher, annotations, tmp_path / "cache") == unbroken).all()
    assert sum(counts) == 8


@pytest.mark.parametrize("harm", ["cut", "text", "foreign", "shape"])
def test_a_damaged_or_foreign_file_is_computed_again_with_a_line(harm, annotations, tmp_path, capsys):
    teacher = Teacher.load(keras_teacher(tmp_path))
    expected = teacher_embeddings(teacher, annotations, tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("*/*.npz")
    with np.load(path) as stored:
        arrays = dict(stored)
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif harm == "text":
        path.write_text("no archive")
    else:
        changed = {"key": np.array("another")} if harm == "foreign" else {"embeddings": arrays["embeddings"][:, :4]}
        np.savez(path, **arrays | changed)
    capsys.readouterr()
    assert (teacher_embeddings(teacher, annotations, tmp_path / "cache") == expected).all()
    said = capsys.readouterr().out
    assert (
        f"{path.name} is {'of another teacher' if harm == 'foreign' else 'damaged'}: its photos are embedded again"
        in said
    )
    teacher_embeddings(teacher, annotations, tmp_path / "cache")
    assert "again" not in capsys.readouterr().out  # it was written anew in its place


def test_other_weights_and_other_crops_have_caches_of_their_own(tmp_path):
    path = keras_teacher(tmp_path)
    keys = {Teacher.load(path).key, Teacher.load(path, Alignment.parse("landmarks-64-4")).key}
    keys.add(Teacher.load(path, Alignment.parse("landmarks-64-0")).key)
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | {"crop": 1.0}))
    keys.add(Teacher.load(path).key)
    keys.add(Teacher.load(keras_teacher(tmp_path, seed=1)).key)
    assert len(keys) == 5
    assert Teacher.load(path).key in keys  # and nothing else moves it


def test_crops_of_another_alignment_are_converted(annotations, tmp_path):
    teacher = Teacher.load(keras_teacher(tmp_path), Alignment.parse("landmarks-64-0"))
    photo = read_image(annotations.path(0))
    wider = [0.5 + (edge - 0.5) * 64 / 56 for edge in (0.1, 0.2, 0.9, 1.1)]
    expected = fit_image(photo, (32, 32), tuple(wider))
    assert (teacher.embedder.read(annotations.path(0)) == expected).all()


def test_a_photo_that_cannot_be_read_has_no_target_and_is_tried_again(annotations, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(teacher_module, "UNREADABLE_ALLOWED", 0.05)
    teacher, bad = Teacher.load(keras_teacher(tmp_path)), Path(annotations.path(7))
    whole = bad.read_bytes()
    bad.write_bytes(b"no photo")
    found = teacher_embeddings(teacher, annotations, tmp_path / "cache")
    assert np.flatnonzero(~found.any(axis=1)).tolist() == [7]
    assert bad.name in capsys.readouterr().out
    bad.write_bytes(whole)
    assert teacher_embeddings(teacher, annotations, tmp_path / "cache").any(axis=1).all()
    for row in (1, 2):
        Path(annotations.path(row)).write_bytes(b"no photo")
    with pytest.raises(UserError, match="2 of 24 photos cannot be read, more than 1%"):
        teacher_embeddings(teacher, annotations, tmp_path / "other")


def test_what_is_no_teacher_is_refused(tmp_path):
    path = keras_teacher(tmp_path)
    with pytest.raises(UserError, match=r"takes a \.keras or \.onnx file"):
        Teacher.load(tmp_path / "teacher.h5")
    with pytest.raises(UserError, match="no file"):
        Teacher.load(tmp_path / "another.keras")
    path.with_suffix(".json").write_text('{"input_size": [32, 32]}')
    with pytest.raises(UserError, match="does not say what part of a photo"):
        Teacher.load(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(UserError, match="cannot read"):
        Teacher.load(path)


WEIGHTS = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def onnx_teacher(folder: Path, layout: str = "channels_first", batch: str | int = "B", **said: object) -> Path:
    """Writes a network that multiplies the mean colour with `WEIGHTS`; open sides, so the card says them."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper, first = onnx.helper, layout == "channels_first"
    shape, axes = ([batch, 3, "H", "W"], [2, 3]) if first else ([batch, "H", "W", 3], [1, 2])
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["photos", "axes"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "weights"], ["embedding"]),
        ],
        "teacher",
        [helper.make_tensor_value_info("photos", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, [batch, 4])],
        [onnx.numpy_helper.from_array(np.array(axes), "axes"), onnx.numpy_helper.from_array(WEIGHTS, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "t.onnx")
    (folder / "t.json").write_text(json.dumps({"crop": 1.0, "input_size": [16, 24]} | said))
    return folder / "t.onnx"


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("batch", ["B", 1, 5])
def test_an_onnx_teacher_is_shown_what_its_json_says(layout, batch, annotations, tmp_path):
    said = {"mean": [10.0, 20.0, 30.0], "std": 50.0, "colours": "bgr"}
    path = onnx_teacher(tmp_path, layout, batch, **said)
    found = teacher_embeddings(Teacher.load(path), annotations, tmp_path / "cache")
    photos = np.stack([fit_image(read_image(annotations.path(row)), (16, 24), 1.0) for row in range(24)])
    colours = photos.astype(np.float64).mean(axis=(1, 2))[:, ::-1]
    plain = (colours - [10, 20, 30]) / 50 @ WEIGHTS
    assert found == pytest.approx(plain / np.linalg.norm(plain, axis=1, keepdims=True), abs=2e-3)


def test_an_onnx_teacher_is_scaled_as_insightface_does_where_nothing_is_said(tmp_path):
    teacher = Teacher.load(onnx_teacher(tmp_path))
    image = np.full((1, 16, 24, 3), 255, np.uint8)
    plain = np.ones(3) @ WEIGHTS
    assert teacher.embedder.embed_images(image)[0] == pytest.approx(plain / np.linalg.norm(plain), abs=1e-5)
    assert teacher.width == 4


def test_what_is_no_onnx_teacher_is_refused(tmp_path, monkeypatch):
    path = onnx_teacher(tmp_path, input_size=[None, None])
    with pytest.raises(UserError, match="takes photos of any size"):
        Teacher.load(path)
    path = onnx_teacher(tmp_path, colours="grey")
    with pytest.raises(UserError, match="colours 'grey'; rgb or bgr"):
        Teacher.load(path)
    onnx_teacher(tmp_path).write_bytes(b"no network")
    with pytest.raises(UserError, match="is not an ONNX file that can be run"):
        Teacher.load(path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="not installed: pip install onnxruntime"):
        Teacher.load(path)
