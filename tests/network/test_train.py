"""train.py as a user runs it: on drawn people, on both backends; resume after a kill; NaN; bad input."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import train
from datasets.drawn_faces import draw_people
from nets.building import steps_at_once
from utils.alignment import Alignment
from utils.annotations import write_annotations
from utils.calibration import Calibration
from utils.embedder import Embedder
from utils.people_folder import PeopleFolder
from utils.settings import UserError, parse

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--input_size", "80", "--batch_size", "12", "--epochs", "3", "--steps_per_epoch", "4", "--val_people", "4"]
WITHOUT_TENSORFLOW = """
import runpy, sys

class Absent:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named '{name}'")

sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def annotation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_people(folder / "people", people=14, images=5, size=80, seed=0)
    write_annotations(folder / "cls_train.txt", folder / "people", PeopleFolder(folder / "people"))
    (folder / "people" / "alignment.json").write_text('{"alignment": "landmarks-80-4"}')
    return folder / "cls_train.txt"


def settings_for(annotation: Path, logs: Path, *flags: str) -> train.Settings:
    return parse(train.Settings, [*TINY, "--annotation_path", str(annotation), "--save_dir", str(logs), *flags])


def only_run(logs: Path) -> Path:
    (folder,) = logs.iterdir()
    return folder


def state_of(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "state.npz") as stored:
        return {name: stored[name] for name in stored.files if name != "meta"}


def command(annotation: Path, logs: Path, *flags: str) -> list[str]:
    return [sys.executable, "train.py", *TINY, "--annotation_path", str(annotation), "--save_dir", str(logs), *flags]


