"""export.py: what it writes gives the embedder's vectors, is refused where it does not, and is whole or not there."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from datasets.drawn_faces import draw_people
from export import Settings, main
from tests.network.small_embedder import THRESHOLDS, photos, save_small_embedder
from utils import exporting, one_core
from utils.cards import card_path
from utils.embedder import Embedder
from utils.export_check import BOUNDS, Check, exported_card, figures, refuse
from utils.exported import exported_network, own_card, same_sooner
from utils.exporting import check_packages, convert, exported_whole
from utils.files import sha256
from utils.onnx_network import OnnxNetwork
from utils.pairs import PairSet
from utils.settings import UserError

pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")
pytest.importorskip("ai_edge_litert")
if keras.backend.backend() != "tensorflow":
    pytest.skip("TFLite and tf2onnx need TensorFlow", allow_module_level=True)

KINDS = [("onnx", "none"), ("onnx", "float16"), ("onnx", "int8"), ("tflite", "none"), ("tflite", "float16")]
KINDS += [("tflite", "int8"), ("saved_model", "none")]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    draw_people(folder, people=8, images=4, size=40, seed=0)
    return folder


@pytest.fixture(scope="module")
def saved(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_embedder(people, tmp_path_factory.mktemp("model") / "m.keras")


@pytest.fixture
def settings(saved: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(one_core, "milliseconds", lambda paths, images: (2.0, 1.0))  # it has a test of its own
    return Settings(model_path=str(saved), photos=str(people), output=str(tmp_path / "out" / "m.onnx"), number=16)


@pytest.mark.parametrize(("form", "quantize"), KINDS)
def test_photos_go_in_and_the_same_unit_vectors_come_out(form, quantize, saved, people, tmp_path):
    embedder = Embedder.load(saved)
    images = photos(embedder, people)
    with exported_whole(tmp_path / f"m{exporting.SUFFIX[form]}", form) as temporary:
        convert(embedder.network, temporary, form, quantize, images[::2])
    (path,) = tmp_path.iterdir()
    network = exported_network(path, {})
    assert network.input_shape == (None, 32, 32, 3)
    assert network.output_shape == (None, 24)
    found = network.predict_on_batch(images)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(images)), abs=1e-4)
    expected = embedder.embed_images(images)
    differences = ((found - expected) ** 2).sum(axis=1)
    assert differences.max() < BOUNDS[quantize]
    assert Embedder.load(path).embed_images(images[:3]) == pytest.approx(found[:3], abs=1e-5)
    assert np.abs(expected[0] - expected[1:]).max() > 0.1  # and it is not one vector for all
    if quantize != "none":
        assert differences.max() > 0


def test_an_onnx_file_has_names_to_call_it_by(saved, tmp_path):
    import onnxruntime

    convert(Embedder.load(saved).network, tmp_path / "m.onnx", "onnx", "none", np.empty(0))
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    (images,), (embedding,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 32, 32, 3])
    assert (embedding.name, embedding.shape) == ("embedding", ["batch", 24])


def test_vectors_of_a_network_that_does_not_normalise_are_brought_to_unit_length():
    inputs = keras.Input((8, 8, 3))
    plain = keras.Model(inputs, keras.layers.Dense(5)(keras.layers.Flatten()(inputs)))
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    found, expected = np.asarray(exporting.photos_to_vectors(plain)(images)), np.asarray(plain(images))
    assert found == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-5)


def test_the_script_leaves_a_file_with_its_own_card(settings, saved, people, capsys):
    before = card_path(saved).read_text()
    main(settings)
    made, source = Embedder.load(settings.output), Embedder.load(saved)
    assert made.card["crop"] == 0.9
    assert made.card["exported"]["from_sha256"] == source.card["sha256"] != made.card["sha256"]
    assert made.thresholds is not None  # the vectors are the same, so the thresholds hold
    assert made.thresholds["best_accuracy"] == THRESHOLDS["best_accuracy"]
    assert photos(made, people) == pytest.approx(photos(source, people))
    made.store_thresholds(THRESHOLDS | {"pairs": 7})
    assert card_path(saved).read_text() == before
    assert {path.name for path in Path(settings.output).parent.iterdir()} == {"m.onnx", "m.onnx.json"}
    said = capsys.readouterr().out
    assert "1.0 ms on one core; Keras 2.0 ms" in said
    assert max(map(len, said.replace(settings.output, "").splitlines())) <= 80


def test_beside_the_embedder_each_keeps_its_card(settings, saved, tmp_path):
    for name in ("m.keras", "m.json"):
        (tmp_path / name).write_bytes(saved.with_name(name).read_bytes())
    main(replace(settings, model_path=str(tmp_path / "m.keras"), output=""))
    assert card_path(tmp_path / "m.onnx") == tmp_path / "m.onnx.json"
    assert card_path(tmp_path / "m.keras") == tmp_path / "m.json"
    assert Embedder.load(tmp_path / "m.keras").thresholds


@pytest.fixture
def both(settings: Settings, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """m.keras with m.onnx beside it, on a machine without a GPU; returns the first."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    for name in ("m.keras", "m.json"):
        (tmp_path / name).write_bytes(saved.with_name(name).read_bytes())
    main(replace(settings, model_path=str(tmp_path / "m.keras"), output=""))
    return tmp_path / "m.keras"


