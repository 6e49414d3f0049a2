"""audit.py without an embedder: each kind is found and nothing else, the report, the CSV, the cleaned file."""

import csv
import hashlib
import html
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from audit import Settings, main
from datasets.drawn_faces import draw_face
from utils.annotations import read_annotations, write_annotations
from utils.cleaning import clean, write_cleaned
from utils.findings import KINDS, Finding, Findings
from utils.inspection import inspect
from utils.people_folder import PeopleFolder
from utils.settings import UserError, run_script

ODD = "<b>Bö & Søn's"


def save(path: Path, image: np.ndarray, *flags: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written, data = cv2.imencode(path.suffix, image[:, :, ::-1], flags)
    assert written
    path.write_bytes(data.tobytes())


def flat(image: np.ndarray, factor: float, more: float = 0.0) -> np.ndarray:
    return np.clip(image * factor + more, 0, 255).astype(np.uint8)


@pytest.fixture
def data(tmp_path: Path) -> Settings:
    """Six people with six faces each, and one case of every kind that needs no embedder and no detector."""
    people = tmp_path / "people"
    for person, name in enumerate(("ann", "bob", "cid", "dan", "eva", ODD)):
        for image in range(6):
            save(people / name / f"{image}.png", draw_face(person, image, 128, 0))
    (people / "ann" / "6_copy.png").write_bytes((people / "ann" / "0.png").read_bytes())
    save(people / "ann" / "7_same_pixels.webp", draw_face(0, 1, 128, 0), cv2.IMWRITE_WEBP_QUALITY, 101)
    smaller = cv2.resize(draw_face(0, 2, 128, 0), (100, 100), interpolation=cv2.INTER_AREA)
    save(people / "ann" / "8_near.jpg", flat(smaller, 0.9, 8), cv2.IMWRITE_JPEG_QUALITY, 60)
    (people / ODD / "6_of_bob.png").write_bytes((people / "bob" / "3.png").read_bytes())
    face = draw_face(30, 0, 128, 0)
    save(people / "eva" / "tiny.png", cv2.resize(face, (40, 60), interpolation=cv2.INTER_AREA))
    save(people / "eva" / "blurred.png", cv2.GaussianBlur(draw_face(31, 0, 128, 0), (0, 0), 9))
    save(people / "eva" / "dark.png", flat(draw_face(32, 0, 128, 0), 0.12))
    save(people / "eva" / "white.png", flat(draw_face(33, 0, 128, 0), 0.3, 200))
    save(people / "eva" / "grey.png", np.repeat(draw_face(34, 0, 128, 0)[..., 1:2], 3, axis=2))
    (people / "eva" / "cut.png").write_bytes((people / "bob" / "1.png").read_bytes()[:900])
    save(people / "fin" / "only.png", draw_face(35, 0, 128, 0))
    write_annotations(tmp_path / "cls_train.txt", people, PeopleFolder(people))
    return Settings(annotation_path=str(tmp_path / "cls_train.txt"), save_dir=str(tmp_path / "audit"))


def rows_of(settings: Settings) -> list[dict[str, str]]:
    with open(Path(settings.save_dir) / "findings.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_kind_is_found_and_nothing_else(data: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    main(data)
    found = {(row["kind"], Path(row["path"]).name): row for row in rows_of(data)}
    # a copy that lies under another label is two findings: no label is known to be the right one
    assert set(found) - {key for key in found if key[0] in ("blurred", "dark", "overexposed")} == {
        ("exact_duplicate", "6_copy.png"),
        ("exact_duplicate", "7_same_pixels.webp"),
        ("near_duplicate", "8_near.jpg"),
        ("two_labels", "6_of_bob.png"),
        ("two_labels", "3.png"),
        ("tiny", "tiny.png"),
        ("grey", "grey.png"),
        ("unreadable", "cut.png"),
        ("few_images", "only.png"),
    }
    for key in (("blurred", "blurred.png"), ("dark", "dark.png"), ("overexposed", "white.png")):
        assert key in found
    assert found["exact_duplicate", "6_copy.png"]["score"] == "1"
    assert found["exact_duplicate", "7_same_pixels.webp"]["score"] == "2"
    assert Path(found["near_duplicate", "8_near.jpg"]["other_path"]).name == "2.png"
    assert found["two_labels", "3.png"]["other_person"] == ODD
    assert "truncated" in found["unreadable", "cut.png"]["action"]
    lines = capsys.readouterr().out.splitlines()
    counts = Counter(kind for kind, _ in found)
    unasked = ("mislabelled", "same_person", "in_evaluation_set", "faceless")  # without an embedder, and by default
    for kind in KINDS:
        shown = "-" if kind in unasked else str(counts[kind])
        assert any(line.split()[:2] == [kind, shown] for line in lines), kind
    assert max(len(line) for line in lines if str(data.save_dir) not in line and "photos of" not in line) <= 80


def test_report_opens_from_disk_and_escapes_names(data: Settings) -> None:
    main(data)
    text = (Path(data.save_dir) / "report.html").read_text(encoding="utf-8")
    assert html.escape(ODD) in text
    assert ODD not in text
    assert text.count("data:image/jpeg;base64,") >= 10
    assert 'src="http' not in text
    assert "no image" in text  # the unreadable one
    assert '<tr><td class="number">-</td><td>No face found</td><td>with --faces yes</td></tr>' in text  # no 0
    for kind, (title, meaning, _) in KINDS.items():
        assert html.escape(title) in text
        assert (f'id="{kind}"' in text) == (html.escape(meaning) in text)


def test_report_is_bounded(data: Settings) -> None:
    main(replace(data, dark=256, top=3))
    text = (Path(data.save_dir) / "report.html").read_text(encoding="utf-8")
    assert text.count("<li") <= 3 * len(KINDS)
    assert "The 3 worst of" in text
    assert len([row for row in rows_of(data) if row["kind"] == "dark"]) > 30


def test_second_run_reads_nothing_again_but_what_changed(data: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    main(data)
    before = rows_of(data)
    read: list[str] = []
    original = inspect.__globals__["read_image"]
    monkeypatch.setitem(inspect.__globals__, "read_image", lambda path: read.append(Path(path).name) or original(path))
    main(data)
    assert read == ["cut.png"]  # what gave nothing is tried again
    assert rows_of(data) == before
    changed = Path(data.annotation_path).parent / "people" / "cid" / "0.png"
    save(changed, draw_face(50, 0, 100, 0))
    main(data)
    assert sorted(read[1:]) == ["0.png", "cut.png"]


def test_apply_writes_a_file_without_gaps_and_leaves_photos_alone(
    data: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def photos() -> dict[str, str]:
        files = (p for p in (tmp_path / "people").rglob("*") if p.is_file())
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    before, lines = photos(), Path(data.annotation_path).read_text(encoding="utf-8")
    (tmp_path / "people" / "alignment.json").write_text("{}")
    for clean_path in (tmp_path / "cls_clean.txt", tmp_path / "elsewhere" / "cls_clean.txt"):
        main(replace(data, apply=str(clean_path)))
        cleaned = read_annotations(clean_path)
        assert cleaned.people == [name for name in read_annotations(data.annotation_path).people if name != "fin"]
        names = [Path(cleaned.path(row)).name for row in range(len(cleaned))]
        assert {"6_copy.png", "6_of_bob.png", "cut.png", "only.png"}.isdisjoint(names)
        assert {"8_near.jpg", "dark.png", "grey.png"} <= set(names)  # not left out unless that is asked for
        assert all(Path(cleaned.path(row)).is_file() for row in range(len(cleaned)))
        whose = [Path(cleaned.path(row)).parent.name for row in range(len(cleaned))]
        assert whose == [cleaned.people[label] for label in cleaned.labels]
    printed = capsys.readouterr().out
    assert "exact_duplicate           2  photos left out" in printed
    assert "few_images                1  photos left out" in printed
    main(replace(data, apply=str(tmp_path / "b.txt"), apply_kinds="near-duplicate, dark"))
    rest = read_annotations(tmp_path / "b.txt")
    dark = sum(row["kind"] == "dark" for row in rows_of(data))
    assert len(rest) == len(read_annotations(data.annotation_path)) - 1 - dark
    assert {path: digest for path, digest in photos().items() if path in before} == before
    assert Path(data.annotation_path).read_text(encoding="utf-8") == lines


def test_likely_labels_are_merged_on_request_only(data: Settings, tmp_path: Path) -> None:
    annotations = read_annotations(data.annotation_path)
    with open(tmp_path / "f.csv", "w", encoding="utf-8") as file:
        findings = Findings(file, top=5)
    findings.same, findings.drops["dark"] = [(1, 2), (2, 4)], [0, 1]
    findings.drop_labels["in_evaluation_set"] = [3]
    labels, counts = clean(annotations, findings, ["dark"], 2)
    assert counts == {"dark": 2}
    assert (labels >= 0).sum() == len(annotations) - 2
    labels, counts = clean(annotations, findings, ["same_person", "in_evaluation_set", "few_images"], 2)
    people, photos = write_cleaned(tmp_path / "merged.txt", annotations, labels)
    of_label = np.bincount(annotations.labels)
    few = int((of_label < 2).sum())
    assert counts == {"in_evaluation_set": of_label[3], "same_person": 2, "few_images": few}
    assert people == annotations.number_of_people - 3 - few
    merged = read_annotations(tmp_path / "merged.txt")
    assert len(merged) == photos
    assert np.diff(merged.starts).max() == of_label[1] + of_label[2] + of_label[4]
    before = (tmp_path / "merged.txt").read_bytes()
    with pytest.raises(UserError, match="two or more are expected"):
        write_cleaned(tmp_path / "merged.txt", annotations, np.where(labels == 1, 1, -1))
    assert (tmp_path / "merged.txt").read_bytes() == before


def test_possible_findings_are_reported_but_never_applied(tmp_path: Path) -> None:
    with open(tmp_path / "f.csv", "w", encoding="utf-8") as file:
        findings = Findings(file, top=2)
        for row in range(9):
            certainty = "likely" if row < 4 else "possible"
            findings.add(Finding("mislabelled", (f"{row}",), "ann", row, "", certainty=certainty, worst=row, drop=row))
        findings.add(Finding("same_person", ("a",), "ann", 1, "", certainty="possible", labels=(0, 1)))
    assert findings.drops["mislabelled"] == [0, 1, 2, 3]
    assert findings.same == []
    assert [finding.score for finding in findings.worst("mislabelled")] == [8, 7]
    assert findings.counts["mislabelled"] == 9


def test_names_shared_with_an_evaluation_set(data: Settings, tmp_path: Path) -> None:
    save(tmp_path / "lfw" / "Ann" / "1.png", draw_face(70, 0, 64, 0))
    save(tmp_path / "lfw" / "Zoe" / "1.png", draw_face(71, 0, 64, 0))
    main(replace(data, against=str(tmp_path / "lfw"), apply=str(tmp_path / "c.txt")))
    (row,) = (row for row in rows_of(data) if row["kind"] == "in_evaluation_set")
    assert (row["person"], row["other_person"], row["score"]) == ("ann", "Ann", "")
    assert "ann" not in read_annotations(tmp_path / "c.txt").people


def test_a_picture_of_an_evaluation_set_is_found_under_another_name(
    data: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "lfw" / "Zoe" / "1.png", draw_face(2, 3, 128, 0))
    (tmp_path / "lfw" / "Zoe" / "2.png").write_bytes(b"no image")
    save(tmp_path / "lfw" / "Zoe" / "3.png", draw_face(2, 4, 128, 0))  # said once of a person
    main(replace(data, against=str(tmp_path / "lfw"), apply=str(tmp_path / "c.txt")))
    (row,) = (row for row in rows_of(data) if row["kind"] == "in_evaluation_set")
    assert (row["person"], row["other_person"], row["certainty"]) == ("cid", "Zoe", "likely")
    assert Path(row["path"]).name == "3.png"
    assert "1 of 3 photos of" in capsys.readouterr().out
    assert "cid" not in read_annotations(tmp_path / "c.txt").people


def test_a_copy_of_a_near_duplicate_is_an_exact_one(data: Settings, tmp_path: Path) -> None:
    ann = tmp_path / "people" / "ann"
    (ann / "9_copy_of_near.jpg").write_bytes((ann / "8_near.jpg").read_bytes())
    write_annotations(tmp_path / "cls_train.txt", tmp_path / "people", PeopleFolder(tmp_path / "people"))
    main(data)
    kinds = {Path(row["path"]).name: row["kind"] for row in rows_of(data) if "duplicate" in row["kind"]}
    assert kinds["8_near.jpg"] == "near_duplicate"
    assert kinds["9_copy_of_near.jpg"] == "exact_duplicate"


@pytest.mark.parametrize("place", ["cls_train.clean", "cls_train.people.txt", "people/ann/0.png"])
def test_what_is_there_is_not_overwritten(data: Settings, tmp_path: Path, place: str) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="over"):
        main(replace(data, apply=str(tmp_path / place)))
    assert {path: path.read_bytes() for path in before} == before
    assert not (tmp_path / "audit").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--apply_kinds", "grey"], "--apply_kinds is what --apply FILE leaves out; received no --apply"),
        (["--apply_kinds", "dark,mislabeled"], "unknown kind 'mislabeled' (did you mean 'mislabelled'?)"),
        (["--apply", "cls_train.txt"], "would overwrite the annotation"),
        (["--apply", "a/1.JPG"], "--apply a/1.JPG is a photo's name, and a text would be written there"),
        (["--model_path", "gone.keras"], "no file 'gone.keras'"),
        (["--against", "nowhere"], "cannot list 'nowhere'"),
        (["--against", "."], "--against . holds nobody as <person>/<photo>: "),
        (["--annotation_path", "gone.txt"], "cannot read gone.txt"),
        (["--min_images", "-1"], "--min_images is 0 or more; received -1"),
        (["--min_image", "1"], "unknown flag --min_image (did you mean '--min_images'?)"),
    ],
)
def test_wrong_flags_are_one_line_and_leave_nothing(
    arguments: list[str], expected: str, data: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run_script(main, Settings, arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert expected in error
    assert error.count("\n") == 1
    assert not Path("audit").exists()
