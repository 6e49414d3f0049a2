"""Photos in, crops and rows for the record out: in this process with threads, or in several processes."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2

from utils.alignment import Alignment, Face, align, main_face, scale_of
from utils.alignment_log import NO_FACE, Row
from utils.detector import Detector
from utils.files import written_whole
from utils.images import ImageError, Pixels, read_image
from utils.photo_tree import Photo
from utils.settings import UserError

Item = tuple[Photo, str]  # and the path of its crop, without number and suffix
PHOTOS_AT_ONCE = 32
BYTES_AT_ONCE = 8_000_000  # of their files: about 100 MB of pixels
BLUR_SIZE = 112  # pixels: blur is comparable whatever the crop's size
FORMATS = {
    ".jpg": (
        *(cv2.IMWRITE_JPEG_QUALITY, 95),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),  # colour at full resolution
    ),
    ".png": (cv2.IMWRITE_PNG_COMPRESSION, 1),
    ".webp": (cv2.IMWRITE_WEBP_QUALITY, 95),
}


@dataclass(frozen=True)
class Job:
    """What is to be done with every photo."""

    input: str  # folder of the photos
    output: str  # folder for the crops
    alignment: Alignment
    faces: Literal["main", "all"]
    min_face: int  # pixels of the photo
    min_confidence: float  # 0..1
    suffix: str  # of FORMATS


class Aligner:
    """The steps of a job: read, detect, write."""

    def __init__(self, job: Job, threads: int = 0):
        self.job = job
        self._detector = Detector(job.min_face, job.min_confidence, threads=threads)

    def read(self, photo: Photo) -> Pixels | str:
        """Returns the photo's pixels, or why there are none."""
        try:
            return read_image(os.path.join(self.job.input, photo.path))
        except ImageError as error:
            return str(error)

    def detect(self, images: list[Pixels | str]) -> list[list[Face]]:
        """Returns the faces in each; none where there are no pixels."""
        pixels = [image for image in images if not isinstance(image, str)]
        found = iter(self._detector.detect(pixels))
        return [[] if isinstance(image, str) else next(found) for image in images]

    def write(self, photo: Photo, stem: str, image: Pixels | str, faces: list[Face]) -> list[Row]:
        """Writes the crops of a photo and returns its rows."""
        if isinstance(image, str):
            return [Row(photo, 0, problem=image)]
        if not faces:
            return [Row(photo, 0, problem=NO_FACE)]
        if self.job.faces == "main":
            chosen = {stem: faces[main_face(faces, image.shape)]}
        else:
            chosen = {f"{stem}_{number}": face for number, face in enumerate(faces)}
        return [self._cut_out(photo, len(faces), image, face, name) for name, face in chosen.items()]

    def _cut_out(self, photo: Photo, faces: int, image: Pixels, face: Face, name: str) -> Row:
        crop = align(image, face, self.job.alignment)
        path = name + self.job.suffix
        colours = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
        written, encoded = cv2.imencode(self.job.suffix, colours, FORMATS[self.job.suffix])
        assert written, "crops are smaller than the largest image of each format"
        with written_whole(Path(self.job.output, path)) as temporary:
            temporary.write_bytes(encoded.tobytes())
        numbers = (face.confidence, *face.box, *face.landmarks.ravel(), scale_of(face, self.job.alignment), blur(crop))
        return Row(photo, faces, path, numbers=tuple(float(number) for number in numbers))


def blur(crop: Pixels) -> float:
    """Returns the variance of the Laplacian of a crop, grey, at 112 pixels: the smaller, the more blurred.

    Pech-Pacheco et al. 2000, ICPR.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    method = cv2.INTER_AREA if len(grey) > BLUR_SIZE else cv2.INTER_LINEAR
    return float(cv2.Laplacian(cv2.resize(grey, (BLUR_SIZE, BLUR_SIZE), interpolation=method), cv2.CV_32F).var())


def align_photos(job: Job, items: Sequence[Item], workers: int = 0) -> Iterator[list[list[Row]]]:
    """Yields chunks of photos, in order: the rows of each, whose crops are written by then.

    `workers` 0: here, reading and writing on threads beside the network; else so many processes. Raises UserError where
    crops cannot be written.
    """
    chunks = list(_chunks(items))
    return _with_processes(job, chunks, workers) if workers else _with_threads(job, chunks)


def _chunks(items: Sequence[Item]) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == PHOTOS_AT_ONCE or sum(photo.bytes for photo, _ in chunk) > BYTES_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _with_threads(job: Job, chunks: list[list[Item]]) -> Iterator[list[list[Row]]]:
    aligner = Aligner(job)
    with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
        reading = [pool.submit(aligner.read, photo) for photo, _ in chunks[0]]
        writing: list[Future[list[Row]]] = []
        for chunk, following in zip(chunks, [*chunks[1:], []], strict=True):
            images = [future.result() for future in reading]
            reading = [pool.submit(aligner.read, photo) for photo, _ in following]
            found = aligner.detect(images)  # while the pool reads what follows and writes what went before
            if writing:
                yield [future.result() for future in writing]
            writing = [
                pool.submit(aligner.write, *item, image, faces)
                for item, image, faces in zip(chunk, images, found, strict=True)
            ]
        yield [future.result() for future in writing]


def _with_processes(job: Job, chunks: list[list[Item]], workers: int) -> Iterator[list[list[Row]]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(chunks)), context, _start, (job,)) as pool:
        with _interrupt_ignored():  # by the processes, which begin here: this one ends them
            results = pool.map(_work, chunks)
        try:
            yield from results
        except BrokenProcessPool as error:
            raise UserError(
                "a worker died (not enough memory?); the same command without --again goes on, with fewer --workers"
            ) from error


_aligner: Aligner | None = None  # of a worker process


def _start(job: Job) -> None:
    global _aligner
    cv2.setNumThreads(1)
    _aligner = Aligner(job, threads=1)


def _work(chunk: list[Item]) -> list[list[Row]]:
    assert _aligner is not None
    images = [_aligner.read(photo) for photo, _ in chunk]
    found = _aligner.detect(images)
    return [_aligner.write(*item, image, faces) for item, image, faces in zip(chunk, images, found, strict=True)]


@contextlib.contextmanager
def _interrupt_ignored() -> Iterator[None]:
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
