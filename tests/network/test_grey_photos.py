"""Grey PGM photos in the folders and under the names of Extended Yale B: annotated, trained on, measured."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import eval_lfw
import train
import txt_annotation
from datasets.drawn_faces import draw_face
from utils.images import fit_image, read_image
from utils.runs import default_embedder

PEOPLE, PHOTOS = 8, 5
TINY = {"input_size": 80, "batch_size": 12, "epochs": 1, "steps_per_epoch": 4, "val_people": 3}


@pytest.fixture
def yale(tmp_path: Path) -> Path:
    """One folder a person, of P5 files whose names say how the light falls; 84 x 96 pixels, half of Yale's."""
    for person in range(PEOPLE):
        folder = tmp_path / "yale" / f"yaleB{person + 1:02d}"
        folder.mkdir(parents=True)
        for photo in range(PHOTOS):
            grey = cv2.cvtColor(draw_face(person, photo, 96, 0), cv2.COLOR_RGB2GRAY)[:, 6:90]
            name = f"{folder.name}_P00A{photo * 25 - 50:+04d}E{photo * 5:+03d}.pgm"
            (folder / name).write_bytes(b"P5\n84 96\n255\n" + grey.tobytes())
        (folder / f"{folder.name}_P00.info").write_text("a list of the others")
    return tmp_path / "yale"


def test_pgm_files_from_the_folders_to_the_figures(yale: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    annotation, logs = tmp_path / "cls_train.txt", tmp_path / "logs"
    txt_annotation.main(txt_annotation.Settings(datasets_path=str(yale), annotation_path=str(annotation)))
    said = capsys.readouterr().out
    assert f"photos: {PEOPLE * PHOTOS}" in said
    assert f"skipped: {PEOPLE} files that are no images (by suffix)" in said

    train.main(train.Settings(annotation_path=str(annotation), save_dir=str(logs), **TINY))
    (run,) = logs.iterdir()
    (epoch,) = json.loads((run / "history.json").read_text())
    assert np.isfinite(epoch["loss"])
    assert "left out" not in capsys.readouterr().out

    shutil.rmtree(sorted(yale.iterdir())[0])  # all people of a training would be refused
    report = tmp_path / "report.json"
    pairs = {"random_pairs": 60, "same_ratio": 0.5, "bootstrap": 40}
    eval_lfw.main(
        eval_lfw.Settings(model_path=str(default_embedder(logs)), lfw_dir=str(yale), report=str(report), **pairs)
    )
    figures = json.loads(report.read_text())
    assert figures["pairs"] == 60
    assert 0 <= figures["auc"] <= 1


def test_a_grey_photo_becomes_three_equal_channels_of_its_numbers(yale: Path) -> None:
    path = next(yale.glob("yaleB03/*+000E+10.pgm"))
    grey = np.frombuffer(path.read_bytes(), np.uint8, offset=len(b"P5\n84 96\n255\n")).reshape(96, 84)
    image = read_image(path)
    assert (image == grey[:, :, None]).all()
    fitted = fit_image(image, (80, 80))
    assert (fitted == fitted[:, :, :1]).all()
