"""Identification's figures: against loops over all probes and people."""

import numpy as np
import pytest

from utils.open_set import Searches, cmc, dir_at, figures, fpir_at, intervals, search, split, threshold_at
from utils.settings import UserError


def crowd(people: int = 40, photos: int = 5, spread: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(people, 6)), photos, axis=0) + spread * rng.normal(size=(people * photos, 6))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.repeat(np.arange(people), photos)


@pytest.fixture
def found() -> Searches:
    """30 people enrolled with two photos each; their other three and all of ten strangers are probes."""
    vectors, labels = crowd()
    parted = split(labels, 0.25, 2)
    assert len(parted.strangers) == 10
    enrolled, whose = np.unique(labels[parted.gallery], return_inverse=True)
    person = np.searchsorted(enrolled, labels[parted.probes])
    person[np.isin(labels[parted.probes], parted.strangers)] = -1
    return search(vectors[parted.probes], person, vectors[parted.gallery], whose)


def test_who_is_nearest_is_told_by_corrected_distances() -> None:
    vectors, labels = crowd(12, 4, 1.0)
    enrolled = np.arange(len(labels)) % 4 < 2
    longer = np.linspace(1.0, 0.5, np.count_nonzero(enrolled))
    got = search(vectors[~enrolled], labels[~enrolled], vectors[enrolled], labels[enrolled], lambda d: d * longer)
    plain = ((vectors[~enrolled][:, None] - vectors[enrolled]) ** 2).sum(-1) * longer
    by_person = plain.reshape(len(plain), 12, 2).min(-1)
    assert got.nearest.tolist() == by_person.argmin(1).tolist()
    own = by_person[np.arange(len(plain)), labels[~enrolled]]
    np.testing.assert_allclose(got.own, own, atol=1e-6)
    assert got.rank.tolist() == [1 + int((line < at).sum()) for line, at in zip(by_person, own, strict=True)]
    unchanged = search(vectors[~enrolled], labels[~enrolled], vectors[enrolled], labels[enrolled])
    assert unchanged.nearest.tolist() != got.nearest.tolist()


def test_the_split_parts_people_and_photos() -> None:
    labels = np.repeat(np.arange(6), (1, 2, 3, 4, 5, 9))
    order = np.random.default_rng(1).permutation(len(labels))
    parted = split(labels[order], 0.4, 0)
    who = labels[order]
    assert np.sort(np.concatenate((parted.gallery, parted.probes))).tolist() == list(range(len(labels)))
    assert 0 in parted.strangers  # one photo: nothing would be left to probe with
    assert len(parted.strangers) == 3
    assert not set(who[parted.gallery]) & set(parted.strangers)
    for person in set(range(6)) - set(parted.strangers.tolist()):
        assert (who[parted.gallery] == person).sum() == (who == person).sum() // 2
    with pytest.raises(UserError, match="cannot be parted"):
        split(np.repeat(np.arange(5), 3), 0.0, 0)
    with pytest.raises(UserError, match="cannot be parted"):
        split(np.arange(5), 0.5, 0)


def test_searches_are_those_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.open_set.BLOCK", 100)  # several blocks
    vectors, labels = crowd(12, 4, 1.0)
    enrolled = (labels < 8) & (np.arange(len(labels)) % 4 < 2)
    probes, person = vectors[~enrolled], np.where(labels < 8, labels, -1)[~enrolled]
    got = search(probes, person, vectors[enrolled], labels[enrolled])
    for probe, vector in enumerate(probes):
        to = [min(((vector - v) ** 2).sum() for v in vectors[enrolled & (labels == p)]) for p in range(8)]
        assert got.nearest[probe] == int(np.argmin(to))
        assert got.distance[probe] == pytest.approx(min(to), abs=1e-6)
        if person[probe] >= 0:
            assert got.rank[probe] == 1 + sum(d < to[person[probe]] for d in to)
            assert got.own[probe] == pytest.approx(to[person[probe]], abs=1e-6)
        else:
            assert (got.rank[probe], np.isnan(got.own[probe])) == (0, True)
    assert len(set(got.rank.tolist())) > 3


def test_figures_are_counted(found: Searches) -> None:
    known = [(r, d) for p, r, d in zip(found.person, found.rank, found.distance, strict=True) if p >= 0]
    strangers = sorted(d for p, d in zip(found.person, found.distance, strict=True) if p < 0)
    assert (len(known), len(strangers)) == (90, 50)
    curve = cmc(found)
    for k in (1, 2, 5, 20):
        assert curve[k - 1] == pytest.approx(sum(r <= k for r, _ in known) / 90)
    for fpir in (0.02, 0.1, 0.3):
        threshold = threshold_at(found, fpir)
        assert threshold == strangers[round(fpir * 50)]  # so many are below
        assert fpir_at(found, threshold) == pytest.approx(fpir)
        assert dir_at(found, threshold) == pytest.approx(sum(r == 1 and d < threshold for r, d in known) / 90)
    values = figures(found)
    assert values["rank_1"] == curve[0] > 0.5
    assert np.isnan(values["dir_0.01"])  # 50 strangers do not show 1 in 100
    assert values["dir_0.1"] <= values["rank_1"]


