"""calibrate.py and eval_identify.py from folder to card and pictures, and what eval_lfw.py refuses: a fake embedder."""

import json
import shutil
import sys
import types
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import calibrate
import eval_identify
import eval_lfw
from utils.calibration import Calibration
from utils.cropping import Cropper
from utils.files import write_json
from utils.held_out import digest
from utils.images import read_image
from utils.labelled import read_labelled
from utils.settings import UserError, parse, run_script

PEOPLE, PHOTOS = 30, 5


class FakeEmbedder:
    """A person's vector is drawn from their folder's name, a photo's is scattered about it."""

    def __init__(self, path: Path):
        self.path, self.cropper = path, Cropper()
        self.card: dict[str, Any] = {"sha256": "a"} | json.loads(path.with_suffix(".json").read_text())

    @classmethod
    def load(cls, path: Path, input_size: int | None = None) -> "FakeEmbedder":
        return cls(Path(path))

    def crop_photos(self, choice: str, crops: Any = None) -> Cropper:
        return self.cropper

    def embed_files(self, paths: list[str], flip: str = "none", progress: str | None = None) -> np.ndarray:
        vectors = [self._drawn(Path(path).parent.name) + 0.5 * self._drawn(path) for path in paths]
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def _drawn(self, name: str) -> np.ndarray:
        return np.random.default_rng(zlib.crc32(name.encode())).normal(size=16)

    def read(self, path: str) -> np.ndarray:
        return read_image(path)

    def reread_card(self) -> None:
        pass

    def store_thresholds(self, thresholds: dict[str, Any]) -> None:
        write_json(self.path.with_suffix(".json"), self.card | {"thresholds": thresholds})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """people/<k>/<photo>.png, e.keras with its card; the working folder."""
    for person in range(PEOPLE):
        (tmp_path / "people" / f"p{person:02d}").mkdir(parents=True)
        for photo in range(PHOTOS):
            Image.new("RGB", (8, 8), (person, photo, 9)).save(tmp_path / "people" / f"p{person:02d}" / f"{photo}.png")
    (tmp_path / "e.keras").touch()
    write_json(tmp_path / "e.json", {"sha256": "a"})
    module = types.ModuleType("utils.embedder")
    module.Embedder = FakeEmbedder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "utils.embedder", module)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_calibrate_stores_what_was_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calibrate.main(calibrate.Settings(people="people", model_path="e.keras"))
    out = capsys.readouterr().out
    card = json.loads((folder / "e.json").read_text())
    calibration = Calibration.of_card(card)
    assert calibration
    assert (calibration.people, calibration.same_pairs) == (PEOPLE, PEOPLE * 10)
    assert calibration.about["data"] == "people"
    assert calibration.about["ece_interval"][0] <= calibration.about["ece"] <= calibration.about["ece_interval"][1]
    assert card["thresholds"]["far_1e-1" if "far_1e-1" in card["thresholds"] else "best_accuracy"]["val"] > 0.8
    best = card["thresholds"]["best_accuracy"]
    assert float(calibration.val(best["threshold"])) == pytest.approx(best["val"], abs=0.01)
    assert out.count("<- kept") == 1
    assert read_image(folder / "e_calibration" / "reliability.png").shape == (440, 1000, 3)
    assert max(map(len, out.splitlines())) <= 80
    before = (folder / "e.json").read_bytes()
    calibrate.main(calibrate.Settings(people="people", model_path="e.keras", method="platt", store=False))
    assert (folder / "e.json").read_bytes() == before
    assert "platt" in next(line for line in capsys.readouterr().out.splitlines() if "<- kept" in line)


