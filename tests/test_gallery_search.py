"""Exact search against a sort of all distances; templates and their correction against plain loops."""

import numpy as np
import pytest

from tests.stores import vectors
from utils import gallery_search
from utils.gallery_search import NeighbourLists, nearest
from utils.identities import unit
from utils.metrics import squared_distances
from utils.settings import UserError
from utils.templates import as_between_photos, templates


@pytest.mark.parametrize("queries", [1, 3, 130])
@pytest.mark.parametrize("k", [1, 5, 5000])
def test_nearest_is_a_sort_of_all_distances(monkeypatch: pytest.MonkeyPatch, queries: int, k: int) -> None:
    monkeypatch.setattr(gallery_search, "BLOCK", 1 << 16)  # so that there are several blocks
    made, asked = vectors(3000, 1), vectors(queries, 2)
    made[[7, 2500]] = made[1]  # equal ones: the first is first
    asked[0] = made[1]
    rows, distances = nearest(asked, made, k)
    every = np.stack([squared_distances(made, np.broadcast_to(query, made.shape)) for query in asked])
    order = np.argsort(every, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_allclose(distances, np.take_along_axis(every, order, axis=1), rtol=0, atol=1e-12)


def test_nearest_sees_differences_that_float32_does_not() -> None:
    """Two vectors whose products with the query are one float32: the distances decide."""
    query = np.float32([[1, 0, 0]])
    near, far = np.float32([1, 1e-5, 0]), np.float32([1, 3e-5, 0])  # squared distances 1e-10 and 9e-10
    rows, distances = nearest(query, np.stack([far, near]), 2)
    assert rows.tolist() == [[1, 0]]
    np.testing.assert_allclose(distances, [[1e-10, 9e-10]], rtol=1e-5)
    assert nearest(query, np.stack([far, near]), 1)[0].tolist() == [[1]]  # more are compared than asked for


def test_half_precision_and_nothing() -> None:
    made = vectors(50).astype(np.float16)
    assert nearest(made[3:4], made, 1)[0].tolist() == [[3]]
    assert nearest(vectors(2), np.empty((0, 16), np.float32), 3)[0].shape == (2, 0)
    assert nearest(np.empty((0, 16)), made, 3)[1].shape == (0, 3)


def test_faiss_finds_nearly_what_exact_search_finds() -> None:
    pytest.importorskip("faiss")
    people = vectors(300, 3, 32)
    photos = unit(np.repeat(people, 20, axis=0) + 0.5 * vectors(6000, 4, 32))
    lists = NeighbourLists(photos)
    asked = unit(people + 0.5 * vectors(300, 5, 32))
    rows, distances = lists.nearest(asked, 3)
    exact_rows, exact = nearest(asked, photos, 3)
    assert np.mean(rows[:, 0] == exact_rows[:, 0]) > 0.95
    same = rows == exact_rows
    np.testing.assert_allclose(distances[same], exact[same], atol=1e-12)


def test_faiss_looks_into_many_lists_and_compares_its_finds_exactly() -> None:
    """Photos without groups, whose neighbours lie in any list; and five near each that one byte a number mixes up."""
    pytest.importorskip("faiss")
    alone, asked = vectors(4000, 4, 32), vectors(300, 5, 32)
    assert np.mean(NeighbourLists(alone).nearest(asked)[0] == nearest(asked, alone)[0]) > 0.8
    alike = unit(np.repeat(alone[:800], 5, axis=0) + 0.002 * vectors(4000, 6, 32))
    asked = unit(alone[:300] + 0.1 * asked)
    assert np.mean(NeighbourLists(alike).nearest(asked)[0] == nearest(asked, alike)[0]) > 0.95


def test_faiss_that_finds_too_few_names_nobody_twice_before_the_others() -> None:
    """Of 40 lists with ten vectors each one is looked through: what is missing is as far as can be, and comes last."""
    pytest.importorskip("faiss")
    made = vectors(400, 5)
    lists = NeighbourLists(made, 40)
    lists._index.nprobe = 1
    rows, distances = lists.nearest(made[100:120], 50)
    for line, far, own in zip(rows, distances, range(100, 120), strict=True):
        found = line[far < 4.0].tolist()
        assert found[0] == own
        assert len(found) == len(set(found)) < 50


def test_faiss_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(UserError, match="pip install faiss-cpu"):
        NeighbourLists(vectors(5))


def test_templates_are_what_a_loop_makes() -> None:
    photos, people = vectors(60), np.random.default_rng(0).integers(3, 9, 60)
    weights = np.random.default_rng(1).random(60)
    weights[people == 5] = 0  # nothing but bad photos: all count alike
    names = {number: f"p{number}" for number in range(3, 9)}
    for how in ("mean", "quality"):
        made = templates(names, people, photos, weights, how)
        assert made.names == [f"p{number}" for number in range(3, 9)]
        for row, number in enumerate(range(3, 9)):
            counted = (
                weights[people == number] if how == "quality" and number != 5 else np.ones((people == number).sum())
            )
            mean = np.average(photos[people == number], axis=0, weights=counted)
            np.testing.assert_allclose(made.vectors[row], mean / np.linalg.norm(mean), atol=1e-6)
            np.testing.assert_allclose(made.lengths[row], np.linalg.norm(mean), atol=1e-6)
    every = templates(names, people, photos, weights, "all")
    assert sorted(zip(every.names, every.vectors.tolist(), strict=True)) == sorted(
        zip([names[number] for number in people.tolist()], photos.tolist(), strict=True)
    )
    assert (every.lengths == 1).all()


@pytest.mark.parametrize("how", ["mean", "quality", "all"])
def test_templates_of_nobody_and_of_one(how: str) -> None:
    nobody = templates({}, np.empty(0, int), np.empty((0, 16), np.float32), np.empty(0), how)
    assert nobody.names == []
    assert nobody.vectors.shape == (0, 16)
    one = templates({4: "ann"}, np.array([4]), vectors(1), np.array([0.2]), how)
    np.testing.assert_allclose(one.vectors, vectors(1), atol=1e-6)
    np.testing.assert_allclose(one.lengths, 1, atol=1e-6)


def test_unknown_kind_of_template() -> None:
    with pytest.raises(UserError, match="did you mean 'mean'"):
        templates({}, np.empty(0, int), np.empty((0, 16), np.float32), np.empty(0), "men")


def test_strangers_are_as_near_to_a_corrected_mean_as_to_a_photo() -> None:
    """Photos are a common part, a person's part and noise: means come nearer to everybody, and are corrected for it."""
    rng = np.random.default_rng(0)
    size, people, photos = 64, 400, 5
    common = np.zeros(size)
    common[0] = 2.0
    own = rng.standard_normal((people, 1, size)) / 8
    shots = unit(common + own + rng.standard_normal((people, photos, size)) / 12)
    strangers = unit(common + rng.standard_normal((200, size)) / 8 + rng.standard_normal((200, size)) / 12)
    numbers = np.repeat(np.arange(people), photos)
    names = {number: str(number) for number in range(people)}
    made = templates(names, numbers, shots.reshape(-1, size), np.ones(len(numbers)))
    to_photo = (2 - 2 * strangers @ shots[:, 0].T).ravel()
    to_mean = 2 - 2 * strangers @ made.vectors.T
    corrected = as_between_photos(to_mean, np.broadcast_to(made.lengths, to_mean.shape), float(np.median(to_photo)))
    for rate in (0.01, 0.1, 0.5):
        threshold = np.quantile(to_photo, rate)
        assert np.mean(to_mean <= threshold) > 1.3 * rate
        assert np.mean(corrected <= threshold) == pytest.approx(rate, rel=0.15)
    alone = np.linspace(0, 4, 9)
    np.testing.assert_allclose(as_between_photos(alone, np.ones(9), 1.1), alone, atol=1e-12)
    np.testing.assert_allclose(as_between_photos(np.zeros(1), np.full(1, 0.1), 0.3), 4.0)  # photos of nobody in common
    beyond, right = (as_between_photos(alone, np.full(9, 0.5), strangers) for strangers in (2.2, 2.0))
    np.testing.assert_allclose(beyond, right)  # farther than at a right angle nothing is shared, and not less
