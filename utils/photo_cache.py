"""Photos that are decoded once: kept in the host's memory, or on the device that trains."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from utils.image_decoders import Pixels
from utils.images import ImageError, read_image
from utils.settings import UserError

Where = Literal["none", "ram", "device"]
LOOKED_AT = 64  # photos from whose decoded size that of all is estimated
SHARE = 0.5  # of the free memory that is taken unasked


class Photos:
    """Decoded photos of an annotation file by row; each is read again, or once where they are kept."""

    def __init__(self, annotations: Any):
        """Takes `utils.annotations.Annotations`; nothing is read or kept."""
        self.annotations = annotations
        self.kept: list[Pixels | None] = []

    def keep(self) -> None:
        """Keeps what is read from now on."""
        self.kept = [None] * len(self.annotations)

    def read(self, row: int) -> Pixels:
        """Returns the photo (H,W,3), which is not to be written into; raises ImageError, each time, as `read_image`."""
        if not self.kept:
            return read_image(self.annotations.path(row))
        photo = self.kept[row]
        if photo is None:  # two threads may read it at once, and keep the same
            photo = self.kept[row] = read_image(self.annotations.path(row))
        return photo

    def bytes_decoded(self) -> float:
        """Returns what all photos take when decoded, estimated from a few; 0 where none of these can be read."""
        rows = np.random.default_rng(0).permutation(len(self.annotations))[:LOOKED_AT]
        sizes = []
        for row in rows.tolist():
            try:
                sizes.append(read_image(self.annotations.path(row)).nbytes)
            except ImageError:
                continue
        return float(np.mean(sizes)) * len(self.annotations) if sizes else 0.0


@dataclass(frozen=True)
class Room:
    """What photos would take and what there is, in bytes; None: not known."""

    decoded: float  # as the files have them
    fitted: float  # as the device varies them
    host: float
    device: float | None  # None: the network runs in the host's memory, or nobody says


def place_for(asked: str, room: Room, looks: float, varied: bool) -> tuple[Where, str]:
    """Returns (where photos are kept, why).

    Args:
        asked: none, ram, device, or auto: on the device or in the host's memory where they take no more than half of
            what is free and are looked at more than once.
        room: what they take.
        looks: how often each is looked at in the run.
        varied: whether the device varies them: only then it wants nothing of them but their pixels.

    Raises UserError for what is asked for and cannot be.
    """
    decoded, fitted = f"{_size(room.decoded)} decoded", f"{_size(room.fitted)} as they are varied"
    host = f"{_size(room.host)} are free"
    if asked == "none":
        return "none", "as asked for"
    if asked == "device":
        if not varied:
            raise UserError("--cache device: the loader varies these images; with --rotation 5, say, the device does")
        free = room.device or room.host
        if room.fitted > free:
            raise UserError(f"--cache device: the photos take {fitted}, {_size(free)} are free")
        return "device", fitted
    if asked == "ram":
        if room.decoded > room.host:
            raise UserError(f"--cache ram: the photos take {decoded}, {host}")
        return "ram", f"{decoded}, {host}"
    if looks <= 1:
        return "none", "each photo is looked at once"
    if varied and room.device and room.fitted <= SHARE * room.device:
        return "device", f"{fitted}, {_size(room.device)} are free there"
    if room.decoded <= SHARE * room.host:
        return "ram", f"{decoded}, {host}"
    return "none", f"{decoded} is more than half of what is free, {_size(room.host)}"


def _size(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"