def test_a_calibration_of_fewer_people_takes_no_ones_place_unasked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate.main(calibrate.Settings(people="people", model_path="e.keras"))
    before = (folder / "e.json").read_bytes()
    for person in range(PEOPLE // 2):
        shutil.copytree(folder / "people" / f"p{person:02d}", folder / "few" / f"p{person:02d}")
    few = ["--people", "few", "--model_path", "e.keras"]
    calibrate.main(parse(calibrate.Settings, few))
    assert f"the card's calibration of {PEOPLE} people" in " ".join(capsys.readouterr().out.split())
    assert (folder / "e.json").read_bytes() == before
    calibrate.main(parse(calibrate.Settings, [*few, "--store", "yes"]))
    stored = Calibration.of_card(json.loads((folder / "e.json").read_text()))
    assert stored
    assert stored.people == PEOPLE // 2


def test_one_folder_is_split_and_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calibrate.main(calibrate.Settings(people="people", model_path="e.keras"))
    capsys.readouterr()
    (folder / "groups.csv").write_text("person,half\n" + "".join(f"p{k:02d},{'ab'[k % 2]}\n" for k in range(PEOPLE)))
    options = {"people": "people", "model_path": "e.keras", "groups": "groups.csv", "far": 0.02, "bootstrap": 40}
    eval_identify.main(eval_identify.Settings(report="report.json", **options))
    out = capsys.readouterr().out
    report = json.loads((folder / "report.json").read_text())
    assert report["figures"]["rank_1"] > 0.9
    assert report["figures"]["dir_0.01"] is None  # 75 probes of strangers
    assert report["thresholds_of_the_card"]["0.1"]["fpir"] < 0.4
    assert [row["name"] for row in report["groups"]["half"]] == ["a", "b"]
    assert out.count("too small to say: 15 people with two photos") == 2
    for name in ("identification", "errors", "groups"):
        assert (folder / "e_identify" / f"{name}.png").stat().st_size > 3000
    assert max(map(len, out.splitlines())) <= 80


def test_gallery_and_probes_of_ones_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten people of twenty in the probes are enrolled; their photos lie in two folders of one name."""
    for person in range(20):
        name = f"p{person:02d}"
        (folder / "staff" / name).mkdir(parents=True)
        (folder / "people" / name / "0.png").rename(folder / "staff" / name / "0.png")
    for person in range(10, 20):
        (folder / "staff" / f"p{person}" / "0.png").unlink()
    settings = eval_identify.Settings(
        gallery="staff", probes="people", model_path="e.keras", bootstrap=0, templates="all"
    )
    eval_identify.main(settings)
    out = capsys.readouterr().out
    assert "10 people, 10 photos (all)" in out
    assert "40 of them, 90 of 20 strangers" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give --people"),
        (["--people", "people", "--probes", "people"], "give --people"),
        (["--people", "people", "--far", "2"], "between 0 and 1"),
        (["--people", "people", "--enrolled", "-1"], "--enrolled is 0 or more; received -1"),
        (["--people", "people", "--strangers", "-0.5"], "--strangers is a share, 0 to 1; received -0.5"),
        (["--people", "people", "--seed", "-1"], "--seed is 0 or more; received -1"),
        (["--people", "people", "--groups", "none.csv"], "cannot read the groups in none.csv"),
        (["--people", "people", "--strangers", "0"], "cannot be parted"),
        (["--gallery", "people", "--probes", "people"], "150 show people of the gallery"),
        (["--people", "e.keras"], "is not 'label;path'"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    folder: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "e.keras").write_text("no annotation\n")
    with pytest.raises(SystemExit):
        run_script(eval_identify.main, eval_identify.Settings, ["--model_path", "e.keras", *flags])
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_people_whom_the_embedder_was_trained_on_are_no_strangers(folder: Path) -> None:
    everybody = digest([f"p{person:02d}" for person in range(PEOPLE)])
    write_json(folder / "e.json", {"sha256": "a", "trained": {"everybody": everybody}})
    for person in range(5):
        (folder / "staff" / f"p{person:02d}").mkdir(parents=True)
        (folder / "people" / f"p{person:02d}" / "0.png").rename(folder / "staff" / f"p{person:02d}" / "0.png")
    measured = eval_identify.Settings(gallery="staff", probes="people", model_path="e.keras")
    with pytest.raises(UserError, match="trained on people of people"):
        eval_identify.main(measured)
    with pytest.raises(UserError, match="trained on people of people"):
        eval_lfw.main(eval_lfw.Settings(lfw_dir="people", random_pairs=100, model_path="e.keras"))


def test_a_rate_too_fine_for_the_photos_is_refused_before_they_are_embedded(folder: Path) -> None:
    (folder / "groups.csv").write_text("person,half\np00,a\np01,b\n")
    flags: dict[str, Any] = {"people": "people", "model_path": "e.keras", "groups": "groups.csv", "save_dir": "out"}
    with pytest.raises(UserError, match=r"10,875 different pairs do not show a false-accept rate of 0\.0005"):
        eval_identify.main(eval_identify.Settings(**flags, far=5e-4))
    assert not (folder / "out").exists()


def test_of_few_enrolled_rank_5_has_neither_figure_nor_interval(folder: Path) -> None:
    for person in list((folder / "people").iterdir())[8:]:
        shutil.rmtree(person)
    settings = eval_identify.Settings(people="people", model_path="e.keras", bootstrap=40, report="r.json")
    eval_identify.main(settings)
    report = json.loads((folder / "r.json").read_text())
    assert report["figures"]["rank_5"] is None
    assert "rank_5" not in report["intervals"]
    assert "rank_1" in report["intervals"]


def test_of_many_photos_each_enough_people_are_taken_to_calibrate(folder: Path) -> None:
    """100 photos would be of 20 people; with 60 more of each of the first they would be of fewer than ten."""
    people = read_labelled(str(folder / "people"))
    counts = np.full(PEOPLE, PHOTOS)
    many = people._replace(labels=np.repeat(np.arange(PEOPLE), 12 * counts), paths=people.paths * 12)
    assert len(many.at_most(100).people) < 10
    assert len(many.at_most(100, fewest=10).people) == 10


@pytest.mark.parametrize(("given", "message"), [({"photos": 50}, "photos is 100 or more"), ({"seed": -1}, "seed is 0")])
def test_calibrating_refuses(given: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=f"--{message}"):
        calibrate.main(calibrate.Settings(**given))


def test_too_few_people_are_refused_before_they_are_embedded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for person in list((folder / "people").iterdir())[9:]:
        shutil.rmtree(person)
    with pytest.raises(UserError, match="9 people: 10 at least are needed"):
        calibrate.main(calibrate.Settings(people="people", model_path="e.keras"))
    assert capsys.readouterr() == ("", "")