def times(found: Searches, number: "int | np.ndarray") -> Searches:
    """Every probe so many times."""
    rows = np.repeat(np.arange(len(found.rank)), number)
    return Searches(found.person[rows], found.nearest[rows], found.distance[rows], found.own[rows], found.rank[rows])


def test_a_weight_is_so_many_copies(found: Searches) -> None:
    weights = np.random.default_rng(3).integers(0, 4, len(found.rank)).astype(float)
    copies = times(found, weights.astype(int))
    for name, value in figures(copies).items():
        if name not in ("dir_0.01", "threshold_0.01"):  # copies are no more strangers
            assert figures(found, weights)[name] == pytest.approx(value), name


def test_intervals_hold_the_figures_and_shrink(found: Searches) -> None:
    few = intervals(found, np.arange(len(found.rank)) // 3, 200)
    for name, (low, high) in few.items():
        assert low <= figures(found)[name] <= high
    assert "dir_0.01" not in few
    many = times(found, 9)
    wide, narrow = few["rank_1"], intervals(many, np.arange(len(many.rank)), 200)["rank_1"]
    assert narrow[1] - narrow[0] < 0.6 * (wide[1] - wide[0])


def test_a_network_that_tells_nobody_apart_names_the_first() -> None:
    vectors, labels = np.ones((40, 4)) / 2, np.repeat(np.arange(10), 4)
    enrolled = np.arange(40) % 4 == 0
    got = search(vectors[~enrolled], labels[~enrolled], vectors[enrolled], labels[enrolled])
    assert cmc(got)[0] == pytest.approx(1 / 10)
    assert (got.rank == 1 + labels[~enrolled]).all()
    vectors[5, 2] = np.nan  # one number is enough
    with pytest.raises(UserError, match=r"1 of 30 embeddings are not numbers"):
        search(vectors[~enrolled], labels[~enrolled], vectors[enrolled], labels[enrolled])


def test_no_error_seen_is_not_no_error() -> None:
    vectors, labels = crowd(20, 4, 0.01)
    enrolled = (labels < 10) & (np.arange(len(labels)) % 4 < 2)
    probes, person = vectors[~enrolled], np.where(labels < 10, labels, -1)[~enrolled]
    found = search(probes, person, vectors[enrolled], labels[enrolled])
    assert intervals(found, labels[~enrolled], 100)["rank_1"] == pytest.approx((1 - 3 / 10, 1.0))


def test_one_photo_of_each_enrolled_person_is_left_and_chance_says_which() -> None:
    labels, left = np.repeat(np.arange(8), 4), []
    for seed in range(4):
        parted = split(labels, 0.25, 9, seed)
        probes = parted.probes[~np.isin(labels[parted.probes], parted.strangers)]
        assert np.bincount(labels[probes], minlength=8).tolist() == [int(p not in parted.strangers) for p in range(8)]
        left += (probes % 4).tolist()
    assert set(left) == {0, 1, 2, 3}


def test_templates_that_are_not_numbers_are_refused() -> None:
    vectors, labels = crowd(4, 2)
    spoilt = np.where(np.arange(8)[:, None] == 2, np.nan, vectors)
    with pytest.raises(UserError, match=r"1 of 8 embeddings are not numbers"):
        search(vectors, labels, spoilt, labels)


def test_ranks_and_thresholds_of_few() -> None:
    """Ten known probes whose own people come first, second, ...; then 20 known people and three strangers."""
    ones = np.ones(10)
    values = figures(Searches(np.zeros(10, int), np.zeros(10, int), ones, ones, np.arange(1, 11)))
    assert (values["rank_1"], values["rank_5"]) == pytest.approx((0.1, 0.5))
    known = np.arange(50) < 20
    person, rank = np.where(known, np.arange(50), -1), known.astype(int)
    distance = np.where(known, 0.1, np.linspace(0.5, 1.5, 50))
    found = Searches(person, np.zeros(50, int), distance, np.where(known, distance, np.nan), rank)
    assert np.isnan(threshold_at(found, 0.1, known.astype(float)))  # no stranger counts
    people = np.where(known, np.arange(50), 20 + np.arange(50) % 3)
    assert "dir_0.1" in intervals(found, people, 200)  # of three strangers, one draw in twenty has none
