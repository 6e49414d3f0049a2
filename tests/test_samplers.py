"""Who is drawn: triples, people with several images; passes; what is refused."""

import numpy as np
import pytest

from utils.annotations import Annotations
from utils.samplers import SAMPLERS, PeopleSampler, TripleSampler
from utils.settings import UserError
from utils.text_rows import TextRows


def annotations_of(counts: list[int]) -> Annotations:
    """Returns people with `counts` images each; nothing is read, so there are no files."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    starts = np.concatenate(([0], np.cumsum(counts)))
    nothing = np.zeros(len(labels), np.int64)
    paths = TextRows(np.zeros(1, np.uint8), nothing, nothing)
    return Annotations(labels, starts, [str(p) for p in range(len(counts))], paths, ".")


@pytest.fixture
def people() -> Annotations:
    return annotations_of([4, 1, 2, 7, 1, 3])


def test_triples_hold_two_images_of_one_person_and_one_of_another(people):
    sampler = TripleSampler(people, 12, seed=3)
    for step in range(300):
        anchors, positives, negatives = np.split(sampler.rows(step), 3)
        assert (people.labels[anchors] == people.labels[positives]).all()
        assert (anchors != positives).all()
        assert (people.labels[anchors] != people.labels[negatives]).all()


def test_draws_reach_every_image_and_are_even(people):
    sampler = TripleSampler(people, 12, seed=0)
    anchors, positives, negatives = (
        np.concatenate(part) for part in zip(*(np.split(sampler.rows(step), 3) for step in range(1000)), strict=True)
    )
    several = np.flatnonzero(np.isin(people.labels, [0, 2, 3, 5]))
    assert set(anchors) == set(positives) == set(several)  # people with one image are negatives only
    assert set(negatives) == set(range(len(people)))
    assert np.ptp(np.bincount(anchors)[several]) <= 1  # passes over all anchors
    pairs = np.bincount(positives[anchors == several[0]], minlength=4)[1:4]
    assert pairs.min() > 0.7 * pairs.mean()
    for_first = np.bincount(negatives[people.labels[anchors] == 2], minlength=len(people))
    others = np.flatnonzero(people.labels != 2)
    assert for_first[others].min() > 0.5 * for_first[others].mean()


def test_people_give_four_images_each_or_all_they_have():
    annotations = annotations_of([4, 1, 2, 7, 1, 3, 5, 5, 6, 9])
    sampler = PeopleSampler(annotations, 16, seed=0)
    seen = []
    for step in range(200):
        rows = sampler.rows(step)
        assert len(np.unique(rows)) == 16
        counts = np.bincount(annotations.labels[rows], minlength=10)
        asked = np.unique(sampler._next(step, 4))
        assert (counts[asked] >= np.minimum(sampler.counts[asked], 4)).all()
        seen += asked.tolist()
    assert set(seen) == {0, 2, 3, 5, 6, 7, 8, 9}
    assert np.ptp(np.bincount(seen)[[0, 2, 3, 5, 6, 7, 8, 9]]) <= 30  # passes; a border may name one twice
    drawn = np.concatenate([sampler.rows(step) for step in range(200)])
    assert set(drawn) == set(range(len(annotations)))  # people with one image too, as negatives


@pytest.mark.parametrize("name", SAMPLERS)
def test_rows_depend_on_seed_and_step_alone(people, name):
    one, later, other = (SAMPLERS[name](people, 9, seed) for seed in (1, 1, 2))
    backwards = [later.rows(step) for step in reversed(range(50))][::-1]
    assert all((one.rows(step) == backwards[step]).all() for step in range(50))
    assert any((one.rows(step) != other.rows(step)).any() for step in range(50))


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_sheet_shows_triples(people, name):
    sampler = SAMPLERS[name](people, 12, seed=0)
    labels = people.labels[sampler.rows(3)]
    anchors, positives, negatives = np.split(sampler.triples(labels), 3)
    assert len(anchors)
    assert (labels[anchors] == labels[positives]).all()
    assert (anchors != positives).all()
    assert (labels[anchors] != labels[negatives]).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_only_lonely_people_are_refused(name):
    with pytest.raises(UserError, match="no person has two images"):
        SAMPLERS[name](annotations_of([1] * 12), 12, 0)


def test_batches_that_do_not_fit_are_refused(people):
    with pytest.raises(UserError, match=r"multiple of 3; received 32 \(nearest: 33\)"):
        TripleSampler(people, 32, 0)
    for size in (7, 19):
        with pytest.raises(UserError, match=f"at most the number of images, 18; received {size}"):
            PeopleSampler(people, size, 0)
