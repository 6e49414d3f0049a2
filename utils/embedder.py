"""An embedder on disk and in use: `.keras` (weights and graph) and a JSON card beside it."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from tqdm import tqdm

from nets import facenet as facenet_module
from nets import layers as _registered  # noqa: F401  (loading a .keras file needs the layer's registration)
from utils.files import read_json, sha256, write_json, written_whole
from utils.images import fit_image, read_image
from utils.settings import UserError
from utils.weights import load_facenet_tf2, read_facenet_tf2_backbone

Flip = Literal["none", "sum", "concat"]
FACENET_TF2_INPUT = 160  # pixels: what facenet-tf2 trains at
BATCH = 64  # images a call of the network at most; fewer are filled up to a power of two, so that it compiles seldom


class Embedder:
    """Maps photos to unit vectors, with the pixels prepared as in training.

    Attributes:
        network: `(B, H, W, 3)` RGB 0..255 -> `(B, D)` of unit length.
        card: what the JSON says: backbone, input_size [height, width], crop (central share of a photo),
            embedding_size, sha256 of the weights, trained (data and settings), thresholds.
        path: the file it came from, or None.
    """

    def __init__(self, network: keras.Model, card: dict[str, Any], path: Path | None = None):
        self.network, self.card, self.path = network, card, path

    @property
    def size(self) -> tuple[int, int]:
        """The input's (height, width) in pixels."""
        return self.network.input_shape[1], self.network.input_shape[2]

    @property
    def pixel_range(self) -> tuple[float, float]:
        """What pixels of 0 and 255 become inside the network."""
        scaling = self.network.get_layer("scaling")
        return float(scaling.offset), float(scaling.offset + 255.0 * scaling.scale)

    @property
    def thresholds(self) -> dict[str, Any] | None:
        """The stored thresholds (squared distances), or None where there are none for just these weights."""
        stored = self.card.get("thresholds")
        return stored if stored and stored.get("sha256") == self.card["sha256"] else None

    @classmethod
    def load(cls, path: str | os.PathLike[str], input_size: int | None = None) -> "Embedder":
        """Reads `.keras` with its card, or weights that facenet-tf2 wrote (`.h5`).

        Args:
            input_size: pixels, for `.h5` only, which does not say it; 160 where it is None or 0.

        Raises:
            UserError: no such file, not an embedder, or weights that do not fit.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(f"model_path: no file '{path}'; expected an embedder (.keras, or .h5 of facenet-tf2)")
        if path.suffix in (".h5", ".hdf5"):
            return cls._from_facenet_tf2(path, input_size or FACENET_TF2_INPUT)
        if path.suffix != ".keras":
            raise UserError(f"model_path: '{path}' is neither .keras nor .h5")
        try:
            network = keras.saving.load_model(path, compile=False)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"model_path: '{path}' is not a Keras model: {str(error).splitlines()[0]}") from error
        shapes = network.input_shape, network.output_shape
        if not all(isinstance(s, tuple) for s in shapes) or len(shapes[0]) != 4 or len(shapes[1]) != 2:
            raise UserError(f"model_path: '{path}' maps {shapes[0]} to {shapes[1]}; an embedder maps photos to vectors")
        card = read_json(card_path(path)) if card_path(path).is_file() else {"crop": 1.0}
        return cls(network, card | {"sha256": sha256(path)}, path)

    @classmethod
    def _from_facenet_tf2(cls, path: Path, input_size: int) -> "Embedder":
        backbone = read_facenet_tf2_backbone(path)
        network = facenet_module.facenet(
            (input_size, input_size, 3), backbone=backbone, mode="predict", pixel_range=(0.0, 1.0)
        )
        print(load_facenet_tf2(network, path))
        card = {"backbone": backbone, "input_size": [input_size, input_size], "crop": 1.0, "embedding_size": 128}
        stored = read_json(card_path(path)) if card_path(path).is_file() else {}
        return cls(network, stored | card | {"sha256": sha256(path)}, path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `path` (`.keras`) and its card, each whole or not at all; the thresholds of other weights go."""
        path = Path(path)
        with written_whole(path) as temporary:
            self.network.save(temporary)
        self.path = path
        self.card = self.card | {"sha256": sha256(path)}
        write_json(card_path(path), self.card | {"thresholds": self.thresholds})

    def store_thresholds(self, thresholds: dict[str, Any]) -> None:
        """Writes thresholds into the card beside the weights, tied to them by their SHA-256."""
        if self.path is None:
            raise ValueError("an embedder without a file has no card; save it first")
        self.card = self.card | {"thresholds": thresholds | {"sha256": self.card["sha256"]}}
        write_json(card_path(self.path), self.card)

    def read(self, path: str | os.PathLike[str]) -> np.ndarray:
        """Returns the photo as the network sees it, uint8 `(H, W, 3)` RGB; raises ImageError."""
        return fit_image(read_image(path), self.size, float(self.card.get("crop", 1.0)))

    def embed_images(self, images: np.ndarray) -> np.ndarray:
        """Returns float32 `(N, D)` of unit length for uint8 `(N, H, W, 3)` at the network's size."""
        found = [np.empty((0, self.network.output_shape[1]), np.float32)]
        for first in range(0, len(images), BATCH):
            batch = images[first : first + BATCH]
            empty = (1 << (len(batch) - 1).bit_length()) - len(batch)
            filled = np.concatenate([batch, np.zeros((empty, *batch.shape[1:]), batch.dtype)])
            found.append(np.asarray(self.network.predict_on_batch(filled), np.float32)[: len(batch)])
        return np.concatenate(found)

    def embed_files(
        self, paths: Sequence[str | os.PathLike[str]], flip: Flip = "none", progress: str | None = None
    ) -> np.ndarray:
        """Returns float32 `(N, D)`, `(N, 2D)` for flip "concat", of unit length; a name for `progress` shows a bar.

        Args:
            flip: "sum" adds the embedding of the mirrored image, "concat" puts it behind.

        Raises:
            ImageError: a file cannot be read.
        """
        chunks = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
        found = []
        with ThreadPoolExecutor() as pool, tqdm(total=len(paths), desc=progress, disable=progress is None) as bar:
            ahead = [pool.submit(self.read, p) for p in (chunks[0] if chunks else [])]
            for number in range(len(chunks)):
                reading, following = ahead, chunks[number + 1] if number + 1 < len(chunks) else []
                ahead = [pool.submit(self.read, p) for p in following]  # read while the network computes
                images = np.stack([job.result() for job in reading])
                found.append(self._embed_with_flip(images, flip))
                bar.update(len(images))
        return np.concatenate(found) if found else self.embed_images(np.empty((0, *self.size, 3), np.uint8))

    def _embed_with_flip(self, images: np.ndarray, flip: Flip) -> np.ndarray:
        embeddings = self.embed_images(images)
        if flip == "none":
            return embeddings
        mirrored = self.embed_images(images[:, :, ::-1])
        both = embeddings + mirrored if flip == "sum" else np.concatenate([embeddings, mirrored], axis=1)
        return both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-12)


def card_path(path: str | os.PathLike[str]) -> Path:
    """Returns the JSON beside an embedder's weights."""
    return Path(path).with_suffix(".json")
