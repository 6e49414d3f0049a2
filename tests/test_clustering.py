"""Groups of made-up embeddings: neighbours against all products, average linkage against SciPy, later photos."""

import numpy as np
import pytest

from utils.cluster_scores import b_cubed
from utils.clustering import METHODS, assign, distances_to_groups, group, neighbours
from utils.grouping import NEW, Basis, continued, usual_rate
from utils.identities import unit
from utils.settings import UserError


def people_of(number: int, scatter: float, seed: int = 0, most: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """Returns unit embeddings (N,64) and labels (N,), 1 to `most` - 1 photos a person, in any order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(number), rng.integers(1, most, number)))
    return unit(rng.standard_normal((number, 64))[labels] + scatter * rng.standard_normal((len(labels), 64))), labels


def together(labels: np.ndarray) -> np.ndarray:
    """Returns (N,N): which photos share a group."""
    return (labels[:, None] == labels) & (labels[:, None] >= 0) | np.eye(len(labels), dtype=bool)


def test_neighbours_are_all_pairs_within_the_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = people_of(40, 0.8)
    distances = ((vectors[:, None] - vectors) ** 2).sum(2)
    first, second = np.nonzero(np.triu(distances <= 1.1, 1))
    for block in ((7, 19), (64, 64), (2048, 8192)):
        monkeypatch.setattr("utils.clustering.BLOCK", block)
        found = neighbours(vectors, 1.1, nearest=10_000)
        assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == {
            *zip(first.tolist(), second.tolist(), strict=True)
        }
        assert np.allclose(found.distance, distances[found.first, found.second], atol=1e-5)


def test_of_a_crowd_each_photo_keeps_its_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = people_of(2, 0.5, most=400)
    monkeypatch.setattr("utils.clustering.BLOCK", (8, 16))
    found = neighbours(vectors, 4.0, nearest=5)
    assert len(found.first) <= 5 * len(vectors)
    distances = ((vectors[:, None] - vectors) ** 2).sum(2)
    np.fill_diagonal(distances, np.inf)
    kept = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    for row, nearest in enumerate(np.argsort(distances, axis=1)[:, :5].tolist()):
        assert {(min(row, other), max(row, other)) for other in nearest} <= kept


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9, 1.2, 1.5])
def test_average_linkage_is_scipys(cut: float) -> None:
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    vectors, _ = people_of(60, 0.8)
    tree = hierarchy.linkage(vectors.astype(float), "average", metric="sqeuclidean")
    assert (together(group(vectors, cut)) == together(hierarchy.fcluster(tree, cut, "distance"))).all()


@pytest.mark.parametrize("method", METHODS)
def test_people_far_apart_are_found(method: str) -> None:
    vectors, people = people_of(80, 0.3)
    labels = group(vectors.astype(np.float16), 0.4, method)
    counts = np.bincount(people)[people]
    assert (together(labels) == together(people)).all()
    assert (labels[counts == 1] == -1).all()
    sizes = np.bincount(labels[labels >= 0])
    assert (np.diff(sizes) <= 0).all()
    assert (labels == group(vectors.astype(np.float16), 0.4, method)).all()


@pytest.mark.parametrize("method", METHODS)
def test_few_photos(method: str) -> None:
    one = np.eye(3, dtype=np.float32)
    assert group(one[:0], 0.5, method).tolist() == []
    assert group(one[:1], 0.5, method).tolist() == [-1]
    assert group(one, 0.5, method).tolist() == [-1, -1, -1]
    assert group(one[[0, 1, 0]], 0.5, method).tolist() == [0, -1, 0]
    assert group(one[[2, 0, 2, 0]], 0.5, method).tolist() == [0, 1, 0, 1]  # as large: the first photo's first
    assert group(one[[0] * 50], 0.0, method).tolist() == [0] * 50


def test_a_crowd_is_one_group_though_not_all_its_pairs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, people = people_of(3, 0.4, seed=3, most=900)
    monkeypatch.setattr("utils.clustering.NEAREST", 8)
    assert b_cubed(group(vectors, 0.7), people).f > 0.95


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(UserError, match="did you mean 'average'"):
        group(np.eye(3), 0.5, "averag")
    with pytest.raises(UserError, match="unknown method"):
        usual_rate("k-means", 5)


def test_a_new_photo_goes_to_the_nearest_group_by_mean_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.clustering.BLOCK", (5, 5))
    vectors, people = people_of(30, 0.9)
    new, _ = people_of(30, 0.9, seed=8)
    labels = np.where(people < 20, people * 3, -1)  # with gaps
    found = assign(new, vectors, labels, 1.7)
    for row in range(len(new)):
        means = {g: ((new[row] - vectors[labels == g]) ** 2).sum(1).mean() for g in set(labels.tolist()) - {-1}}
        nearest = min(means, key=lambda g: means[g])
        assert found[row] == (nearest if means[nearest] <= 1.7 else -1)
    assert -1 in found
    assert (found >= 0).any()
    assert assign(new, vectors[:0], labels[:0], 4).tolist() == [-1] * len(new)


def test_distances_to_groups_are_means_over_the_others() -> None:
    vectors, people = people_of(20, 0.8)
    labels = np.where(people > 15, -1, people)
    found = distances_to_groups(vectors, labels)
    for row in range(len(labels)):
        others = (labels == labels[row]) & (np.arange(len(labels)) != row)
        if labels[row] < 0:
            assert np.isnan(found[row])
        elif others.any():
            assert found[row] == pytest.approx(((vectors[row] - vectors[others]) ** 2).sum(1).mean(), abs=1e-5)
        else:
            assert found[row] == 0


def test_later_photos_move_nobody() -> None:
    vectors, people = people_of(80, 0.35)
    rng = np.random.default_rng(4)
    labels, arrived = np.full(len(people), NEW), np.zeros(len(people), bool)
    for share in (0.4, 0.7, 1.0):
        more = ~arrived & (rng.random(len(people)) < share) if share < 1 else ~arrived
        arrived |= more
        before = labels[arrived].copy()
        labels[arrived] = continued(vectors[arrived], labels[arrived], 0.5, "average")
        assert (labels[arrived][before >= 0] == before[before >= 0]).all()
        assert (together(labels[arrived]) == together(people[arrived])).all()
    again = continued(vectors, labels, 0.5, "average")
    assert (again == labels).all()


def test_the_cut_comes_from_the_card() -> None:
    thresholds = {"far_1e-3": {"threshold": 0.61}}
    assert Basis(None, thresholds, "none").cut(1e-3)[0] == 0.61
    assert "1 in 1,000 of strangers" in Basis(None, thresholds, "none").cut(1e-3)[1]
    with pytest.raises(UserError, match=r"thresholds, but none for a rate of 0\.0005: python calibrate"):
        Basis(None, thresholds, "none").cut(5e-4)
    with pytest.raises(UserError, match=r"none for a rate of 0\.0014"):
        Basis(None, thresholds, "none").cut(1 / 700)  # not that of 1e-3, which is one digit of it
    with pytest.raises(UserError, match="neither calibration nor thresholds"):
        Basis(None, {}, "none").cut(1e-3)
    assert usual_rate("average", 10) == usual_rate("average", 100_000) == 1e-3
    assert usual_rate("chinese_whispers", 1000) == pytest.approx(5e-4)


def test_the_calibration_has_the_word_before_thresholds() -> None:
    from utils.calibration import Calibration

    rng = np.random.default_rng(0)
    distances = np.concatenate([rng.normal(0.6, 0.1, 2000), rng.normal(1.9, 0.2, 20_000)])
    calibration = Calibration.fit(distances, np.arange(22_000) < 2000, people=40)
    cut, words = Basis(calibration, {"far_1e-3": {"threshold": 3.0}}, "none").cut(1e-3)
    assert cut == pytest.approx(np.quantile(distances[2000:], 1e-3), abs=0.02)
    assert "calibration" in words
    assert "extrapolated" in Basis(calibration, {}, "none").cut(1e-6)[1]


def test_whispers_weigh_by_likeness() -> None:
    """Between two pairs a photo follows the nearer one, whichever comes first."""
    at = np.radians((75, 75, 30, 0, 0))
    assert group(np.column_stack((np.cos(at), np.sin(at))), 0.7, "chinese_whispers").tolist() == [1, 1, 0, 0, 0]