def test_what_was_made_of_an_embedder_runs_in_its_place(both: Path, people: Path) -> None:
    embedder, on_keras = Embedder.load(both), Embedder.load(both, on_keras=True)
    assert isinstance(embedder.network, OnnxNetwork)
    assert isinstance(on_keras.network, keras.Model)
    assert embedder.card == on_keras.card
    assert (embedder.path, embedder.size) == (both, on_keras.size)
    images = photos(embedder, people)
    for flip in ("none", "sum", "concat"):
        np.testing.assert_allclose(embedder.embed_images(images, flip), on_keras.embed_images(images, flip), atol=1e-5)
    assert embedder.embed_images(images[:0]).shape == (0, 24)
    embedder.store_thresholds(THRESHOLDS | {"pairs": 7})  # in the embedder's own card
    assert Embedder.load(both, on_keras=True).thresholds == embedder.thresholds
    assert embedder.thresholds["pairs"] == 7


def no_card(path: Path) -> None:
    path.with_name("m.onnx.json").unlink()


def other_weights(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def other_file(path: Path) -> None:
    path.with_suffix(".onnx").write_bytes(path.with_suffix(".onnx").read_bytes() + b" ")


def another_precision(path: Path) -> None:
    card = path.with_name("m.onnx.json")
    found = json.loads(card.read_text())
    found["exported"]["largest_difference"] = 1e-4
    card.write_text(json.dumps(found))


@pytest.mark.parametrize("change", [no_card, other_weights, other_file, another_precision])
def test_what_is_not_the_same_does_not(change: Callable[[Path], None], both: Path) -> None:
    assert same_sooner(both, sha256(both)) == both.with_suffix(".onnx")
    change(both)
    assert same_sooner(both, sha256(both)) is None


def test_a_backend_asked_for_by_name_a_gpu_or_no_runtime_leave_it_to_keras(both: Path, monkeypatch) -> None:
    def found() -> Path | None:
        return same_sooner(both, sha256(both))

    with monkeypatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "tensorflow")
        assert found() is None
    with monkeypatch.context() as patch:
        patch.setattr("utils.exported.may_have_gpu", lambda: True)
        assert found() is None
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        assert found() is None
    assert found()


@pytest.mark.parametrize("there_before", [True, False])
def test_what_differs_is_refused_and_nothing_is_left(there_before, settings, monkeypatch):
    output = Path(settings.output)
    if there_before:
        main(settings)
    before = {path.name: path.read_bytes() for path in output.parent.glob("*")}
    honest = exporting.convert

    def mistaken(network, path, *rest):
        copy = keras.models.clone_model(network)
        copy.set_weights([weight + 0.05 for weight in network.get_weights()])
        honest(copy, path, *rest)

    monkeypatch.setattr(exporting, "convert", mistaken)
    with pytest.raises(UserError, match="not written: embeddings differ by up to"):
        main(settings)
    assert {path.name: path.read_bytes() for path in output.parent.glob("*")} == before
    assert bool(before) == there_before