@pytest.fixture(scope="module")
def whole(annotation: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs without a break."""
    logs = tmp_path_factory.mktemp("whole")
    subprocess.run(command(annotation, logs), cwd=ROOT, check=True, capture_output=True)
    return only_run(logs)


def test_a_run_leaves_what_the_readme_says(whole):
    names = {path.name for path in whole.iterdir()}
    assert names >= {"settings.json", "history.json", "curves.png", "first_batch.png", "state.npz"}
    assert names >= {"embedder_best.keras", "embedder_best.json", "embedder_last.keras", "embedder_last.json"}
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert not [name for name in names if name.startswith(".")]
    history = json.loads((whole / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert {"loss", "contrastive", "cross_entropy", "accuracy", "violating", "held_out_auc", "rate", "waited"} <= set(
        history[0]
    )
    best = json.loads((whole / "embedder_best.json").read_text())
    assert best["trained"]["epoch"] == 1 + int(np.argmax([row["held_out_auc"] for row in history]))
    low, high = best["trained"]["intervals"]["held_out_accuracy"]
    assert low <= best["trained"]["figures"]["held_out_accuracy"] <= high
    embedder = Embedder.load(whole / "embedder_best.keras")
    assert embedder.thresholds is not None
    assert embedder.thresholds["data"] == "people held out of training"
    assert embedder.thresholds["pairs"] > 0
    calibration = Calibration.of_card(embedder.card)
    assert calibration is not None
    near, far = calibration.probability([0.0, 4.0])
    assert 1 >= near >= far >= 0  # equal where so short a training has taught nothing
    assert embedder.alignment == Alignment("landmarks", 80, 4)


def test_a_saved_embedder_gives_unit_vectors_of_the_files(whole, annotation):
    embedder = Embedder.load(whole / "embedder_last.keras")
    paths = sorted((annotation.parent / "people").glob("*/*.jpg"))[:3]
    embeddings = embedder.embed_files(paths)
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    anew = Embedder.load(embedder.path)  # for which these are the first ones, too: later BatchNorm is folded
    together = anew.embed_images(np.stack([embedder.read(path) for path in paths]))
    assert embeddings == pytest.approx(together, abs=1e-6)


def test_resume_after_a_kill_ends_in_the_same_weights(whole, annotation, tmp_path):
    killed = subprocess.Popen(
        command(annotation, tmp_path), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("*/state.npz")) and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    folder = only_run(tmp_path)
    with np.load(folder / "state.npz") as stored:
        assert json.loads(str(stored["meta"]))["epoch"] < 3  # it was killed before its end
    resumed = [sys.executable, "train.py", "--resume", str(folder)]
    subprocess.run(resumed, cwd=ROOT, check=True, capture_output=True)
    expected, found = state_of(whole), state_of(folder)
    assert list(expected) == list(found)
    for name in expected:
        assert (expected[name] == found[name]).all(), name
    same = ("loss", "held_out_auc", "rate")
    histories = [json.loads((f / "history.json").read_text()) for f in (whole, folder)]
    assert [[row[k] for k in same] for row in histories[0]] == [[row[k] for k in same] for row in histories[1]]


def test_several_steps_at_once_change_nothing_but_how_often_the_figures_are_read(whole, annotation, tmp_path):
    at_once = command(annotation, tmp_path, "--steps_at_once", "3")  # of 4 an epoch: two
    subprocess.run(at_once, cwd=ROOT, check=True, capture_output=True)  # Keras numbers names within a process
    expected, found = state_of(whole), state_of(only_run(tmp_path))
    assert list(expected) == list(found)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("wanted", "epoch", "found"), [(16, 782, 2), (16, 800, 16), (16, 7, 7), (3, 4, 2), (16, 1, 1)])
def test_steps_at_once_divide_an_epoch(wanted, epoch, found):
    """Keras would run the last of them past the epoch's end."""
    assert steps_at_once(wanted, epoch) == found


def test_resume_refuses_other_settings_and_other_lines(whole, annotation, tmp_path):
    with pytest.raises(UserError, match=r"--init_lr 0\.5: .* was begun with 0\.006"):
        train.main(parse(train.Settings, ["--resume", str(whole), "--init_lr", "0.5"]))
    before = annotation.read_bytes()
    try:
        annotation.write_bytes(before + before.splitlines(keepends=True)[0].replace(b".jpg", b"_2.jpg"))
        with pytest.raises(UserError, match=r"the annotation file, or .* has changed since the run began"):
            train.main(parse(train.Settings, ["--resume", str(whole)]))
    finally:
        annotation.write_bytes(before)


def test_the_loss_falls(annotation, tmp_path):
    train.main(settings_for(annotation, tmp_path, "--epochs", "2", "--steps_per_epoch", "25"))
    history = json.loads((only_run(tmp_path) / "history.json").read_text())
    assert history[1]["cross_entropy"] < history[0]["cross_entropy"] - 0.2
    assert history[1]["accuracy"] > history[0]["accuracy"]


def run_on_jax_without_tensorflow(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *arguments],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_jax_trains_and_evaluates_without_tensorflow(annotation, tmp_path):
    out = run_on_jax_without_tensorflow(*command(annotation, tmp_path, "--epochs", "1")[1:])
    assert "(jax)" in out
    last = only_run(tmp_path) / "embedder_last.keras"
    draw_people(tmp_path / "more", people=12, images=5, size=96, seed=0, first_person=700)
    people = ["--lfw_dir", str(tmp_path / "more"), "--random_pairs", "40", "--same_ratio", "0.5"]
    out = run_on_jax_without_tensorflow("eval_lfw.py", "--model_path", str(last), *people, "--bootstrap", "40")
    assert "accuracy" in out
    embedder = Embedder.load(last)  # and the other backend reads the file
    assert embedder.thresholds is not None
    assert np.isfinite(embedder.embed_images(np.zeros((1, 80, 80, 3), np.uint8))).all()


def test_a_loss_that_is_no_number_stops_with_its_files(annotation, tmp_path):
    settings = settings_for(annotation, tmp_path, "--optimizer", "sgd", "--init_lr", "1e30")
    with pytest.raises(UserError, match=r"not a number after step \d+ \(learning rate \d\.\d+e\+29\).*\.jpg"):
        train.main(settings)
    assert not list(tmp_path.glob("*/embedder_*"))  # no broken weights


def test_starting_weights_are_taken_and_those_of_another_trunk_refused(whole, annotation, tmp_path):
    best = whole / "embedder_last.keras"
    settings = settings_for(annotation, tmp_path, "--model_path", str(best), "--init_lr", "1e-12", "--epochs", "1")
    train.main(settings)
    moved = Embedder.load(only_run(tmp_path) / "embedder_last.keras").network
    kept = Embedder.load(best).network
    for one, two in zip(moved.trainable_variables, kept.trainable_variables, strict=True):
        assert np.asarray(one) == pytest.approx(np.asarray(two), abs=1e-6)
    with pytest.raises(UserError, match="lacks"):
        train.main(replace(settings, backbone="inception_resnet_v1", input_size=96))
    with pytest.raises(UserError, match="Bottleneck"):
        train.main(replace(settings, embedding_size=64))


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--sampler", "triples", "--batch_size", "32"], "multiple of 3"),
        (["--crop", "0"], "--crop takes a number over 0"),
        (["--backbone", "mobilnet"], "did you mean 'mobilenet'?"),
        (["--annotation_path", "nowhere.txt"], "nowhere.txt"),
        (["--lfw_dir", "nowhere"], "nowhere"),
        (["--model_path", "nowhere.keras"], "nowhere.keras"),
        (["--resume", "nowhere"], "nowhere"),
        (["--batch-sise", "30"], "did you mean '--batch_size'?"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(annotation, tmp_path, capsys, flags, line):
    from utils.settings import run_script

    arguments = ["--annotation_path", str(annotation), "--save_dir", str(tmp_path / "logs"), *TINY, *flags]
    with pytest.raises(SystemExit) as ended:
        run_script(train.main, train.Settings, arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert line in error
    assert "\n" not in error
    assert not (tmp_path / "logs").exists()


def test_a_run_that_is_done_is_not_resumed(whole):
    with pytest.raises(UserError, match="has done all of its 3 epochs"):
        train.main(parse(train.Settings, ["--resume", str(whole)]))


def test_people_who_give_too_few_pairs_are_not_measured_and_that_is_said(annotation, tmp_path, capsys):
    train.main(settings_for(annotation, tmp_path, "--epochs", "1", "--val_pairs", "10"))
    assert "no validation: the 4 people held out give 5 pairs of one" in capsys.readouterr().out
    assert (only_run(tmp_path) / "embedder_best.keras").is_file()


def test_without_cross_entropy_the_loss_is_the_contrastive_one(annotation, tmp_path):
    train.main(settings_for(annotation, tmp_path, "--cross_entropy_weight", "0", "--epochs", "1"))
    (epoch,) = json.loads((only_run(tmp_path) / "history.json").read_text())
    assert epoch["loss"] == pytest.approx(epoch["contrastive"], rel=1e-5)


def test_a_sample_of_the_people_trains_and_memory_is_told(annotation, tmp_path, capsys):
    """Ten people are trained on; a step looks at as many as its batch may hold."""
    people = ("--people_power", "0", "--sampler", "people", "--metric_weight", "0")
    few = ("--batch_size", "4", "--images_each", "2", "--class_sample", "0.5", "--head", "arcface", "--epochs", "1")
    train.main(settings_for(annotation, tmp_path, *people, *few))
    assert re.search(r"memory  about \d\.\d GB \(.*program 0\.8", capsys.readouterr().out)
    state = state_of(only_run(tmp_path))
    (chosen,) = (values for name, values in state.items() if name.endswith("SampledLogits/chosen"))
    assert chosen.shape == (5,)
    assert len(set(chosen.tolist())) == 5
    (moved,) = (values for name, values in state.items() if name.endswith("all_SampledLogits_kernel_velocity"))
    assert moved.shape[0] == 10
    assert np.abs(moved).max() > 0


def test_triples_and_triplet_loss_train_as_facenet_has_them(annotation, tmp_path):
    facenet = ("--sampler", "triples", "--metric_loss", "triplet", "--dropout", "0.6", "--epochs", "1")
    train.main(settings_for(annotation, tmp_path, *facenet))
    (epoch,) = json.loads((only_run(tmp_path) / "history.json").read_text())
    assert epoch["loss"] == pytest.approx(epoch["triplet"] + epoch["cross_entropy"], rel=1e-5)


def test_small_images_first_a_teacher_and_photos_of_nobody(whole, annotation, tmp_path):
    """Four flags that change what a step is, at once; the embedder is of the full size, in float32."""
    flags = ["--first_size", "48", "--precision", "bfloat16", "--sampler", "people", "--metric_loss", "contrastive"]
    teacher = ["--teacher", str(whole / "embedder_best.keras")]
    nobody = ["--unlabelled", str(annotation.parent / "nobody"), "--unlabelled_images", "4"]
    slow = ["--model_path", str(whole / "embedder_last.keras"), "--trunk_rate", "0.1", "--frozen_epochs", "1"]
    draw_people(annotation.parent / "nobody", people=3, images=3, size=96, seed=9, first_person=900)
    train.main(settings_for(annotation, tmp_path, *flags, *teacher, *nobody, *slow, "--epochs", "2"))
    (run,) = tmp_path.glob("*-mobilenet")
    history = json.loads((run / "history.json").read_text())
    assert {"teacher_contrast", "contrastive", "gradient_norm"} <= set(history[-1])
    assert [row["pixels"] for row in history] == [48, 80]
    before, after = (Embedder.load(path) for path in (whole / "embedder_last.keras", run / "embedder_last.keras"))
    assert after.network.input_shape == before.network.input_shape
    assert "bfloat16" not in after.network.to_json()
    kernels = [embedder.network.get_layer("conv_pw_1").kernel.numpy() for embedder in (before, after)]
    moved = np.abs(kernels[1] - kernels[0]).max()
    assert 0 < moved < 0.05
