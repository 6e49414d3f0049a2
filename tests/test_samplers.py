"""Who is drawn: triples, people with several images; passes; what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from utils.annotations import Annotations
from utils.samplers import SAMPLERS, MixedSampler, PeopleSampler, ShuffledSampler, TripleSampler, sampler_of
from utils.settings import UserError
from utils.text_rows import TextRows


def annotations_of(counts: list[int], nobody: int = 0) -> Annotations:
    """Returns people with `counts` images each, and images of `nobody`; nothing is read, so there are no files."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    labels = np.append(labels, np.full(nobody, -1, np.int32))
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


@pytest.mark.parametrize("name", ["triples", "people"])
def test_only_lonely_people_are_refused(name):
    with pytest.raises(UserError, match="no person has two images"):
        SAMPLERS[name](annotations_of([1] * 12), 12, 0)


def test_batches_that_do_not_fit_are_refused(people):
    with pytest.raises(UserError, match=r"multiple of 3; received 32 \(nearest: 33\)"):
        TripleSampler(people, 32, 0)
    for size in (7, 19):
        with pytest.raises(UserError, match=f"at most the number of images, 18; received {size}"):
            PeopleSampler(people, size, 0)
    with pytest.raises(UserError, match="1 to the number of images, 18; received 19"):
        ShuffledSampler(people, 19, 0)
    with pytest.raises(UserError, match="received 1 and 0"):
        PeopleSampler(people, 12, 0, images_each=1)
    with pytest.raises(UserError, match="received 4 and -1"):
        PeopleSampler(people, 12, 0, power=-1.0)


def test_shuffled_images_come_once_an_epoch_each_time_in_another_order():
    sampler = ShuffledSampler(annotations_of([1] * 6 + [3], nobody=4), 4, seed=0)  # nobody needs a positive
    drawn = np.concatenate([sampler.rows(step) for step in range(13)])  # four epochs of 13 images
    epochs = drawn.reshape(4, 13)
    assert (np.sort(epochs, axis=1) == np.arange(13)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 4


@pytest.mark.parametrize("each", [2, 5])
def test_people_give_as_many_images_as_asked_for(each):
    annotations = annotations_of([9] * 12)
    rows = PeopleSampler(annotations, 20, 0, images_each=each).rows(0)
    assert sorted(np.bincount(annotations.labels[rows]))[-20 // each :] == [each] * (20 // each)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_power_says_how_often_people_with_many_images_come(power):
    counts = np.array([2, 2, 2, 2, 8, 8, 32, 1])
    sampler = PeopleSampler(annotations_of(counts.tolist()), 8, 0, images_each=2, power=power)
    drawn = sampler._next(0, 7 * 4000)
    share = np.bincount(drawn, minlength=8) / len(drawn)
    expected = np.where(counts >= 2, counts**power, 0)
    assert share == pytest.approx(expected / expected.sum(), abs=0.01)
    if power == 0.0:
        assert (np.sort(drawn.reshape(-1, 7), axis=1) == np.arange(7)).all()  # passes: all before anyone again


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_a_pass_over_people_is_shuffled(power):
    sampler = PeopleSampler(annotations_of([4] * 50), 8, 0, images_each=2, power=power)
    passes = sampler._next(0, 100).reshape(2, 50)
    assert all((np.diff(one) < 0).sum() > 10 for one in passes)
    assert (passes[0] != passes[1]).any()


def test_the_settings_choose_the_sampler():
    settings = SimpleNamespace(sampler="people", batch_size=12, seed=5, images_each=3, people_power=0.5)
    sampler = sampler_of(settings, annotations_of([4] * 9))
    assert isinstance(sampler, PeopleSampler)
    assert (sampler.batch_size, sampler.seed, sampler.images_each, sampler.power) == (12, 5, 3, 0.5)
    settings.unlabelled_images = 2
    nobody = annotations_of([4] * 9, nobody=5)
    mixed = sampler_of(settings, nobody)
    assert isinstance(mixed, MixedSampler)
    assert (mixed.batch_size, mixed.parts) == (14, (12, 2))
    settings.sampler = "shuffled"
    assert isinstance(sampler_of(settings, nobody), ShuffledSampler)


def test_mixed_batches_end_with_images_of_nobody():
    annotations = annotations_of([3, 2, 4], nobody=7)
    sampler = MixedSampler(TripleSampler(annotations, 6, seed=0), extra=2)
    assert sampler.batch_size == 8
    seen = []
    for step in range(7):
        rows = sampler.rows(step)
        labels = annotations.labels[rows]
        assert (labels[:6] >= 0).all()
        assert (labels[6:] == -1).all()
        assert (sampler.triples(labels) == np.arange(6)).all()
        seen += rows[6:].tolist()
    assert np.bincount(seen).tolist() == [0] * 9 + [2] * 7  # passes over them
    with pytest.raises(UserError, match=r"unlabelled_images is 1 to 7, .*; received 8"):
        MixedSampler(TripleSampler(annotations, 6, seed=0), extra=8)


@pytest.mark.parametrize("name", ["triples", "people"])
def test_samplers_of_people_leave_images_of_nobody_alone(name):
    annotations = annotations_of([3, 2, 4, 1, 2], nobody=50)
    sampler = SAMPLERS[name](annotations, 9, 0)
    assert (annotations.labels[np.concatenate([sampler.rows(step) for step in range(50)])] >= 0).all()


@pytest.mark.parametrize("labels", [[-1, -1, 2, 3], [4, 4, 4], [-1, 4, 4], [-1, -1]])
def test_a_batch_without_triples_shows_none(labels):
    assert len(ShuffledSampler(annotations_of([9]), 4, 0).triples(np.array(labels))) == 0


def test_images_of_nobody_are_in_no_triple():
    labels = np.array([-1, 5, -1, 7, 5, -1])
    assert ShuffledSampler(annotations_of([9]), 6, 0).triples(labels).tolist() == [1, 4, 3]


def test_batches_of_all_there_is_are_taken(people):
    assert sorted(ShuffledSampler(people, 18, 0).rows(0)) == list(range(18))
    assert len(PeopleSampler(people, 18, 0).rows(0)) == 18
    assert len(PeopleSampler(people, 8, 0).rows(0)) == 8  # two people of four images
    with pytest.raises(UserError, match="at most the number of images, 8; received 9"):
        PeopleSampler(annotations_of([4, 4], nobody=9), 9, 0)  # nobody is no person to draw


def test_the_order_of_images_of_nobody_is_the_seeds_own():
    annotations = annotations_of([2, 2], nobody=30)
    one, other = (MixedSampler(TripleSampler(annotations, 3, seed), extra=30).rows(0)[3:] for seed in (1, 2))
    assert sorted(one) == sorted(other)
    assert (one != other).any()