def a_check(**said: object) -> Check:
    return replace(Check(8, 1e-9, 1e-9, 1e-9, None, (2.0, 1.0), (2.0, 1.0)), **said)


def test_each_bound_refuses():
    refuse(a_check(accuracy=(0.9, 0.896)), 1e-6, 0.005)
    for wrong, line in (
        ({"largest": 2e-6}, "differ by up to 2e-06"),
        ({"length": 0.1}, "from unit length"),
        ({"accuracy": (0.9, 0.89)}, "accuracy falls from 0.9000 to 0.8900"),
    ):
        with pytest.raises(UserError, match=line):
            refuse(a_check(**wrong), 1e-6, 0.005)


class Told:
    """An embedder that knows the answers, but for those pairs that it is told to mistake."""

    def __init__(self, pairs: PairSet, wrong: int):
        self.pairs, self.wrong = pairs, wrong

    def embed_files(self, paths: list[str], flip: str, progress: str | None) -> np.ndarray:
        angles = np.repeat(np.where(self.pairs.same, 0.1, 1.5), 2) * np.tile((0, 1), len(self.pairs.same))
        angles[1 : 2 * self.wrong : 2] = 1.6
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_accuracy_and_val_of_both_are_said():
    same, places = np.arange(400) % 2 == 0, np.arange(800)
    files = [f"{place}.jpg" for place in places]
    pairs = PairSet(files, places[::2], places[1::2], same, np.arange(400) // 40, places)
    accuracy, val = figures((Told(pairs, 0), Told(pairs, 40)), pairs)  # type: ignore[arg-type]
    assert accuracy == (1.0, pytest.approx(0.95, abs=0.01))
    assert val == {1e-2: (1.0, pytest.approx(0.9))}  # 200 strangers do not resolve 1e-3
    lines = a_check(accuracy=accuracy, val=val).lines()
    assert lines[-1] == "VAL at 1e-2  0.9000; the embedder 1.0000"
    assert max(map(len, lines)) <= 80


def test_thresholds_are_measured_anew_where_vectors_change(saved):
    embedder = Embedder.load(saved)
    kept = {form: exported_card(embedder, "new", {}, a_check(largest=form)) for form in (1e-4, 0.02)}
    assert kept[1e-4]["thresholds"] == embedder.card["thresholds"] | {"sha256": "new"}
    assert "thresholds" not in kept[0.02]
    assert json.loads(json.dumps(kept[0.02]))["exported"]["largest_difference"] == 0.02


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"quantize": "int8"}, "int8 and --representative"),
        ({"representative": "x"}, "int8 and --representative"),
        ({"quantize": "float16", "format": "saved_model"}, "a SavedModel stays float32"),
        ({"number": 0}, "--number is 1 or more; received 0"),
        ({"output": "m.tflite"}, "ends in .onnx"),
        ({"photos": "nowhere"}, "cannot list 'nowhere"),
        ({"lfw_dir": "nowhere"}, "nowhere"),
        ({"align": "wide"}, "--align takes"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changed, line, settings):
    with pytest.raises(UserError, match=line):
        main(replace(settings, **changed))
    assert not Path(settings.output).parent.exists()


def test_the_photos_that_set_the_ranges_are_not_those_that_check(settings, people):
    with pytest.raises(UserError, match="no photo besides those of --representative"):
        main(replace(settings, quantize="int8", representative=str(people), number=32))


def test_packages_and_backends_that_do_not_go_are_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install onnxruntime tf2onnx"):
        check_packages("onnx")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UserError, match="under TensorFlow, not jax"):
        check_packages("tflite")
    with pytest.raises(UserError, match="pip install onnxruntime jax2onnx"):
        check_packages("onnx")


def test_both_are_timed_in_a_process_of_its_own(saved, people):
    images = photos(Embedder.load(saved), people)[:8]
    assert all(0 < found < 5000 for found in one_core.milliseconds((saved, saved), images))


def test_own_card_of_each_kind():
    assert [own_card(f"a/m{end}").name for end in (".onnx", "_saved_model")] == ["m.onnx.json", "m_saved_model.json"]
