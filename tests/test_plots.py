"""Pictures: they are written whole, of the size asked for, and show what they should (pixels are looked at)."""

import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils import plots
from utils.bootstrap import bootstrap
from utils.plots import curves_figure, error_sheet, roc_figure, sheet, triple_sheet


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def pixels_of(image, color, tolerance=30):
    return int((np.abs(image - np.array(color)).max(axis=-1) < tolerance).sum())


def has_color(image, color):
    return pixels_of(image, color) > 0


def drawn_pairs(number=400):
    random = np.random.default_rng(0)
    same = np.arange(number) % 2 == 0
    return np.clip(random.normal(np.where(same, 0.8, 1.4), 0.3), 0, 4), same


def flat(value):
    return np.full((20, 20, 3), value, np.uint8)


def test_roc_figure_with_and_without_a_band(tmp_path):
    distances, same = drawn_pairs()
    people = np.stack([np.arange(400) // 4] * 2, axis=1)
    intervals = bootstrap(distances, same, np.arange(400) % 10, people, replicates=20)
    roc_figure(tmp_path / "plain.png", distances, same, 1.1)
    roc_figure(tmp_path / "band.png", distances, same, 1.1, intervals, title="a_$b$ of 6,000 pairs")
    plain, band = pixels(tmp_path / "plain.png"), pixels(tmp_path / "band.png")
    assert plain.shape == band.shape == (390, 1000, 3)
    pale_blue = (209, 226, 238)  # a fifth of the curve's colour on white
    assert pixels_of(band[:, :660], pale_blue, 6) > 10 * pixels_of(plain[:, :660], pale_blue, 6)


def test_roc_figure_of_very_few_pairs(tmp_path):
    roc_figure(tmp_path / "roc.png", np.array([0.0, 1.0]), np.array([True, False]), 0.5)
    assert pixels(tmp_path / "roc.png").shape == (390, 1000, 3)


def test_error_sheet_shows_the_worst_of_each_kind_and_reads_no_other(tmp_path):
    distances = np.array([0.1, 0.9, 0.2, 1.2, 0.7, 0.3])
    same = np.array([False, False, False, True, True, True])
    pairs = [(f"person/{i}a.jpg", f"person/{i}b.jpg") for i in range(6)]
    read = []

    def color(path):
        read.append(path)
        return flat((250, 10, 10)) if path.startswith("person/0") else flat((10, 10, 250))

    error_sheet(tmp_path / "errors.png", pairs, distances, same, 0.5, color)
    # False accepts 0 and 2, nearest first; false rejects 3 and 4, farthest first; 1 and 5 are right.
    assert read == [path for i in (0, 2, 3, 4) for path in pairs[i]]
    image = pixels(tmp_path / "errors.png")
    upper_left = image[: len(image) // 2, :500]
    assert image.shape[1] == 1000
    assert has_color(upper_left, (250, 10, 10))
    assert not has_color(image[:, 500:], (250, 10, 10))
    assert has_color(image[:, 500:], (10, 10, 250))


def test_error_sheet_stops_at_eight_rows_and_bears_having_no_errors(tmp_path):
    read = []
    pairs = [("a_$x$_" + "long" * 20 + ".jpg", "名字.jpg")] * 30
    distances, same = np.linspace(0, 0.4, 30), np.zeros(30, bool)
    error_sheet(tmp_path / "many.png", pairs, distances, same, 0.5, lambda path: read.append(path) or flat(9))
    assert len(read) == 16
    error_sheet(tmp_path / "none.png", pairs, distances, ~same, 0.5, lambda path: flat(9))
    assert len(pixels(tmp_path / "none.png")) < len(pixels(tmp_path / "many.png")) / 3


def epoch(number):
    figures = {"loss": 8 / number, "triplet": 0.1, "cross_entropy": 7 / number, "accuracy": 0.1 * number}
    return figures | {"lfw_auc": 0.8, "lfw_val_at_0.01": float("nan"), "rate": 1e-3, "epoch": number}


def test_curves_of_one_epoch_are_visible(tmp_path):
    curves_figure(tmp_path / "one.png", [epoch(1)])
    first_color = (31, 119, 180)
    image = pixels(tmp_path / "one.png")
    markers = image[60:250, 50:380]  # the panel of the triplet loss, without its legend
    assert has_color(markers, first_color)


def test_curves_group_figures_by_their_names(tmp_path):
    titles = {key: plots._panel(key) for key in epoch(1)}
    assert titles == {
        "loss": "loss",
        "triplet": "parts of the loss",
        "cross_entropy": "loss",
        "accuracy": "accuracy, AUC",
        "lfw_auc": "accuracy, AUC",
        "lfw_val_at_0.01": "VAL at a false-accept rate",
        "rate": None,
        "epoch": None,
    }
    curves_figure(tmp_path / "four.png", [epoch(1), epoch(2) | {"lfw_auc": None}, {"loss": 2.0}])
    curves_figure(tmp_path / "one.png", [{"loss": 2.0}, {"loss": 1.0}])
    assert len(pixels(tmp_path / "four.png")) == 2 * len(pixels(tmp_path / "one.png"))


def test_triple_sheet_lays_thirds_into_rows(tmp_path):
    reds, greens, blues = (np.stack([flat(color)] * 10) for color in ((250, 0, 0), (0, 250, 0), (0, 0, 250)))
    triple_sheet(tmp_path / "t.png", np.concatenate([reds, greens, blues]), [f"p/{i}.jpg" for i in range(30)])
    image = pixels(tmp_path / "t.png")
    third = image.shape[1] // 3
    for column, color in enumerate(((250, 0, 0), (0, 250, 0), (0, 0, 250))):
        part = image[:, column * third + 8 : (column + 1) * third - 8]
        assert has_color(part, color)
        assert not has_color(part, np.roll(color, 1))
    triple_sheet(tmp_path / "two.png", np.concatenate([reds[:2], greens[:2], blues[:2]]))
    assert len(pixels(tmp_path / "two.png")) < len(image) / 3  # eight rows at most against two


def test_no_figure_is_left_half_written(tmp_path):
    def unreadable(path):
        raise ValueError(path)

    with pytest.raises(ValueError, match=r"a\.jpg"):
        error_sheet(tmp_path / "errors.png", [("a.jpg", "b.jpg")], np.zeros(1), np.zeros(1, bool), 0.5, unreadable)
    assert list(tmp_path.iterdir()) == []


def test_pyplot_and_its_global_state_are_not_used():
    tree = ast.parse(Path(plots.__file__).read_text())
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported
    assert not any("pyplot" in name for name in imported)


def test_images_that_are_no_triples_are_drawn_in_rows_too(tmp_path):
    reds = np.stack([flat((250, 0, 0))] * 4)
    sheet(tmp_path / "four.png", reds, [f"p\udce9/{i}.jpg" for i in range(4)])
    image = pixels(tmp_path / "four.png")
    thirds = [image[:, start : start + image.shape[1] // 3] for start in (0, image.shape[1] * 2 // 3)]
    lower = [part[len(part) * 6 // 10 :] for part in thirds]
    assert has_color(lower[0], (250, 0, 0))
    assert not has_color(lower[1], (250, 0, 0))
