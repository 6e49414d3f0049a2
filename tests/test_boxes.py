"""Boxes: suppression against a naive loop, squares that show what they say."""

import numpy as np

from utils.boxes import Boxes, best, moved, patches, squares, without_nested


def drawn(number: int, photos: int = 2) -> Boxes:
    random = np.random.default_rng(0)
    corner, sides = random.uniform(0, 60, (number, 2)), random.uniform(10, 50, (number, 2))
    return Boxes(
        random.integers(0, photos, number), np.hstack((corner, corner + sides)), random.uniform(0.1, 1, number)
    )


def area(box: np.ndarray) -> float:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def common(one: np.ndarray, other: np.ndarray) -> float:
    return area(np.concatenate((np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:]))))


def kept_naively(boxes: Boxes, smaller: bool, overlap: float) -> set[int]:
    kept: list[int] = []
    for row in sorted(range(len(boxes.score)), key=lambda row: -boxes.score[row]):
        for other in kept:
            one, two = boxes.corners[row], boxes.corners[other]
            shared = common(one, two)
            whole = min(area(one), area(two)) if smaller else area(one) + area(two) - shared
            if boxes.photo[row] == boxes.photo[other] and shared / whole > overlap:
                break
        else:
            kept.append(row)
    return set(kept)


def test_the_best_of_boxes_that_overlap_is_kept() -> None:
    boxes = drawn(120)
    assert set(best(boxes, boxes.photo, 0.5)) == kept_naively(boxes, smaller=False, overlap=0.5)
    assert len(best(drawn(0), drawn(0).photo, 0.5)) == 0


def test_boxes_inside_others_are_dropped_and_the_rest_comes_by_score() -> None:
    boxes = drawn(120)
    kept = without_nested(boxes, 0.7)
    assert set(kept) == kept_naively(boxes, smaller=True, overlap=0.7)
    assert (np.diff(boxes.score[kept]) <= 0).all()
    assert len(without_nested(drawn(0), 0.7)) == 0


def test_edges_move_by_shares_of_the_box() -> None:
    assert moved(np.array(((10.0, 20, 30, 60),)), np.array(((0.1, 0.1, -0.5, 0.25),))).tolist() == [[12, 24, 20, 70]]


def test_a_square_has_the_longer_side_and_the_same_centre() -> None:
    assert squares(np.array(((10.0, 20, 30, 60),))).tolist() == [[0, 20, 40, 60]]


def test_a_patch_shows_its_square_and_grey_outside() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    boxes = Boxes(
        np.array((0, 0, 0)), np.array(((3.4, 4.6, 27.4, 28.6), (-10, 30, 14, 54), (90, 90, 99, 99.0))), np.ones(3)
    )
    cut, seen = patches([photo], boxes, 24)
    assert seen.tolist() == [[3, 5, 27, 29], [-10, 30, 14, 54], [90, 90, 99, 99]]
    assert (cut[0] == photo[5:29, 3:27]).all()
    assert (cut[1, :20, 10:] == photo[30:50, :14]).all()
    assert (cut[1, :, :10] == 128).all()
    assert (cut[1, 20:] == 128).all()
    assert (cut[2] == 128).all()


def test_a_large_patch_is_averaged_over_areas() -> None:
    photo = np.repeat((np.indices((96, 96)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    cut, _ = patches([photo], Boxes(np.zeros(1, int), np.array(((0.0, 0, 96, 96),)), np.ones(1)), 24)
    assert cut.std() < 2
