"""eval_lfw.py: what it measures, prints, stores and refuses; with an embedder made of answers, and with a real one."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from eval_lfw import Settings, evaluate, main, table
from utils.bootstrap import bootstrap
from utils.calibration import Calibration
from utils.cropping import Cropper
from utils.metrics import verify
from utils.pairs import read_pairs
from utils.runs import default_embedder
from utils.settings import UserError, run_script

PEOPLE = 12


class FakeEmbedder:
    """Knows the people: the first number of the file's colour is who it is; two of the people look alike."""

    def __init__(self):
        self.card = {"sha256": "of these weights"}
        self.cropper = Cropper()
        self.stored, self.embedded, self.flips = None, [], []

    def read(self, path):
        with Image.open(path) as image:
            return np.asarray(image)

    def embed_files(self, paths, flip="none", progress=None):
        self.embedded += paths
        self.flips.append(flip)
        colors = np.array([self.read(path)[0, 0, 0] for path in paths], float)
        angles = np.where(colors == 10, 0, colors) * np.pi / 300
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def reread_card(self):
        pass

    def store_thresholds(self, thresholds):
        self.stored = thresholds


@pytest.fixture
def data(tmp_path):
    """Settings for 12 people of two grey images, with 10 folds of 2 same + 2 different pairs."""
    names = [f"P{i:02d}" for i in range(PEOPLE)]
    for i, name in enumerate(names):
        (tmp_path / "lfw" / name).mkdir(parents=True)
        for image in (1, 2):
            Image.new("RGB", (40, 40), (10 * i, 90, image)).save(tmp_path / "lfw" / name / f"{name}_{image:04d}.png")
    lines = ["10\t2"]
    for fold in range(10):
        a, b, c = (names[(fold + step) % PEOPLE] for step in range(3))
        lines += [f"{a}\t1\t2", f"{b}\t2\t1", f"{a}\t1\t{b}\t2", f"{b}\t2\t{c}\t1"]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    return Settings(lfw_dir=str(tmp_path / "lfw"), lfw_pairs=str(tmp_path / "pairs.txt"), bootstrap=40)


def run_with_fake(settings, tmp_path):
    embedder = FakeEmbedder()
    pairs = read_pairs(settings.lfw_pairs, settings.lfw_dir, settings.skip_missing)
    return embedder, evaluate(embedder, pairs, tmp_path / "run" / "model.keras", settings)


def test_report_pictures_and_stored_thresholds(data, tmp_path, capsys):
    settings = replace(data, report=str(tmp_path / "r.json"), flip="concat")
    embedder, report = run_with_fake(settings, tmp_path)
    assert len(embedder.embedded) == len(set(embedder.embedded)) == report["images"]
    assert embedder.flips == ["concat"]
    written = json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)  # NaN is not JSON
    keys = "accuracy_mean accuracy_std val far auc eer threshold pairs images seconds intervals thresholds sha256"
    assert set(keys.split()) <= set(written)
    assert written["pairs"] == 40
    assert written["val"] == {"1e-2": None, "1e-3": None}  # 20 different pairs resolve neither rate
    # P00 and P01 look alike: one of 20 different pairs is a false accept wherever the threshold lies.
    assert (written["true_positives"], written["false_positives"]) == (20, 1)
    assert written["intervals"]["auc"][0] <= written["auc"] <= 1
    stored = embedder.stored
    assert stored["best_accuracy"]["far"] == 0.05
    assert (stored["data"], stored["pairs"], stored["flip"]) == ("pairs.txt of lfw", 40, "concat")
    assert len(stored["date"]) == 10
    for picture in ("roc.png", "errors.png"):
        with Image.open(tmp_path / "run" / "model_lfw" / picture) as drawn:
            assert drawn.width == 1000
    printed = " ".join(capsys.readouterr().out.split())
    assert "LFW's protocol is" in printed
    assert "images/s" in printed
    assert "too few different pairs: 20" in printed


def test_lines_fit_80_columns(data, tmp_path, capsys):
    same = np.arange(6000) % 2 == 0
    distances = np.random.default_rng(0).normal(np.where(same, 0.9, 1.4), 0.2).clip(0, 4)
    fold, people = np.arange(6000) // 600, np.repeat(np.arange(6000)[:, None], 2, axis=1)
    lines = table(verify(distances, same, fold), bootstrap(distances, same, fold, people, 20))
    assert max(map(len, lines)) <= 80
    assert len(lines) == 11
    run_with_fake(data, tmp_path)
    words = [line for line in capsys.readouterr().out.splitlines() if str(tmp_path) not in line]
    assert max(map(len, words)) <= 80


def test_another_embedder_is_measured_on_the_same_pairs(data, tmp_path, capsys):
    class Worse(FakeEmbedder):
        def embed_files(self, paths, flip="none", progress=None):
            vectors = super().embed_files(paths, flip, progress)
            return np.roll(vectors, 1, axis=0)  # everybody for another

    settings = replace(data, compare="worse.keras", report=str(tmp_path / "r.json"))
    pairs, other = read_pairs(data.lfw_pairs, data.lfw_dir, False), Worse()
    evaluate(FakeEmbedder(), pairs, tmp_path / "model.keras", settings, other)
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["compare"]["auc"]["one"] == found["auc"] > found["compare"]["auc"]["other"]
    assert other.stored is None
    printed = capsys.readouterr().out
    assert "beside worse.keras" in printed
    line = next(line for line in printed.splitlines() if line.startswith("AUC") and "+" in line)
    assert line.endswith("better")


