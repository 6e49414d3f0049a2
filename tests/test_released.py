"""The embedders that come with the project: files, cards and what is said of them agree."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from utils.files import sha256
from utils.runs import RELEASED

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "model_data").glob("*.keras"))
LARGEST = {"mobilenet": 20e6}  # bytes
LARGEST_OTHER = 60e6
NUMBERS = re.compile(r"\d\.\d{3}(?: \(\d\.\d{3} \.\. \d\.\d{3}\))?")


def card(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))


def lfw_row(text: str, start: str) -> list[str]:
    """Returns the figures of the table row that has `start` in its first cell."""
    rows = [line for line in text.splitlines() if line.startswith("|") and start in line]
    assert len(rows) == 1, start
    return NUMBERS.findall(rows[0])


def test_there_is_one_to_start_with_and_one_that_is_better() -> None:
    assert RELEASED in FILES
    assert [path.stem for path in FILES] == ["iresnet18", "mobilenet"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_small_and_its_card_belongs_to_it(path: Path) -> None:
    assert path.stat().st_size < LARGEST.get(path.stem, LARGEST_OTHER)
    found = card(path)
    assert found["sha256"] == found["thresholds"]["sha256"] == found["calibration"]["sha256"] == sha256(path)
    assert found["backbone"] == path.stem
    assert found["alignment"] == "landmarks-128-8"
    assert "lfw" not in found["thresholds"]["data"].lower()  # nothing is chosen on LFW
    settings = found["trained"]["settings"]
    assert not any(isinstance(value, str) and value.startswith("/") for value in settings.values())


def test_the_one_to_start_with_starts_without_keras() -> None:
    """The file that runs in its place was made of just these weights (`python export.py`)."""
    assert RELEASED.with_suffix(".onnx").stat().st_size < LARGEST["mobilenet"]
    made = json.loads(RELEASED.with_name("mobilenet.onnx.json").read_text(encoding="utf-8"))
    assert made["exported"]["from_sha256"] == sha256(RELEASED)
    assert made["exported"]["largest_difference"] < 1e-9
    assert made["sha256"] == sha256(RELEASED.with_suffix(".onnx"))
    card_of = card(RELEASED)
    assert made["thresholds"]["far_1e-3"] == card_of["thresholds"]["far_1e-3"]
    assert made["calibration"]["log_odds"] == card_of["calibration"]["log_odds"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_page_says_what_readme_says(path: Path) -> None:
    page = path.with_suffix(".md").read_text(encoding="utf-8")
    figures = lfw_row(page, "LFW, 6,000 pairs")
    assert len(figures) == 4
    for name in ("README.md", "README.zh-CN.md"):
        assert lfw_row((ROOT / name).read_text(encoding="utf-8"), f"`model_data/{path.stem}.md`") == figures
    for word in ("## Data", "## Recipe", "## Limits", "research and teaching only", "train.py", "seed 0"):
        assert word in page
    settings = card(path)["trained"]["settings"]
    for name in ("batch_size", "input_size", "crop", "teacher_contrast"):
        assert f"--{name} {settings[name]:g}" in page
