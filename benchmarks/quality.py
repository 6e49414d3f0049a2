"""Where errors rise with a photo's flaws: VAL and FAR by size, sharpness, pose and the detector's confidence.

    python -m benchmarks.quality --annotation_path cls_train.txt --model_path F --people 500

The photos are crops (landmarks-128-8); faces are looked for within a grey border. The limits of utils/quality.py come
from here.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.settings import run_script

if TYPE_CHECKING:
    from utils.embedder import Embedder

Array = np.ndarray[Any, np.dtype[Any]]
EYES = (35.24, 20.0, 16.0, 13.0, 10.0, 8.0, 6.0, 4.0)  # pixels between the eyes: photos are shrunk to it, and enlarged
EDGES: dict[str, tuple[float, ...]] = {
    "sharpness": (0, 20, 40, 60, 80, 100, 150, 200, 400, 800, 1600, 1e5),
    "yaw": (0, 10, 20, 25, 30, 35, 40, 50, 90),
    "pitch": (-90, -41, -31, -21, -11, 0, 9, 19, 29, 90),
    "confidence": (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.1),
}
RATES = (1e-2, 1e-3)


@dataclass(frozen=True)
class Settings:
    """Compares photos of people with all others, by what is wrong with them."""

    annotation_path: str = "cls_train.txt"  # crops and who is on them
    model_path: str = ""  # embedder; empty: the newest logs/*/embedder_best.keras
    people: int = 500  # drawn at random
    shrunk: int = 700  # photos that are shrunk
    seed: int = 0  # of the draws


def main(settings: Settings) -> None:
    """Prints VAL and FAR of the photos in each range of each quality, then of shrunk photos."""
    from utils.backend import start_keras
    from utils.labelled import read_labelled
    from utils.runs import find_embedder

    everybody = read_labelled(settings.annotation_path)
    rng = np.random.default_rng(settings.seed)
    people = everybody.select(rng.permutation(len(everybody.people))[: settings.people])
    start_keras()
    from utils.embedder import Embedder

    embedder = Embedder.load(find_embedder(settings.model_path))
    embeddings = embedder.embed_files(people.paths, progress="embedding")
    same = people.labels[:, None] == people.labels[None]
    distances, different = 2 - 2 * embeddings @ embeddings.T, ~same
    np.fill_diagonal(same, False)
    thresholds = [float(np.quantile(distances[different], rate)) for rate in RATES]
    for name, values in qualities(people.paths).items():
        for low, high in zip(EDGES[name], EDGES[name][1:], strict=False):
            rows = (values >= low) & (values < high)
            if rows.sum() > 8:
                line(f"{name} {low:g} .. {high:g}", distances[rows], same[rows], different[rows], thresholds)
    rows = np.sort(rng.permutation(len(people.paths))[: settings.shrunk])
    for eyes in EYES:
        small = embedder.embed_images(shrunk(embedder, [people.paths[row] for row in rows.tolist()], eyes))
        line(f"{eyes:g} px between the eyes", 2 - 2 * small @ embeddings.T, same[rows], different[rows], thresholds)


def line(name: str, distances: Array, same: Array, different: Array, thresholds: list[float]) -> None:
    """Prints VAL and FAR at each threshold of photos (R,) against all (N,)."""
    val = " ".join(f"{(distances[same] < threshold).mean():.3f}" for threshold in thresholds)
    far = " ".join(f"{(distances[different] < threshold).mean():.1e}" for threshold in thresholds)
    print(f"{name:<28}{len(distances):>6} photos   VAL {val}   FAR {far}")


def qualities(paths: list[str]) -> dict[str, Array]:
    """Returns the qualities (N,) of crops by name; NaN, and confidence 0, where no face is found."""
    from utils.detector import Detector
    from utils.images import read_image
    from utils.quality import quality

    detector, rows = Detector(min_confidence=0.5), []
    for first in range(0, len(paths), 64):
        photos = [read_image(path) for path in paths[first : first + 64]]
        bordered = [np.pad(photo, ((32, 32), (32, 32), (0, 0)), constant_values=128) for photo in photos]
        for photo, inside, faces in zip(photos, bordered, detector.detect(bordered), strict=True):
            found = quality(inside, max(faces, key=lambda face: face.box[2] - face.box[0])) if faces else None
            pose = (abs(found.yaw or 0), found.pitch, found.confidence) if found else (np.nan, np.nan, 0.0)
            rows.append((quality(photo, None).sharpness, *pose))
    return dict(zip(EDGES, np.array(rows, float).T, strict=True))


def shrunk(embedder: "Embedder", paths: list[str], eyes: float) -> Array:
    """Returns crops as the embedder sees them, shrunk so that the eyes are so far apart, and enlarged again."""
    import cv2

    from utils.images import fit_image, read_image

    images = []
    for path in paths:
        photo = read_image(path)
        side = round(len(photo) * eyes / EYES[0])
        small = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
        again = np.asarray(cv2.resize(small, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
        images.append(fit_image(again, embedder.size, embedder.cut))
    return np.stack(images)


if __name__ == "__main__":
    run_script(main, Settings)
