"""Wrong labels, people twice and leaks, found in made-up embeddings; each figure against a naive loop."""

import numpy as np
import pytest

from utils.audit_evaluation import same_names
from utils.audit_people import Cuts, _pairs, mislabelled, vectors_of
from utils.identities import Contrasts, Likeness, alike, contrasts, people_vectors, sums_by_label, unit
from utils.tails import BULK, bulk_quantiles, cut, fit_tail, share_of_wrong


def people_of(number: int, photos: int, scatter: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns unit embeddings (N,64), sorted labels (N,): around a common mean, photos +- 2 a person."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(photos - 2, photos + 3, number)
    labels = np.repeat(np.arange(number), counts)
    centres = unit(rng.standard_normal((number, 64)) + 1.0)
    return unit(centres[labels] + scatter * rng.standard_normal((len(labels), 64)) / 8), labels


def planted(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(labels), round(share * len(labels)), replace=False)
    wrong, people = labels.copy(), labels.max() + 1
    wrong[rows] = (labels[rows] + rng.integers(1, people, len(rows))) % people
    return wrong, np.isin(np.arange(len(labels)), rows)


def found_of(scatter: float, share: float, seed: int) -> tuple[float, float, int]:
    """Returns (recall, precision, how many) of what is likely mislabelled."""
    embeddings, labels = people_of(300, 9, scatter, seed)
    labels, wrong = planted(labels, share, seed)
    order = np.argsort(labels, kind="stable")
    found = contrasts(embeddings[order], labels[order], 300)
    rows, cuts = mislabelled(found, labels[order])
    likely = order[rows[found.score[rows] >= cuts.likely]]
    return wrong[likely].sum() / max(1, wrong.sum()), wrong[likely].mean() if len(likely) else 1.0, len(likely)


def test_contrasts_equal_a_naive_loop() -> None:
    embeddings, labels = people_of(7, 3, 0.8)
    labels = np.append(labels, 7)  # a person with one photo
    embeddings = np.concatenate([embeddings, -embeddings[:1]])
    found = contrasts(embeddings.astype(np.float16), labels, 8)
    for row in range(len(labels)):
        mates = [i for i in range(len(labels)) if labels[i] == labels[row] and i != row]
        others = {p: unit(embeddings[labels == p].sum(0)) for p in range(8) if p != labels[row]}
        nearest = {p: float(((embeddings[row] - centre) ** 2).sum()) for p, centre in others.items()}
        if not mates:
            assert np.isnan(found.score[row])
            continue
        own = ((embeddings[row] - unit(embeddings[mates].sum(0))) ** 2).sum()
        assert found.own[row] == pytest.approx(own, abs=0.01)
        assert found.other[row] == pytest.approx(min(nearest.values()), abs=0.01)
        assert nearest[int(found.nearest[row])] == pytest.approx(min(nearest.values()), abs=0.01)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, labels = people_of(40, 5, 1.0)
    whole, sums = contrasts(embeddings, labels, 40), sums_by_label(embeddings, labels, 40)
    pairs = alike(people_vectors(sums, np.bincount(labels)))
    monkeypatch.setattr("utils.identities.BLOCK_NUMBERS", 800)
    monkeypatch.setattr("utils.identities.ROWS", 7)
    assert np.allclose(sums_by_label(embeddings, labels, 40), sums, atol=1e-5)
    assert np.allclose(contrasts(embeddings, labels, 40).score, whole.score, atol=1e-5)
    again = alike(people_vectors(sums, np.bincount(labels)))
    assert set(zip(again.first, again.second, strict=True)) == set(zip(pairs.first, pairs.second, strict=True))


def test_of_many_photos_a_part_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, labels = people_of(200, 9, 0.9)
    labels, _ = planted(labels, 0.05, 0)
    order = np.argsort(labels, kind="stable")
    whole = contrasts(embeddings[order], labels[order], 200)
    monkeypatch.setattr("utils.identities.SAMPLE", 600)
    part = contrasts(embeddings[order], labels[order], 200)
    assert 0.5 < np.isfinite(part.score).mean() < 0.8
    rows, again = (set(mislabelled(found, labels[order])[0].tolist()) for found in (whole, part))
    assert len(rows & again) > 0.7 * len(rows | again)


@pytest.mark.parametrize("seed", range(3))
def test_planted_labels_are_found_by_a_good_embedder(seed: int) -> None:
    recall, precision, _ = found_of(0.8, 0.05, seed)
    assert recall > 0.8
    assert precision > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_a_weak_embedder_flags_less_rather_than_wrongly(seed: int) -> None:
    strong, weak = found_of(0.8, 0.05, seed), found_of(2.0, 0.05, seed)
    assert weak[0] < strong[0]
    assert weak[1] > 0.75
    assert found_of(9.0, 0.05, seed)[2] <= 5  # it tells nobody from anybody


def test_where_all_labels_are_right_next_to_none_is_flagged() -> None:
    assert max(found_of(scatter, 0.0, seed)[2] for scatter in (0.5, 1.0, 2.0) for seed in range(3)) <= 6


def test_of_two_photos_only_the_worse_is_flagged() -> None:
    score = np.array([0.9, 0.8, 0.9, 0.8, 0.1], np.float32)
    labels = np.array([0, 0, 1, 1, 1])
    found = Contrasts(score, np.zeros(5, np.float32), np.zeros(5, np.int32), np.ones(5, bool), score)
    cuts = Cuts.__new__(Cuts)
    cuts.possible = cuts.likely = 0.5
    rows, _ = mislabelled(found, labels, cuts)
    assert rows.tolist() == [0, 2, 3]


def test_few_photos_say_nothing() -> None:
    embeddings, labels = people_of(3, 4, 0.5)
    assert Cuts(contrasts(embeddings[:8], labels[:8], 3)).likely == float("inf")
    score, nobody = np.linspace(0, 1, 60, dtype=np.float32), np.zeros(0, np.float32)
    alone = Contrasts(score, 0 * score, np.zeros(60, np.int32), np.ones(60, bool), nobody)  # one person's, of many
    assert Cuts(alone).possible == float("inf")


def test_pairs_of_which_half_are_one_person_are_possible() -> None:
    score, at_random = np.linspace(0.9, 0.2, 200), np.random.default_rng(0).normal(0, 0.1, 100_000)
    found = Likeness(np.zeros(200, np.int64), np.arange(1, 201), score, at_random)
    certainty = [certainty for *_, certainty in _pairs(found, 100_000)]
    assert certainty == sorted(certainty)
    assert {"likely", "possible"} == set(certainty)


def test_one_person_under_two_labels_and_in_two_sets() -> None:
    embeddings, labels = people_of(400, 8, 0.7)
    twice = [3, 50, 51, 200, 399]
    other = labels.copy()
    for new, person in enumerate(twice):
        rows = np.flatnonzero(labels == person)
        other[rows[len(rows) // 2 :]] = 400 + new
    order = np.argsort(other, kind="stable")
    found = alike(vectors_of(embeddings[order], other[order], 405))
    pairs = {(first, second): certainty for first, second, _, certainty in _pairs(found, 405 * 404 / 2)}
    assert {(person, 400 + new) for new, person in enumerate(twice)} <= set(pairs)
    assert sum(certainty == "likely" for certainty in pairs.values()) <= len(twice) + 1
    assert len(pairs) <= 2 * len(twice) + 1

    rows = np.flatnonzero(np.isin(other, np.arange(400, 405)))
    strangers, names = people_of(60, 8, 0.7, seed=9)
    evaluation = np.concatenate([embeddings[rows], strangers])
    whose = np.concatenate([other[rows] - 400, names + 5])
    order = np.argsort(whose, kind="stable")
    inside = labels.copy()
    kept = ~np.isin(np.arange(len(labels)), rows)
    leak = alike(vectors_of(evaluation[order], whose[order], 65), vectors_of(embeddings[kept], inside[kept], 400))
    found_pairs = {(first, second) for first, second, *_ in _pairs(leak, 65 * 400)}
    assert set(enumerate(twice)) <= found_pairs
    assert len(found_pairs) <= 2 * len(twice)


def test_likeness_does_not_depend_on_the_number_of_photos() -> None:
    rng = np.random.default_rng(0)
    centres = unit(rng.standard_normal((300, 64)))
    means = []
    for number in (1, 2, 6, 30):
        labels = np.repeat(np.arange(300), 30)
        one, two = (unit(centres[labels] + rng.standard_normal((9000, 64)) / 8) for _ in range(2))
        few = np.tile(np.arange(30), 300) < number
        first, second = vectors_of(one, labels, 300), vectors_of(two[few], labels[few], 300)
        if number > 1:  # of single photos nothing tells how alike a person's are
            means.append(float(np.einsum("pd,pd->p", first, second).mean()))
    assert np.allclose(means, 1, atol=0.03)


def test_people_without_photos_are_nobody() -> None:
    embeddings, labels = people_of(10, 6, 0.5)
    kept = labels != 4
    vectors = vectors_of(embeddings[kept], labels[kept], 10)
    assert not vectors[4].any()
    found = alike(vectors)
    assert 4 not in set(found.first.tolist()) | set(found.second.tolist())
    assert len(found.first) == len({*zip(found.first.tolist(), found.second.tolist(), strict=True)})
    assert (found.first < found.second).all()
    assert (contrasts(embeddings[kept], labels[kept], 10).nearest != 4).all()


def test_names_are_compared_without_case_and_signs() -> None:
    assert same_names(["Ann_Lee", "bob", "", "É. Ö"], ["BOB", "ann lee", "x", "é_ö", "-"]) == [(0, 1), (1, 0), (3, 3)]


def test_tail_goes_through_its_quantiles_and_beyond() -> None:
    rng = np.random.default_rng(0)
    for draws, shape in ((rng.standard_normal(400_000), 1.3), (rng.exponential(size=400_000), 1.0)):
        tail = fit_tail(np.quantile(draws, BULK))
        assert tail.shape == pytest.approx(shape, abs=0.05)
        for level in BULK[1:]:
            assert tail.above(np.quantile(draws, level)) == pytest.approx(1 - level, rel=0.02)
        assert 0.8 < tail.above(np.quantile(draws, 0.999)) / 0.001 < 3  # rather too many than too few


def test_share_and_quantiles_of_a_mixture() -> None:
    rng = np.random.default_rng(0)
    right, wrong = rng.standard_normal(57_000), rng.normal(5, 1, 3_000)
    others = rng.normal(5, 1, 50_000)
    mixed = np.concatenate([right, wrong])
    assert share_of_wrong(mixed, others) == pytest.approx(0.05, abs=0.004)
    assert np.allclose(bulk_quantiles(mixed, others, 0.05), np.quantile(right, BULK), atol=0.03)
    assert share_of_wrong(others, others) == 0.5


def test_cut_keeps_its_promise() -> None:
    rng = np.random.default_rng(1)
    right, wrong = rng.standard_normal(50_000), rng.normal(3.5, 0.7, 1_000)
    tail = fit_tail(np.quantile(right, BULK))
    scores = np.concatenate([right, wrong])
    for precision in (0.5, 0.9):
        at = cut(scores, tail, len(right), precision)
        measured = (wrong >= at).sum() / (scores >= at).sum()
        assert precision - 0.02 < measured < precision + 0.15
    assert cut(right[:1000], tail, 1000, 0.99) == float("inf")


def test_a_wrong_label_scores_as_if_it_were_drawn() -> None:
    embeddings, labels = people_of(6, 5, 1.5)
    found = contrasts(embeddings, labels, 6)
    to_everybody = embeddings @ unit(sums_by_label(embeddings, labels, 6)).T
    nearer = 1 - np.fmin(found.own, found.other) / 2
    assert (found.other < found.own).any()
    for row, score in enumerate(found.as_wrong):
        strangers = np.delete(to_everybody[row], labels[row])
        assert np.abs(2 * (nearer[row] - strangers) - score).min() < 1e-5
    labels[labels > 2] += 1  # nobody has label 3
    assert 0 < len(contrasts(embeddings, labels, 7).as_wrong) < len(labels)


def test_nobody_is_near_to_no_photo_and_to_no_person() -> None:
    opposite = np.array([[1, 0], [1, 0], [-1, 0], [-1, 0]], np.float32)
    found = contrasts(opposite, np.array([0, 0, 2, 2]), 3)
    assert found.nearest.tolist() == [2, 2, 0, 0]
    assert found.other == pytest.approx(np.full(4, 4.0))
    pairs = alike(np.array([[1, 0], [0, 0], [-1, 0]], np.float32))
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([0], [2])
    single = contrasts(np.eye(3, dtype=np.float32), np.arange(3), 3)  # one photo each
    assert np.isnan(single.score).all()
    assert len(single.as_wrong) == 0


def test_likenesses_of_few_people() -> None:
    eye = np.eye(5, dtype=np.float32)
    pairs = alike(eye[:2])
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([0], [1])
    assert not alike(eye).at_random.any()  # a person and itself are no pair
    assert alike(eye, eye).at_random.any()  # but may be in two sets
    scattered = people_vectors(np.array([[0.1, 0.0]], np.float32), np.array([2]))  # two photos, nearly opposite
    assert np.isfinite(scattered).all()
