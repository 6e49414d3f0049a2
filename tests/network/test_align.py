"""align.py on drawn faces, from the folder of photos to the crops and their record."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

import align
from align import Settings, main
from datasets.drawn_faces import draw_face
from utils.alignment import Alignment, Face, similarity, template
from utils.images import Pixels, read_image
from utils.settings import UserError, run_script


@cache
def photo(person: int) -> bytes:
    """A drawn face, one of those that MTCNN takes for faces, in a grey photo of 240 x 200 pixels, as JPEG."""
    picture = np.full((200, 240, 3), 120, np.uint8)
    picture[20:180, 40:200] = draw_face(person, 0, 160, seed=0)
    return cv2.imencode(".jpg", picture[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, 95))[1].tobytes()


GREY = cv2.imencode(".png", np.full((90, 120, 3), 120, np.uint8))[1].tobytes()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Photos of two people, one without a face, one cut off; not run yet."""
    files = {
        "ann/1.jpg": photo(4),
        "ann/2.jpg": photo(10),
        "bob/deep/1.jpg": photo(13),
        "bob/wall.png": GREY,
        "bob/cut.jpg": photo(13)[:1500],
        "bob/notes.txt": b"no photo",
    }
    for name, data in files.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Settings(input=str(tmp_path / "photos"), output=str(tmp_path / "crops"), size=112)


def rows(settings: Settings) -> dict[str, dict[str, str]]:
    with open(Path(settings.output, "alignment.csv"), newline="", encoding="utf-8") as file:
        return {row["photo"]: row for row in csv.DictReader(file)}


def files(settings: Settings) -> dict[str, bytes]:
    folder = Path(settings.output)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def face_of(row: dict[str, str]) -> Face:
    points = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    landmarks = np.array([[float(row[f"{point}_{axis}"]) for axis in "xy"] for point in points])
    return Face(np.array([float(row[side]) for side in ("left", "top", "right", "bottom")]), landmarks, 1.0)


def difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_crops_have_the_photos_layout_and_the_record_says_how_they_came(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    main(settings)
    crops = {"ann/1.jpg", "ann/2.jpg", "bob/deep/1.jpg"}
    assert set(files(settings)) == crops | {"alignment.csv", "alignment.json"}
    found = rows(settings)
    assert list(found) == ["ann/1.jpg", "ann/2.jpg", "bob/cut.jpg", "bob/deep/1.jpg", "bob/wall.png"]
    assert {row["crop"] for row in found.values()} == crops | {""}
    assert found["bob/wall.png"]["problem"] == "no face found"
    assert "truncated" in found["bob/cut.jpg"]["problem"]
    for name in crops:
        row, alignment = found[name], Alignment("landmarks", 112, 0)
        face = face_of(row)
        move = similarity(face.landmarks, template(alignment))
        photo_there = cv2.warpAffine(
            read_image(Path(settings.input, name)), move, (112, 112), borderMode=cv2.BORDER_REPLICATE
        )
        assert difference(np.asarray(photo_there), read_image(Path(settings.output, name))) < 6
        assert float(row["scale"]) == pytest.approx(np.hypot(*move[:, 0]), abs=0.001)
        assert float(row["blur"]) > 0
        assert 0.8 <= float(row["confidence"]) <= 1
    card = json.loads(Path(settings.output, "alignment.json").read_text())
    assert (card["alignment"], card["input"]) == ("landmarks-112-0", "../photos")
    assert card["counts"]["photos"] == 5
    printed = capsys.readouterr().out
    for line in ("photos: 5", "crops: 3", "without a face: 1", "cannot be used: 1", "1 files that are no images"):
        assert line in printed
    assert max(map(len, printed.replace(settings.output, "").splitlines())) <= 80


def test_a_second_run_does_nothing_and_says_so(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(settings)
    before = files(settings)
    capsys.readouterr()
    monkeypatch.setattr(align, "align_all", lambda *_: pytest.fail("it began"))
    main(settings)
    printed = capsys.readouterr().out
    assert printed.startswith("nothing to do: all 5 photos")
    assert printed.count("\n") == 1
    assert files(settings) == before
    with pytest.raises(UserError, match=r"size|alignment landmarks-112-0, now landmarks-160-0.*--again"):
        main(replace(settings, size=160))
    assert files(settings) == before


def test_it_goes_on_where_it_stopped_and_does_what_changed(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    main(settings)
    whole = files(settings)
    record = Path(settings.output, "alignment.csv")
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(lines[:3]) + lines[3][:9])  # torn in the third photo's line
    Path(settings.output, "bob/deep/1.jpg").unlink()
    kept = os.stat(Path(settings.output, "ann/1.jpg")).st_mtime_ns
    main(settings)
    assert files(settings) == whole
    assert os.stat(Path(settings.output, "ann/1.jpg")).st_mtime_ns == kept
    Path(settings.input, "ann/1.jpg").write_bytes(photo(10))
    shutil.copy(Path(settings.input, "ann/2.jpg"), Path(settings.input, "ann/3.jpg"))
    main(settings)
    now = files(settings)
    assert now["ann/1.jpg"] == now["ann/2.jpg"] == now["ann/3.jpg"] == whole["ann/2.jpg"]
    assert len(rows(settings)) == 6
    Path(settings.input, "ann/3.jpg").unlink()
    capsys.readouterr()
    main(settings)
    assert capsys.readouterr().out.startswith(f"1 photos of before are gone from {settings.input}; their crops stay")


def test_a_killed_run_leaves_whole_crops_and_is_taken_up(settings: Settings, tmp_path: Path) -> None:
    for number in range(130):
        Path(settings.input, "ann", f"copy{number:03d}.jpg").write_bytes(photo((4, 10)[number % 2]))
    command = [sys.executable, "align.py", "--input", settings.input, "--output", settings.output, "--size", "112"]
    run = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    record = Path(settings.output, "alignment.csv")
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not (record.exists() and record.read_bytes().count(b"\n") > 1):
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    done = rows(settings)
    assert 0 < len(done) < 135
    for name, data in files(settings).items():
        assert not name.endswith(".jpg") or Path(name).name.startswith(".") or data.endswith(b"\xff\xd9")
    main(settings)
    assert len(rows(settings)) == 135
    assert {name: row["crop"] for name, row in rows(settings).items() if name in done} == {
        name: row["crop"] for name, row in done.items()
    }
    assert record.read_text().count("\n") == 136
    assert all(Path(settings.output, row["crop"]).is_file() for row in rows(settings).values() if row["crop"])


def test_all_faces_are_numbered_and_two_photos_of_one_name_keep_apart(settings: Settings, tmp_path: Path) -> None:
    pair = np.hstack([cv2.imdecode(np.frombuffer(photo(p), np.uint8), cv2.IMREAD_COLOR) for p in (4, 13)])
    Path(settings.input, "ann/2.png").write_bytes(cv2.imencode(".png", pair)[1].tobytes())
    everyone = replace(settings, faces="all", suffix=".png", output=str(tmp_path / "all"))
    main(everyone)
    crops = {name for name in files(everyone) if name.endswith(".png")}
    assert crops == {"ann/1_0.png", "ann/2.jpg_0.png", "ann/2.png_0.png", "ann/2.png_1.png", "bob/deep/1_0.png"}
    text = Path(everyone.output, "alignment.csv").read_text()
    assert text.count("\nann/2.png,") == 2
    assert ",2,," in text
    main(settings)
    crops = {name for name in files(settings) if name.endswith(".jpg")}
    assert crops == {"ann/1.jpg", "ann/2.jpg.jpg", "ann/2.png.jpg", "bob/deep/1.jpg"}
    assert rows(settings)["ann/2.png"]["faces"] == "2"


def test_workers_do_the_same_and_again_begins_anew(settings: Settings) -> None:
    main(settings)
    before = files(settings)
    stray = Path(settings.output, "stray.jpg")
    stray.write_bytes(b"the user's")
    main(replace(settings, workers=2, again=True))
    after = files(settings)
    assert after.pop("stray.jpg") == b"the user's"
    assert after.pop("alignment.csv").count(b"\n") == 6
    for name in ("ann/1.jpg", "ann/2.jpg", "bob/deep/1.jpg"):
        crops = [cv2.imdecode(np.frombuffer(found[name], np.uint8), cv2.IMREAD_COLOR) for found in (before, after)]
        assert difference(*crops) < 1  # sums in another order


def test_a_box_is_cut_with_its_margin(settings: Settings) -> None:
    main(replace(settings, mode="box", margin=12))
    assert json.loads(Path(settings.output, "alignment.json").read_text())["alignment"] == "box-112-12"
    row = rows(settings)["ann/1.jpg"]
    x1, y1, x2, y2 = face_of(row).box
    across, down = (x2 - x1) * 6 / 100, (y2 - y1) * 6 / 100
    cut = read_image(Path(settings.input, "ann/1.jpg"))[
        round(y1 - down) : round(y2 + down), round(x1 - across) : round(x2 + across)
    ]
    stretched = cv2.resize(cut, (112, 112), interpolation=cv2.INTER_LINEAR)
    assert difference(np.asarray(stretched), read_image(Path(settings.output, "ann/1.jpg"))) < 8


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"mode": "box", "context": 8.0}, "--context is not for --mode box"),
        ({"margin": 8.0}, "--margin is not for --mode landmarks"),
        ({"min_confidence": 1.5}, "0 to 1"),
        ({"min_face": 4}, "12"),
        ({"workers": -1}, "--workers"),
        ({"context": 56.0}, "no room"),
        ({"input": "nowhere"}, "cannot list"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(settings: Settings, changed: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        main(replace(settings, **changed))
    assert not Path(settings.output).exists()


def test_an_output_around_the_input_is_refused(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    for output in (settings.input, str(Path(settings.input).parent)):
        with pytest.raises(SystemExit) as stopped:
            run_script(main, Settings, ["--input", settings.input, "--output", output])
        assert stopped.value.code == 2
        assert "crops would mix with photos" in capsys.readouterr().err
