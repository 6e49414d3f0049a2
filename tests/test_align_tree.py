"""Photos in folders of any depth, and names for their crops that never meet."""

import os
from pathlib import Path

import pytest

from utils.photo_tree import Photo, crop_stems, list_photos
from utils.settings import UserError


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def names(folder: Path, leave_out: Path) -> list[str]:
    return [photo.path for photo in list_photos(folder, leave_out)[0]]


def test_photos_at_any_depth_are_listed_in_order(tmp_path: Path) -> None:
    touched(tmp_path, "b/x/2.PNG", "b/1.jpg", "a.webp", "a/notes.txt", "a/.hidden.jpg", ".git/x.jpg", "crops/1.jpg")
    photos, skipped = list_photos(tmp_path, leave_out=tmp_path / "crops")
    assert [photo.path for photo in photos] == ["a.webp", "b/1.jpg", "b/x/2.PNG"]
    assert photos[1].bytes == len("b/1.jpg")
    assert photos[1].modified == os.stat(tmp_path / "b/1.jpg").st_mtime_ns
    numbers = {reason: number for reason, (number, _) in skipped.items()}
    assert numbers == {"hidden files and folders": 2, "files that are no images (by suffix)": 1, "the output": 1}
    assert skipped["files that are no images (by suffix)"][1] == "a/notes.txt"


def test_a_link_to_a_folder_ends_there_and_a_broken_one_is_a_photo_to_complain_of(tmp_path: Path) -> None:
    touched(tmp_path, "a/1.jpg")
    os.symlink(tmp_path, tmp_path / "a" / "upwards")
    os.symlink("nowhere.jpg", tmp_path / "a" / "2.jpg")
    os.symlink("itself.jpg", tmp_path / "a" / "itself.jpg")
    photos, skipped = list_photos(tmp_path, tmp_path / "crops")
    assert photos == [Photo("a/1.jpg", 7, photos[0].modified), Photo("a/2.jpg", 0, 0)]
    assert skipped == {
        "links that lead upwards": (1, "a/upwards"),
        "Too many levels of symbolic links": (1, "a/itself.jpg"),
    }


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    touched(tmp_path, "photos/a/1.jpg", "elsewhere/2.jpg", "elsewhere/deep/3.jpg")
    os.symlink("../elsewhere", tmp_path / "photos" / "b")
    os.symlink("../elsewhere/deep", tmp_path / "photos" / "c")
    os.symlink("a", tmp_path / "photos" / "0")  # before what it leads to
    os.symlink(tmp_path / "photos", tmp_path / "elsewhere" / "back")
    photos, skipped = list_photos(tmp_path / "photos", "")
    assert [photo.path for photo in photos] == ["a/1.jpg", "b/2.jpg", "b/deep/3.jpg"]
    assert skipped["links to folders that are there already"][0] == 3


def test_the_output_is_left_out_by_whatever_name(tmp_path: Path) -> None:
    touched(tmp_path / "real", "1.jpg", "crops/1.jpg")
    os.symlink("real", tmp_path / "photos")
    assert names(tmp_path / "photos", tmp_path / "real" / "crops") == ["1.jpg"]
    assert names(tmp_path / "photos", Path("")) == ["1.jpg", "crops/1.jpg"]


def test_a_name_with_a_newline_is_skipped(tmp_path: Path) -> None:
    touched(tmp_path, "a\nb.jpg", "c.jpg")
    assert names(tmp_path, tmp_path / "crops") == ["c.jpg"]


def test_a_folder_without_a_photo_is_refused(tmp_path: Path) -> None:
    touched(tmp_path, "a/notes.txt")
    with pytest.raises(UserError, match="no photo in"):
        list_photos(tmp_path, "")
    with pytest.raises(UserError, match=r"cannot list .*nowhere': .*; a folder of photos is expected"):
        list_photos(tmp_path / "nowhere", "")


def stems(*paths: str, taken: dict[str, str] | None = None) -> list[str]:
    return list(crop_stems([Photo(path, 1, 1) for path in paths], taken or {}).values())


def test_a_crop_has_its_photos_name() -> None:
    assert stems("ann/1.jpg", "ann/2.tar.png", "bob/1.png", "x") == ["ann/1", "ann/2.tar", "bob/1", "x"]


def test_where_two_would_be_one_both_keep_their_suffix() -> None:
    assert stems("a.jpg", "a.png", "b.jpg") == ["a.jpg", "a.png", "b"]
    assert stems("a.jpg", "A.png") == ["a.jpg", "A.png"]


@pytest.mark.parametrize(
    "paths",
    [
        ("a.jpg", "a.png", "a.jpg.png", "a.jpg.png.bmp"),
        ("a.jpg", "a.jpg.jpg", "a.jpg.jpg.jpg"),
        ("a.b.jpg", "a.b.png", "a.jpg", "a.b"),
    ],
)
def test_no_two_names_meet(paths: tuple[str, ...]) -> None:
    assert len(set(stems(*paths))) == len(paths)


def test_a_name_that_another_photos_crop_has_is_not_taken() -> None:
    assert stems("a.png", taken={"a": "a.jpg"}) == ["a.png"]
    assert stems("a.jpg", taken={"a": "a.jpg"}) == ["a"]


def test_a_crop_has_not_the_name_of_a_folder() -> None:
    """Crops are a.webp: where a folder is called that, a.jpg keeps its suffix, so that its crop is a.jpg.webp."""
    assert stems("a.jpg", "a.webp/1.jpg") == ["a.jpg", "a.webp/1"]
    assert stems("a.jpg", "A.webp/deep/1.jpg") == ["a.jpg", "A.webp/deep/1"]
    assert stems("a.png", taken={"A": "A.jpg"}) == ["a.png"]  # as some systems have it, a.webp is A.webp


def test_the_first_of_the_skipped_is_the_example(tmp_path: Path) -> None:
    touched(tmp_path, "1.jpg", "a.txt", "b.txt")
    assert list_photos(tmp_path, "")[1] == {"files that are no images (by suffix)": (2, "a.txt")}
