"""The `.bin` files of InsightFace: LFW, CFP-FP, AgeDB-30, CALFW, CPLFW ... as one pickle of images and truth values.

The value is (images, same): 2N encoded images (JPEG or PNG; bytes, or uint8 arrays of them), of which 2k and 2k + 1
are pair k, and N truth values (InsightFace, recognition/arcface_torch/eval/verification.py: `load_bin`). Ten folds are
contiguous tenths there (scikit-learn's KFold without shuffling), and here. Names are not in the file.
"""

import os
from typing import Any

import numpy as np

from utils.files import FileInMemory
from utils.pair_set import FOLDS, JOINED, PairSet, joined, remark
from utils.plain_pickle import Array, load
from utils.settings import UserError

BYTE_LIMIT = 4 << 30  # all of it is kept in memory; CFP-FP, the largest that is passed around, has some 0.1 GB
_FORM = "expected the pair (list of 2N encoded images, list of N truth values) that InsightFace's .bin files hold"


def is_bin(path: str) -> bool:
    """Whether a file is named `.bin` or begins as a pickle of protocol 2 to 5 does."""
    if os.path.splitext(path)[1].lower() == ".bin":
        return True
    try:
        with open(path, "rb") as file:
            start = file.read(2)
    except OSError:
        return False
    return start[:1] == b"\x80" and start[1:] in (b"\2", b"\3", b"\4", b"\5")


def read_bin(path: str) -> PairSet:
    """Returns the pairs of a `.bin`, with images in memory; equal images stand there once.

    Who is on an image is known only from the pairs: images joined by same pairs are one person. Raises UserError for a
    file that is damaged, holds anything else, or asks for code to be run (nothing of it is).
    """
    value = _value(path)
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise UserError(f"{path} holds something else; {_FORM}")
    contents, same = _images(path, value[0]), _truths(path, value[1])
    if not len(same) or len(contents) != 2 * len(same):
        raise UserError(f"{path} holds {len(contents):,} images and {len(same):,} truth values; {_FORM}")
    places: dict[bytes, int] = {}
    index = np.array([places.setdefault(content, len(places)) for content in contents], np.int64)
    name = os.path.basename(path)
    first_at = np.unique(index, return_index=True)[1]
    images = [FileInMemory(f"{name} image {at}", contents[at]) for at in first_at.tolist()]
    first, second = index[::2], index[1::2]
    fold = np.arange(len(same)) * FOLDS // len(same)
    text = "; ".join(filter(None, (remark(same, fold), f"a .bin does not name people: {JOINED}")))
    return PairSet(images, first, second, same, fold, joined(first[same], second[same], len(images)), text)


def _value(path: str) -> Any:
    try:
        if os.path.getsize(path) > BYTE_LIMIT:
            raise UserError(f"{path} has {os.path.getsize(path):,} bytes; more than {BYTE_LIMIT:,} are not read")
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UserError(f"cannot read the pairs in {path}: {error.strerror}") from error
    try:
        return load(data)
    except ValueError as error:
        raise UserError(f"{path} is refused, nothing in it was run: {error}; {_FORM}") from None


def _images(path: str, value: Any) -> list[bytes]:
    if not isinstance(value, list | tuple):
        raise UserError(f"{path} holds no list of images; {_FORM}")
    images = []
    for number, image in enumerate(value):
        if isinstance(image, Array) and image.kind == "u1" and max(image.shape, default=0) == len(image.data):
            image = image.data  # (bytes,), or (bytes, 1) as OpenCV's older imencode gave them
        if not isinstance(image, bytes | bytearray) or not image:
            what = f"an array {image.shape}" if isinstance(image, Array) else type(image).__name__
            raise UserError(f"{path}: image {number} is {what}, expected the bytes of a JPEG or PNG")
        images.append(bytes(image))
    return images


def _truths(path: str, value: Any) -> np.ndarray:
    if isinstance(value, Array):
        value = list(value.data)
    if not isinstance(value, list | tuple) or any(not isinstance(v, int) or v not in (0, 1) for v in value):
        raise UserError(f"{path} holds no list of truth values; {_FORM}")
    return np.array(value, bool)
