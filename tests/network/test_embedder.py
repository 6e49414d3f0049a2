"""The Embedder on disk: card, thresholds tied to the weights, and files that are no embedders."""

import json
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from nets.facenet import facenet
from nets.layers import BatchNorm
from utils.alignment import Alignment, Face, template
from utils.cards import card_path
from utils.embedder import BATCH, FEW, Embedder
from utils.settings import UserError

THRESHOLDS = {"best_accuracy": {"threshold": 1.1, "far": 0.02, "val": 0.9}, "data": "drawn", "pairs": 600}


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    keras.utils.set_random_seed(0)
    network = facenet((80, 96, 3), mode="predict", alpha=0.25)
    norms = [layer for layer in network.layers if isinstance(layer, BatchNorm)]
    for layer in norms:  # statistics of some images, or the signal dies on its way through
        layer.momentum = 0.0
    network(random_images(16), training=True)
    return Embedder(network, {"backbone": "mobilenet", "crop": 0.5, "trained": {}})


@pytest.fixture
def saved(embedder: Embedder, tmp_path: Path) -> Path:
    embedder.save(tmp_path / "e.keras")
    return tmp_path / "e.keras"


def random_images(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 80, 96, 3)).astype(np.uint8)


def test_saved_and_loaded_it_gives_the_same_vectors(embedder, saved):
    loaded, images = Embedder.load(saved), random_images(FEW)  # more are embedded with BatchNorm folded
    assert loaded.size == (80, 96)
    assert loaded.card["crop"] == 0.5
    assert loaded.pixel_range == pytest.approx((-1.0, 1.0))
    assert loaded.embed_images(images) == pytest.approx(embedder.embed_images(images), abs=1e-6)


@pytest.mark.parametrize("count", [0, 1, 3, BATCH, BATCH + 5])
def test_an_embedding_does_not_depend_on_the_batch_around_it(embedder, count):
    images = random_images(count)
    alone = [np.asarray(embedder.network(images[i : i + 1], training=False))[0] for i in range(count)]
    found = embedder.embed_images(images)
    assert found.shape == (count, 128)
    if count:
        assert found == pytest.approx(np.stack(alone), abs=1e-5)


def test_thresholds_hold_for_their_weights_only(saved):
    embedder = Embedder.load(saved)
    assert embedder.thresholds is None
    embedder.store_thresholds(THRESHOLDS)
    stored = Embedder.load(saved).thresholds
    assert stored is not None
    assert stored["best_accuracy"]["threshold"] == 1.1
    first = embedder.network.trainable_variables[0]
    first.assign(first + 1.0)
    embedder.save(saved)  # other weights under the old name
    assert Embedder.load(saved).thresholds is None


def test_thresholds_of_an_exchanged_file_do_not_count(saved, tmp_path):
    Embedder.load(saved).store_thresholds(THRESHOLDS)
    facenet_other = Embedder(facenet((80, 96, 3), mode="predict", alpha=0.25), {"crop": 1.0})
    facenet_other.save(tmp_path / "other.keras")
    (tmp_path / "other.keras").replace(saved)
    assert Embedder.load(saved).thresholds is None


def test_photos_are_cut_as_the_card_says(saved, tmp_path):
    photo = np.zeros((160, 192, 3), np.uint8)
    photo[40:120, 48:144] = 200  # the central half
    cv2.imwrite(str(tmp_path / "p.png"), photo)
    assert (Embedder.load(saved).read(tmp_path / "p.png") == 200).all()


def test_a_card_may_name_a_box_and_an_alignment(embedder, tmp_path):
    card = {"crop": [0.25, 0.25, 0.75, 0.75], "alignment": "landmarks-192-8"}
    Embedder(embedder.network, card).save(tmp_path / "box.keras")
    loaded = Embedder.load(tmp_path / "box.keras")
    assert loaded.alignment == Alignment("landmarks", 192, 8)
    photo = np.zeros((160, 192, 3), np.uint8)
    photo[40:120, 48:144] = 200
    cv2.imwrite(str(tmp_path / "p.png"), photo)
    assert (loaded.read(tmp_path / "p.png")[2:-2, 2:-2] == 200).all()
    with pytest.raises(UserError, match="card's crop is all; a share or"):
        Embedder(embedder.network, {"crop": "all"})


def test_raw_photos_are_aligned_before_they_are_embedded(embedder, tmp_path):
    """A face turned by 30 degrees in a photo is shown as its upright crop is."""
    alignment = Alignment("landmarks", 96, 0)
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(96, 96, 3)), (0, 0), 5)
    crop = cv2.normalize(noise, noise, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    turn = cv2.getRotationMatrix2D((48, 48), 30, 1.0)
    turn[:, 2] += 52
    photo = cv2.warpAffine(crop, turn, (200, 200))
    points = template(alignment) @ turn[:, :2].T + turn[:, 2]
    face = Face(np.array((60, 60, 140, 140), float), points, 0.99)

    class Finder:
        def detect(self, images):
            return [[face] if image.shape == (200, 200, 3) else [] for image in images]

    cv2.imwrite(str(tmp_path / "raw.png"), photo)
    cv2.imwrite(str(tmp_path / "crop.png"), crop)
    turned = Embedder(embedder.network, {"alignment": "landmarks-96-0", "crop": 0.8})
    cropper = turned.crop_photos("auto")
    cropper._finder = Finder()
    files = [tmp_path / "raw.png", tmp_path / "crop.png"]
    embeddings = turned.embed_files(files)
    assert cropper.raw == {str(tmp_path / "raw.png"): 1}
    raw, upright = (turned.read(file).astype(int) for file in files)
    assert np.abs(raw - upright).max() <= 4
    assert embeddings == pytest.approx(turned.embed_images(np.stack([raw, upright]).astype(np.uint8)), abs=1e-5)
    turned.crop_photos("no")
    assert np.abs(turned.read(files[0]).astype(int) - upright).mean() > 20


def test_flips_are_of_unit_length_and_blind_to_mirroring(saved, tmp_path):
    embedder = Embedder.load(saved)
    photo = np.random.default_rng(2).integers(0, 256, (160, 192, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), photo)
    cv2.imwrite(str(tmp_path / "b.png"), photo[:, ::-1])
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    plain, summed, both = (embedder.embed_files(files, flip=flip) for flip in ("none", "sum", "concat"))
    assert plain.shape == summed.shape == (2, 128)
    assert both.shape == (2, 256)
    for found in (plain, summed, both):
        assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(2), abs=1e-5)
    assert summed[0] == pytest.approx(summed[1], abs=1e-5)
    assert np.abs(plain[0] - plain[1]).max() > 1e-3


