"""Whether align.py's crops match given ones, whether its landmarks hold still, and how fast it is.

    python -m benchmarks.alignment --photos lfw-raw --crops lfw --pairs lfw-raw-pairs.txt --teacher teacher.keras

A photo's crop and the given one (same name) are compared by the embeddings of a teacher, a Keras file that takes RGB in
0..255: squared distances of unit vectors. Pairs are judged by the threshold that is best on the given crops. Speed is
measured in turns with the package mtcnn, so that other work on the machine slows all ways: look at the ratios.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.alignment_package import Package, compare_faces
from utils.settings import UserError, run_script


@dataclass(frozen=True)
class Settings:
    """Compares align.py's crops with given ones, and its speed with the package mtcnn's."""

    photos: str = "lfw-raw"  # folder of whole photos
    crops: str = ""  # folder of given crops, same names whatever the suffix; empty: not compared
    pairs: str = ""  # lines `photo photo 0|1`; empty: pairs are not judged
    teacher: str = ""  # Keras file of the embedder that compares
    left: float = 15.565  # pixels of the crop that the teacher is shown, from this edge
    top: float = 31.0  # pixels
    right: float = 113.365  # pixels
    bottom: float = 128.8  # pixels
    size: int = 128  # pixels of the crops
    context: float = 8.0  # pixels around ArcFace's crop
    min_face: int = 40  # pixels
    rounds: int = 3  # measurements of each way, in turn; 0: speed is not measured
    package: bool = True  # compare with the package mtcnn, where it is installed with TensorFlow


def main(settings: Settings) -> None:
    from utils.photo_tree import list_photos

    photos, _ = list_photos(settings.photos, leave_out="")
    with tempfile.TemporaryDirectory() as output:
        job = job_of(settings, output)
        crops = align_once(job, photos)
        if settings.teacher and settings.crops:
            compare_crops(settings, crops)
        images = read_all(settings, photos)
        print_jitter(images)
        if settings.package:
            compare_faces(images)
        if settings.rounds:
            compare_speed(settings, job, photos, images)


def job_of(settings: Settings, output: str) -> Any:
    from utils.aligner import Job
    from utils.alignment import Alignment

    alignment = Alignment("landmarks", settings.size, settings.context)
    return Job(settings.photos, output, alignment, "main", settings.min_face, 0.8, ".png")


def items_of(photos: Sequence[Any]) -> list[tuple[Any, str]]:
    from utils.photo_tree import crop_stems

    stems = crop_stems(list(photos), {})
    return [(photo, stems[photo.path]) for photo in photos]


def align_once(job: Any, photos: Sequence[Any]) -> dict[str, str]:
    """Writes the crops; returns name of the photo without suffix -> path of its crop."""
    from utils.aligner import align_photos

    rows = [row for chunk in align_photos(job, items_of(photos)) for found in chunk for row in found]
    crops = {row.photo.stem: str(Path(job.output, row.crop)) for row in rows if row.crop}
    print(f"photos: {len(rows)}, with a face: {len(crops)}")
    return crops


def compare_crops(settings: Settings, crops: dict[str, str]) -> None:
    """Prints how far the embeddings of ours and the given crops are apart, and both judgements of the pairs."""
    import numpy as np

    given = {
        str(path.relative_to(settings.crops).with_suffix("")): str(path) for path in Path(settings.crops).rglob("*.*")
    }
    names = [name for name in crops if name in given]
    if not names:
        raise UserError(f"no photo of {settings.photos} has a crop of its name in {settings.crops}")
    embed = teacher(settings)
    ours, theirs = embed([crops[name] for name in names]), embed([given[name] for name in names])
    distances = ((ours - theirs) ** 2).sum(axis=1)
    print(f"squared distance of our crop to the given one, {len(names)} photos:")
    print(f"  median {np.median(distances):.4f}, 90th percentile {np.percentile(distances, 90):.4f}; largest:")
    for row in np.argsort(-distances)[:5]:
        print(f"  {distances[row]:.4f} {names[row]}")
    if settings.pairs:
        judge_pairs(settings.pairs, {name: row for row, name in enumerate(names)}, theirs, ours)


def teacher(settings: Settings) -> Callable[[list[str]], Any]:
    """Returns the function from paths of crops to unit vectors (N, D)."""
    import keras
    import numpy as np

    from utils.images import fit_image, read_image

    network = keras.models.load_model(settings.teacher, compile=False)
    height, width = network.input_shape[1:3]
    edges = settings.left, settings.top, settings.right, settings.bottom
    left, top, right, bottom = (edge / settings.size for edge in edges)

    def embed(paths: list[str]) -> Any:
        pixels = np.stack(
            [fit_image(read_image(path), (height, width), (left, top, right, bottom)) for path in paths]
        ).astype(np.float32)
        found = [np.asarray(network.predict_on_batch(pixels[k : k + 32])) for k in range(0, len(pixels), 32)]
        vectors = np.concatenate(found)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return embed


def judge_pairs(pairs_file: str, rows: dict[str, int], given: Any, ours: Any) -> None:
    """Prints how many pairs each judges rightly by the threshold that is best on the given crops."""
    import numpy as np

    lines = [line.split() for line in Path(pairs_file).read_text().splitlines() if line.strip()]
    known = [line for line in lines if all(str(Path(name).with_suffix("")) in rows for name in line[:2])]
    one, other = ([rows[str(Path(line[k]).with_suffix(""))] for line in known] for k in (0, 1))
    same = np.array([line[2] == "1" for line in known])
    distances = {
        name: ((found[one] - found[other]) ** 2).sum(axis=1) for name, found in (("given", given), ("ours", ours))
    }
    edges = np.sort(distances["given"])
    thresholds = np.append((edges[1:] + edges[:-1]) / 2, edges[-1])
    threshold = max(thresholds, key=lambda edge: ((distances["given"] < edge) == same).sum())
    right = {name: int(((found < threshold) == same).sum()) for name, found in distances.items()}
    print(f"pairs judged rightly of {len(known)} ({len(lines) - len(known)} lack a crop), threshold {threshold:.3f}:")
    print(f"  given crops {right['given']}, ours {right['ours']}")


def read_all(settings: Settings, photos: Sequence[Any]) -> list[Any]:
    from utils.images import read_image

    return [read_image(Path(settings.photos, photo.path)) for photo in photos]


def print_jitter(images: list[Any]) -> None:
    """Prints how far the landmarks of the main face move when the photo is scaled, turned and shifted a little."""
    import cv2
    import numpy as np

    from utils.alignment import TEMPLATE, main_face, similarity
    from utils.detector import Detector

    random, moves, moved = np.random.default_rng(0), [], []
    for image in images:
        scale, angle = random.uniform(0.75, 1.3), random.uniform(-0.03, 0.03)
        turn = scale * np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
        moves.append(np.column_stack((turn, random.uniform(-3, 3, 2))))
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        picture = cv2.warpAffine(image, moves[-1], size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        moved.append(np.asarray(picture, np.uint8))
    print("landmarks move by, when the photo is scaled by 0.75 to 1.3 (pixels of 112):")
    for name, second_look in (("MTCNN's own", False), ("ours", True)):
        detector = Detector(second_look=second_look)
        shifts = []
        for move, image, faces, others in zip(
            moves, images, detector.detect(images), detector.detect(moved), strict=True
        ):
            if faces and others:
                still = faces[main_face(faces, image.shape)].landmarks
                there = others[main_face(others, image.shape)].landmarks
                back = cv2.transform(there[None], cv2.invertAffineTransform(move))[0]
                scale = np.hypot(*similarity(still, TEMPLATE)[:, 0])
                shifts.append(np.linalg.norm(back - still, axis=1).mean() * scale)
        print(f"  {name:12} median {np.median(shifts):.2f}, 90th percentile {np.percentile(shifts, 90):.2f}")


def compare_speed(settings: Settings, job: Any, photos: Sequence[Any], images: list[Any]) -> None:
    """Prints photos/s of each way, in turn."""
    import dataclasses

    from utils.aligner import align_photos
    from utils.detector import Detector

    plain = dataclasses.replace(job, suffix=".jpg")
    ways: dict[str, Callable[[], Any]] = {
        f"align.py, {settings.min_face} px, all of it": lambda: list(align_photos(plain, items_of(photos))),
        f"our detector, {settings.min_face} px": (lambda d: lambda: d.detect(images))(Detector(settings.min_face)),
        "our detector, 20 px": (lambda d: lambda: d.detect(images))(Detector(20)),
    }
    if settings.package:
        ways["the package, 20 px"] = (lambda d: lambda: d.detect(images))(Package(20))
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # compiled, read once
    for _ in range(settings.rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            rates[name].append(len(photos) / (time.perf_counter() - began))
    last = [*rates.values()][-1]
    for name, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(found, last, strict=True))
        print(f"{name:28} {statistics.median(found):6.0f} photos/s (best {max(found):.0f}), {ratio:5.2f} of the last")


if __name__ == "__main__":
    run_script(main, Settings)
