"""Groups at one threshold: planted differences are found, small groups are left alone, tables are read strictly."""

import json
from pathlib import Path

import numpy as np
import pytest

from utils.group_figures import as_json, check_far, common_threshold, group_figures, group_table, read_groups
from utils.identification_plots import groups_figure
from utils.settings import UserError

PEOPLE, PHOTOS = 160, 4


@pytest.fixture
def crowd() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, labels, groups: "steady" photos scatter less than "varied" ones, "alike" people are alike; "few"."""
    rng = np.random.default_rng(0)
    groups = np.repeat(["steady", "varied", "alike", "few"], (50, 50, 50, 10))
    centres = rng.normal(size=(PEOPLE, 16))
    centres[groups == "alike"] = centres[groups == "alike"] + 0.7 * rng.normal(size=16)
    spread = np.where(groups == "varied", 0.9, 0.3)
    labels = np.repeat(np.arange(PEOPLE), PHOTOS)
    vectors = centres[labels] + spread[labels, None] * rng.normal(size=(len(labels), 16))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels, groups


def test_each_group_is_counted_among_its_own(crowd: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    vectors, labels, groups = crowd
    threshold = common_threshold(vectors, labels, 0.05)
    distances = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2)
    others = labels[:, None] != labels[None]
    assert (distances[others] < threshold).mean() == pytest.approx(0.05, abs=1e-4)
    found = {row.name: row for row in group_figures(vectors, labels, groups, threshold)}
    for name in ("steady", "varied", "alike"):
        mine = groups[labels] == name
        pairs = mine[:, None] & mine[None]
        same = pairs & ~others & ~np.eye(len(labels), dtype=bool)
        assert found[name].val.value == pytest.approx((distances[same] < threshold).mean())
        assert found[name].val.low <= found[name].val.value <= found[name].val.high
        accepts = (distances[pairs & others] < threshold).sum() / 2
        if accepts >= 10:
            assert found[name].far.value == pytest.approx((distances[pairs & others] < threshold).mean())
        else:
            assert np.isnan(found[name].far.value)
    assert found["varied"].val.high < found["steady"].val.low
    assert found["alike"].far.low > 0.05
    assert (found["few"].people, found["few"].able, found["few"].photos) == (10, 10, 40)
    assert np.isnan(found["few"].val.value)


def test_no_error_among_few_people_leaves_room_for_one() -> None:
    """30 people with two photos and 100 with one, all far apart: 3 in 30, and 3 in 65 pairs that share nobody."""
    vectors = np.eye(130)[np.append(np.repeat(np.arange(30), 2), np.arange(30, 130))]
    labels = vectors.argmax(axis=1)
    (row,) = group_figures(vectors, labels, np.full(130, "all"), 1.0)
    assert row.val == pytest.approx((1.0, 0.9, 1.0))
    assert row.far.high == pytest.approx(3 / 65)
    assert np.isnan(row.far.value)  # same pairs that are accepted are no false accepts


def test_the_table_says_what_cannot_be_said(crowd: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    vectors, labels, groups = crowd
    groups[:2] = ""
    rows = group_figures(vectors, labels, groups, 0.6)
    lines = group_table("kind", rows)
    assert [line.split()[0] for line in lines] == ["kind", "alike", "few", "steady", "varied"]
    assert "too small to say: 10 people" in lines[2]
    assert max(map(len, lines)) <= 80
    assert rows[2].people == 48
    assert rows[2].val.value == 1.0  # nobody missed: that says no more than the rule of three
    assert rows[2].val.low == pytest.approx(1 - 3 / 48)
    assert "NaN" not in json.dumps([as_json(row) for row in rows])


def test_groups_come_from_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "people.csv"
    path.write_text("person,age,camera\nAnn,old,\nBob,young,b\nZoe,old,b\nDan,old\n", encoding="utf-8-sig")
    found = read_groups(path, ["Ann", "Bob", "Cid", "Dan"])
    assert {name: column.tolist() for name, column in found.items()} == {
        "age": ["old", "young", "", "old"],
        "camera": ["", "b", "", ""],
    }
    assert "1 of 4 names are of nobody who is measured, as 'Zoe'" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names nothing"),
        ("persn,age\nAnn,old\n", "did you mean 'persn'"),
        ("person\nAnn\n", "'person,group' is expected"),
        ("person,age\nAnn,old\nAnn,young\n", "'Ann' twice"),
        ("person,age\nann,old\n", "none of whom is measured"),
        ("person;age\nAnn;old\n", "names person;age, with commas between; 'person,group' is expected"),
        ("person,town\nAnn,Z\xfcrich\n", 'people.csv is not in UTF-8: .* "CSV UTF-8"'),
        ("town,person\nBonn\nUlm\n", "names '' twice"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "people.csv").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=message):
        read_groups(tmp_path / "people.csv", ["Ann", "Bob"])


def test_a_rate_finer_than_the_pairs_is_refused(crowd: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    with pytest.raises(UserError, match="do not show a false-accept rate of 1e-06"):
        common_threshold(crowd[0], crowd[1], 1e-6)
    pairs = PHOTOS**2 * PEOPLE * (PEOPLE - 1) // 2
    with pytest.raises(UserError, match="do not show"):
        common_threshold(crowd[0], crowd[1], 9.5 / pairs)
    assert common_threshold(crowd[0], crowd[1], 10.5 / pairs) > 0
    check_far(np.arange(2000), 1e-5)  # of 1,999,000 pairs the million that are drawn
    with pytest.raises(UserError, match="1,000,000 different pairs do not show a false-accept rate of 9e-06"):
        check_far(np.arange(2000), 9e-6)


def test_names_of_groups_are_drawn_as_they_are(
    crowd: tuple[np.ndarray, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    vectors, labels, groups = crowd
    named = np.where(groups == "few", "$20k_$", groups.astype("U9"))
    groups_figure(tmp_path / "groups.png", {"pay": group_figures(vectors, labels, named, 0.5)}, 1e-2)
    assert (tmp_path / "groups.png").stat().st_size > 3000


def test_one_person_and_people_of_one_photo_are_too_few() -> None:
    labels, groups = np.array([0, 0, 1, 2]), np.array(["alone", "ones", "ones"])
    rows = group_figures(np.eye(4), labels, groups, 1.0)
    assert [(row.name, row.people, row.able, row.photos) for row in rows] == [("alone", 1, 1, 2), ("ones", 2, 0, 2)]
    assert np.isnan([row.val.value for row in rows]).all()


def test_a_same_pair_counts_as_often_as_its_person_is_drawn() -> None:
    """Half of 40 people have two equal photos, half two that nothing joins: a share of 40 draws, as of a coin."""
    places = np.concatenate((np.repeat(np.arange(20), 2), np.arange(20, 60)))
    (row,) = group_figures(np.eye(60)[places], np.repeat(np.arange(40), 2), np.full(40, "all"), 1.0)
    assert row.val.value == 0.5
    assert row.val.high - row.val.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 40), rel=0.2)