def test_what_is_no_embedder_is_said_in_one_line(tmp_path, saved):
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "cut.keras").write_bytes(saved.read_bytes()[:5000])
    (tmp_path / "weights.txt").write_text("")
    facenet((80, 80, 3), 5, alpha=0.25).save(tmp_path / "trainer.keras")
    for name, shape in (("digits", (28, 28, 1)), ("any_size", (None, None, 3))):
        inputs = keras.Input(shape)
        outputs = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(inputs))
        keras.Model(inputs, outputs).save(tmp_path / f"{name}.keras")
    cut = "not a Keras model: it is cut off, or a file of another kind"  # not Keras' "File not found"
    cases = {"nowhere.keras": "no file", "text.keras": cut, "cut.keras": cut}
    cases |= {"weights.txt": "no embedder's name", "trainer.keras": "an embedder maps photos to vectors"}
    cases |= dict.fromkeys(("digits.keras", "any_size.keras"), "an embedder maps photos to vectors")
    for name, line in cases.items():
        with pytest.raises(UserError, match=line) as raised:
            Embedder.load(tmp_path / name)
        assert "\n" not in str(raised.value)


def test_a_broken_card_is_said(saved):
    wrong = {"alignment": 5, "thresholds": [1], "calibration": "measured", "mean": "abc", "trained": [1]}
    texts = [(json.dumps({name: value}), f"{name} is .*is expected") for name, value in wrong.items()]
    texts.append(('{"trained": {"settings": "x"}}', r"trained\.settings is no object"))
    for text, line in (("{", "is not JSON"), ("[]", "is no embedder's card"), *texts):
        card_path(saved).write_text(text)
        with pytest.raises(UserError, match=line):
            Embedder.load(saved)
    card_path(saved).unlink()
    assert Embedder.load(saved).card["crop"] == 1.0  # a network alone still works, on whole photos


def test_weights_of_two_kinds_and_one_name_have_cards_of_their_own(saved):
    assert card_path(saved).name == "e.json"
    assert card_path(saved.with_suffix(".h5")).name == "e.h5.json"
    saved.unlink()
    assert card_path(saved.with_suffix(".h5")).name == "e.json"


def test_bytes_that_changed_are_said(saved):
    whole = saved.read_bytes()
    for place in range(len(whole) // 8, len(whole), len(whole) // 8):
        for length in (64, 4096):
            noise = np.random.default_rng(place).bytes(length)
            saved.write_bytes(whole[:place] + noise + whole[place + length :])
            with pytest.raises(UserError, match="is not a Keras model"):
                Embedder.load(saved)


def test_a_sequential_network_embeds_many_photos(tmp_path):
    layers = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(8)]
    keras.Sequential([keras.Input((16, 16, 3)), *layers]).save(tmp_path / "s.keras")
    embedder = Embedder.load(tmp_path / "s.keras")
    assert embedder.embed_images(np.zeros((9, 16, 16, 3), np.uint8)).shape == (9, 8)
    with pytest.raises(UserError, match="is no embedder of this kit"):
        _ = embedder.pixel_range


def test_what_another_program_wrote_of_these_weights_is_taken(saved):
    first, second = Embedder.load(saved), Embedder.load(saved)
    second.store_thresholds(THRESHOLDS)
    assert first.thresholds is None
    first.reread_card()
    assert first.thresholds == second.thresholds
    card_path(saved).write_text(json.dumps({"sha256": "of others", "crop": 0.5}))
    first.reread_card()
    assert first.card["crop"] == second.card["crop"]


def test_a_full_disk_leaves_the_last_good_file(embedder, saved, monkeypatch):
    before = saved.read_bytes(), json.loads(card_path(saved).read_text())

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        embedder.save(saved)
    assert (saved.read_bytes(), json.loads(card_path(saved).read_text())) == before
    assert {path.name for path in saved.parent.iterdir()} == {"e.keras", "e.json"}


@pytest.mark.parametrize("images", [1, 2 * FEW])
def test_embeddings_that_are_not_numbers_are_said(images):
    inputs = keras.Input((8, 8, 3))
    network = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(inputs)))
    network.set_weights([np.full_like(weight, np.nan) for weight in network.get_weights()])
    with pytest.raises(UserError, match=f"{images} of {images} embeddings are not numbers"):
        Embedder(network, {}).embed_images(np.zeros((images, 8, 8, 3), np.uint8))
