"""What the tabs of the page do, without a browser: limits, what is kept, what is said, and who may reach it."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from app import Settings, check, is_own
from datasets.drawn_faces import draw_people
from tests.network.small_embedder import save_small_embedder
from utils.embedder import Embedder
from utils.gallery import Gallery
from utils.page import Desk, Limits
from utils.page_layout import FOLDERS, upload_folder
from utils.settings import UserError


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    draw_people(folder, people=4, images=4, size=64, seed=0)
    return folder


@pytest.fixture
def desk(people: Path, tmp_path: Path) -> Desk:
    embedder = Embedder.load(save_small_embedder(people, tmp_path / "m.keras"))
    return Desk(embedder, tmp_path / "gallery.db", Limits(megabytes=1, megapixels=1, photos=16))


@pytest.fixture
def photos(people: Path) -> list[str]:
    return [str(path) for path in sorted(people.glob("*/*.jpg"))]


def test_two_photos_are_compared(desk, photos):
    picture, text, distance = desk.compare(photos[0], photos[0])
    assert picture.ndim == 3
    assert picture.std() > 10
    assert distance == pytest.approx(0, abs=1e-6)
    assert text.startswith("distance 0.00 (cosine 1.00): the same person")
    apart = desk.compare(photos[0], photos[5])[2]
    assert "two people" in desk.rates(apart - 0.01, apart)
    assert "one person" in desk.rates(apart + 0.01, apart)


def test_the_threshold_says_what_it_lets_through(desk):
    far, val = float(desk.calibration.far(1.2)), float(desk.calibration.val(1.2))
    assert desk.rates(1.2) == f"FAR: 1 in {round(1 / far):,} pairs of strangers are nearer than 1.200" + (
        f"\nVAL: {val:.1%} of pairs of one person are nearer"
    )
    assert desk.usual_threshold == pytest.approx(desk.calibration.distance_at(1e-3), abs=0.001)
    assert "(extrapolated)" in desk.rates(0.1)
    assert desk.usual_threshold < desk.widest <= 4
    desk.calibration = None
    assert "not known" in desk.rates(0.5)


def test_people_are_enrolled_named_and_erased(desk, photos):
    with pytest.raises(UserError, match=r"nobody is enrolled in .* yet"):
        desk.who(photos[0], 0.01)
    assert desk.people() == []
    assert not desk.gallery.exists()  # asking makes none
    for number, name in enumerate(("Ann", "Bo", "Cy")):
        desk.enrol(name, photos[4 * number : 4 * number + 3])
    assert desk.people() == [("Ann", 3), ("Bo", 3), ("Cy", 3)]
    desk.enrol("Ann", photos[:1])
    assert desk.people()[0] == ("Ann", 3)  # the same photo is one row
    picture, text = desk.who(photos[4], 0.1)
    assert picture.std() > 10
    assert re.match(rf"{Path(photos[4]).name}.*Bo", text)
    assert str(Path(photos[4]).parent) not in text
    assert "3 photos; nothing of them is left" in desk.erase("Ann")
    assert [name for name, _ in desk.people()] == ["Bo", "Cy"]
    content = desk.gallery.read_bytes()
    assert b"Ann" not in content
    assert b"Bo" in content


def test_what_the_gallery_keeps_of_a_photo_is_no_path_and_no_picture(desk, photos):
    desk.enrol("Ann", photos[:1])
    with Gallery.open(desk.gallery) as gallery:
        (row,) = gallery.photos()
    assert re.fullmatch(r"page/[0-9a-f]{16}/[^/]+\.jpg", row.source)


def test_a_pile_is_grouped(desk, photos):
    same = photos[:1] * 3 + photos[6:7] * 2
    faces, text = desk.group(same)
    assert [caption for _, caption in faces] == ["person 1"] * 3 + ["person 2"] * 2
    assert text.startswith("2 people with two photos or more; 0 faces alone")
    assert all(picture.shape == (128, 128, 3) for picture, _ in faces)


def test_limits_are_said(desk, photos, tmp_path):
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((1001, 1000, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "wide.bmp"), np.zeros((1001, 1000), np.uint8))
    (tmp_path / "big.jpg").write_bytes(Path(photos[0]).read_bytes() + bytes(1_000_001))
    (tmp_path / "text.jpg").write_text("not a photo")
    cases = {"wide.png": "1000 x 1001 pixels; at most 1 megapixels", "big.jpg": "more than 1 MB"}
    cases |= {"wide.bmp": "more than 1 MB|1000 x 1001", "text.jpg": "text.jpg"}
    for name, line in cases.items():
        for act in (lambda path: desk.compare(photos[0], path), lambda path: desk.who(path, 0.01)):
            with pytest.raises(UserError, match=line) as raised:
                act(str(tmp_path / name))
            assert str(tmp_path) not in str(raised.value)
        with pytest.raises(UserError, match=line):
            desk.group([*photos[:2], str(tmp_path / name)])
        with pytest.raises(UserError, match=line):
            desk.enrol("Ann", [str(tmp_path / name)])
    with pytest.raises(UserError, match="at most 16 at once"):
        desk.group(photos * 2)
    assert desk.people() == []


def test_what_is_missing_is_said(desk, photos):
    for act, line in (
        (lambda: desk.compare(photos[0], None), "two photos are compared; received 1"),
        (lambda: desk.who(None, 0.01), "no photo yet"),
        (lambda: desk.enrol("  ", photos[:1]), "a name and a photo"),
        (lambda: desk.enrol("Ann", []), "a name and a photo"),
        (lambda: desk.erase(None), "choose whom"),
        (lambda: desk.group([]), "no photo yet"),
    ):
        with pytest.raises(UserError, match=line):
            act()


def test_a_gallery_of_another_embedder_is_refused(desk, photos):
    desk.enrol("Ann", photos[:1])
    desk.embedder.card = desk.embedder.card | {"sha256": "another"}
    other = Desk(desk.embedder, desk.gallery)
    with pytest.raises(UserError, match="belongs to another embedder"):
        other.who(photos[0], 0.01)


def test_other_machines_are_let_in_with_a_password_only(tmp_path):
    assert [is_own(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert not any(map(is_own, ("0.0.0.0", "::", "192.168.0.7", "my.host")))
    assert check(Settings()) == ""
    open_to_all = Settings(host="0.0.0.0")
    with pytest.raises(UserError, match="give a --password_file too"):
        check(open_to_all)
    secret = tmp_path / "password"
    with pytest.raises(UserError, match="cannot read --password_file"):
        check(replace(open_to_all, password_file=str(secret)))
    secret.write_text("short\n")
    with pytest.raises(UserError, match="shorter than 10"):
        check(replace(open_to_all, password_file=str(secret)))
    secret.write_text("long enough, this\nnot this\n")
    assert check(replace(open_to_all, password_file=str(secret))) == "long enough, this"


def test_the_folder_of_uploads_goes_and_so_does_that_of_a_killed_page(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    for name in (f"{FOLDERS}{ended.pid}-x", f"{FOLDERS}1-x"):
        (tmp_path / name).mkdir()
    with upload_folder() as folder:
        (folder / "photo.jpg").write_text("")
        assert folder.stat().st_mode & 0o077 == 0
        assert {path.name for path in tmp_path.iterdir()} == {folder.name, f"{FOLDERS}1-x"}
    assert [path.name for path in tmp_path.iterdir()] == [f"{FOLDERS}1-x"]  # process 1 still runs


def test_without_gradio_it_is_said(people, tmp_path):
    model = save_small_embedder(people, tmp_path / "m.keras")
    code = "import sys; sys.modules['gradio'] = None; import app; app.run_script(app.main, app.Settings)"
    done = subprocess.run(
        [sys.executable, "-c", code, "--model_path", str(model)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert done.stderr.strip().endswith("pip install gradio")


def test_a_photo_stays_with_whom_it_was_enrolled_first(desk, photos):
    desk.enrol("Ann", photos[:2])
    assert desk.enrol("Bo", [photos[1], photos[4]]).splitlines() == [
        f"Bo: 1 photos enrolled in {desk.gallery}",
        f"{Path(photos[1]).name}: enrolled as somebody else, and stays so",
    ]
    assert desk.enrol("Cy", photos[:1]).startswith("Cy: 0 photos enrolled")
    assert desk.people() == [("Ann", 2), ("Bo", 1)]