def test_nothing_is_stored_where_that_is_switched_off(data, tmp_path):
    embedder, report = run_with_fake(replace(data, store_thresholds="no", bootstrap=0), tmp_path)
    assert embedder.stored is None
    assert report["intervals"] == {}


@pytest.mark.parametrize(("choice", "stored"), [("auto", False), ("yes", True)])
def test_thresholds_of_a_calibration_stay_but_where_these_are_asked_for(choice, stored, data, tmp_path, capsys):
    embedder = FakeEmbedder()
    distances = np.linspace(0, 4, 400)
    embedder.card = Calibration.fit(distances, distances < 2, people=20).into_card(embedder.card)
    pairs = read_pairs(data.lfw_pairs, data.lfw_dir, False)
    evaluate(embedder, pairs, tmp_path / "model.keras", replace(data, store_thresholds=choice, bootstrap=0))
    assert (embedder.stored is not None) == stored
    assert ("those of its calibration stay in the card" in capsys.readouterr().out) != stored


def test_missing_images_stop_or_are_reported(data, tmp_path, capsys):
    (tmp_path / "lfw" / "P03" / "P03_0001.png").unlink()
    with pytest.raises(UserError, match="1 of 23 images are not in"):
        run_with_fake(data, tmp_path)
    _, report = run_with_fake(replace(data, skip_missing=True), tmp_path)
    assert report["pairs_left_out"] == 40 - report["pairs"] > 0
    assert f"{report['pairs_left_out']} pairs, for want of their images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--lfw_dir", "nowhere"], "nowhere is not a folder"),
        (["--flip", "twice"], "--flip takes one of none, sum, concat; received 'twice'"),
        (["--lfw_pair", "x"], "unknown flag --lfw_pair (did you mean '--lfw_pairs'?)"),
        (["--bootstrap", "-1"], "--bootstrap is 0, or 40 or more; received -1"),
        (["--seed", "-1"], "--seed is 0 or more; received -1"),
        (["--report", "a.png"], "--report a.png is a photo's name"),
        (["--compare", "b.keras", "--bootstrap", "0"], "--compare tells by intervals whether two embedders differ"),
    ],
)
def test_wrong_flags_are_one_line_and_code_2(arguments, expected, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_script(main, Settings, arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert expected in error
    assert error.count("\n") == 1


def test_wrong_models_are_refused_before_keras_is_imported(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no file 'gone\.keras'"):
        main(replace(data, model_path="gone.keras"))
    (tmp_path / "there.keras").touch()
    with pytest.raises(UserError, match=r"--input_size 112: there\.keras has a size of its own"):
        main(replace(data, model_path="there.keras", input_size=112))


def test_without_a_name_the_newest_run_is_taken_then_the_released_embedder(tmp_path):
    released = tmp_path / "released.keras"
    with pytest.raises(UserError, match=r"no .*embedder_best.keras: run python train.py, or name an embedder"):
        default_embedder(tmp_path, released)
    released.touch()
    assert default_embedder(tmp_path, released) == released
    for age, run in enumerate(("b", "a", "c")):
        path = tmp_path / run / "embedder_best.keras"
        path.parent.mkdir()
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    assert default_embedder(tmp_path, released) == tmp_path / "b" / "embedder_best.keras"


def test_main_with_a_real_embedder(data, tmp_path, monkeypatch, capsys):
    from nets.facenet import facenet
    from utils.embedder import Embedder

    monkeypatch.chdir(tmp_path)
    run = tmp_path / "logs" / "now"
    run.mkdir(parents=True)
    network = facenet((96, 96, 3), mode="predict")
    Embedder(network, {"backbone": "mobilenet", "crop": 1.0}).save(run / "embedder_best.keras")
    main(replace(data, random_pairs=40, same_ratio=0.3, flip="sum"))  # without model_path: the newest run
    assert "logs/now/embedder_best.keras (the newest run)" in capsys.readouterr().out
    thresholds = Embedder.load(run / "embedder_best.keras").thresholds
    assert thresholds is not None
    assert (thresholds["data"], thresholds["flip"]) == ("random pairs of lfw", "sum")
    assert 0 <= thresholds["best_accuracy"]["threshold"] <= 4.1
    assert (run / "embedder_best_lfw" / "roc.png").is_file()
    with pytest.raises(UserError, match=r"--compare: no file 'gone\.keras'"):
        main(replace(data, compare="gone.keras"))
    capsys.readouterr()
    main(replace(data, compare=str(run / "embedder_best.keras")))
    beside = capsys.readouterr().out.split("this less other")[1]
    assert beside.count("not told apart") == 3  # itself: accuracy, AUC and EER, no rate being resolved
