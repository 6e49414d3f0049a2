"""An embedder on disk and in use: `.keras` (weights and graph), or what export.py made of it, and a JSON card."""

import os
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from utils.alignment import Alignment
from utils.backend import outputs_of, start_keras
from utils.cards import card_path, stored_card
from utils.cropping import Box, Crop, Cropper, chosen_cropper
from utils.exported import NETWORKS, Network, exported_network, fingerprint, is_exported, own_card, same_sooner
from utils.files import FileInMemory, sha256, source_name, write_json, written_whole
from utils.images import fit_image, read_image
from utils.metrics import check_finite
from utils.settings import UserError
from utils.terminal import progress_bar

if TYPE_CHECKING:
    import keras

PathLike = str | os.PathLike[str]
Flip = Literal["none", "sum", "concat"]
KINDS = ".keras, .onnx, .tflite, a SavedModel's folder, or .h5 of facenet-tf2"
FACENET_TF2_INPUT = 160  # pixels: what facenet-tf2 trains at
BATCH = 64  # images a call of the network at most; fewer are filled up to a power of two, so that it compiles seldom
FEW = 4  # images, the first ones, for which the network is not compiled: later a compiled one is seven times as fast


class Embedder:
    """Maps photos to unit vectors, with the pixels prepared as in training.

    Attributes:
        network: `(B, H, W, 3)` RGB 0..255 -> `(B, D)` of unit length: a `keras.Model`, or an exported file that runs.
        card: what the JSON says: backbone, input_size [height, width], alignment (name of the crops that it was
            trained on), crop (the part of them that it sees: central share, or left, top, right, bottom as
            fractions), embedding_size, sha256 of the weights, trained (data and settings), thresholds.
        path: the file it came from, or None.
        cropper: what makes crops of photos; at first one that takes them for crops.
    """

    def __init__(
        self, network: "keras.Model | Network", card: dict[str, Any], path: Path | None = None, learns: bool = True
    ):
        """Takes a network, its card and file; one that no longer `learns` embeds many images with BatchNorm folded."""
        self.network: Any = network
        self.card, self.path = card, path
        self._on_keras = not isinstance(network, tuple(NETWORKS.values()))
        self._folds, self._folded = not learns, None
        self.cropper = chosen_cropper("no", None, self.cut)
        self._embedded = 0  # images so far

    @property
    def cut(self) -> float | Box:
        """The part of a crop that the network sees."""
        stored = self.card.get("crop", 1.0)
        if isinstance(stored, list) and len(stored) == 4:
            left, top, right, bottom = map(float, stored)
            return left, top, right, bottom
        if not isinstance(stored, int | float):
            raise UserError(f"the card's crop is {stored}; a share or [left, top, right, bottom] is expected")
        return float(stored)

    @property
    def alignment(self) -> Alignment | None:
        """How the crops were cut that it was trained on; None where the card does not say it."""
        name = self.card.get("alignment")
        return Alignment.parse(name) if name else None

    def crop_photos(self, choice: str, crops: Alignment | None = None) -> Cropper:
        """Sets and returns the cropper: choice and crops as in `utils.cropping.chosen_cropper`; raises UserError."""
        self.cropper = chosen_cropper(choice, self.alignment, self.cut, crops)
        return self.cropper

    @property
    def size(self) -> tuple[int, int]:
        """The input's (height, width) in pixels."""
        return self.network.input_shape[1], self.network.input_shape[2]

    @property
    def pixel_range(self) -> tuple[float, float]:
        """What pixels of 0 and 255 become inside the network."""
        if not any(layer.name == "scaling" for layer in self.network.layers):
            raise UserError(f"{self.path} is no embedder of this kit (no layer 'scaling'): it cannot be trained on")
        scaling = self.network.get_layer("scaling")
        return float(scaling.offset), float(scaling.offset + 255.0 * scaling.scale)

    @property
    def thresholds(self) -> dict[str, Any] | None:
        """The stored thresholds (squared distances), or None where there are none for just these weights."""
        stored = self.card.get("thresholds")
        return stored if stored and stored.get("sha256") == self.card["sha256"] else None

    @classmethod
    def load(
        cls, path: PathLike, input_size: int | None = None, threads: int = 0, on_keras: bool = False
    ) -> "Embedder":
        """Reads `.keras` with its card, what export.py made of one, or weights that facenet-tf2 wrote (`.h5`).

        Where `m.onnx` beside `m.keras` gives the same embeddings sooner (`utils.exported.same_sooner`), it runs in the
        place of the network, and Keras is not started.

        Args:
            input_size: pixels, for `.h5` only, which does not say it; 160 where it is None or 0.
            threads: for exported files only; 0: as many as there are cores.
            on_keras: the network itself is wanted: it is trained, converted, or compared.

        Raises:
            UserError: no such file, not an embedder, weights that do not fit, or what runs it is not installed.
        """
        path = Path(path)
        if is_exported(path):
            card = stored_card(path)
            return cls(exported_network(path, card, threads), card | {"sha256": fingerprint(path)}, path)
        if not path.is_file():
            raise UserError(f"--model_path: no file '{path}'; expected an embedder ({KINDS})")
        if path.suffix in (".h5", ".hdf5"):
            return cls._from_facenet_tf2(path, input_size or FACENET_TF2_INPUT)
        if path.suffix != ".keras":
            raise UserError(f"model_path: '{path}' is no embedder's name ({KINDS})")
        card = stored_card(path) | {"sha256": sha256(path)}
        if not on_keras and (sooner := same_sooner(path, card["sha256"])):
            return cls(exported_network(sooner, card, threads), card, path)
        return cls(cls._network(path), card, path, learns=False)

    @staticmethod
    def _network(path: Path) -> "keras.Model":
        keras = start_keras()
        from nets import layers as _registered  # noqa: F401  (loading a .keras file needs the layer's registration)

        try:
            network = keras.saving.load_model(path, compile=False)
        except (OSError, ValueError, TypeError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            why = str(error).splitlines()[0] if zipfile.is_zipfile(path) else "it is cut off, or a file of another kind"
            raise UserError(f"model_path: '{path}' is not a Keras model: {why}") from error
        shapes = network.input_shape, network.output_shape
        photos = isinstance(shapes[0], tuple) and len(shapes[0]) == 4 and shapes[0][3] == 3 and all(shapes[0][1:])
        if not photos or not isinstance(shapes[1], tuple) or len(shapes[1]) != 2:
            raise UserError(f"model_path: '{path}' maps {shapes[0]} to {shapes[1]}; an embedder maps photos to vectors")
        return network

    @classmethod
    def _from_facenet_tf2(cls, path: Path, input_size: int) -> "Embedder":
        start_keras()
        from nets.facenet import facenet
        from utils.weights import load_facenet_tf2, read_facenet_tf2_backbone

        backbone = read_facenet_tf2_backbone(path)
        try:
            network = facenet((input_size, input_size, 3), backbone=backbone, mode="predict", pixel_range=(0.0, 1.0))
        except ValueError as error:
            raise UserError(f"--input_size {input_size}: {' '.join(str(error).split())}") from error
        print(load_facenet_tf2(network, path))
        card = {"backbone": backbone, "input_size": [input_size, input_size], "crop": 1.0, "embedding_size": 128}
        return cls(network, stored_card(path) | card | {"sha256": sha256(path)}, path, learns=False)

    def save(self, path: PathLike) -> None:
        """Writes `path` (`.keras`) and its card, each whole or not at all; the thresholds of other weights go."""
        path = Path(path)
        with written_whole(path) as temporary:
            self.network.save(temporary)
        self.path = path
        self.card = self.card | {"sha256": sha256(path)}
        write_json(card_path(path), self.card | {"thresholds": self.thresholds})

    def store_thresholds(self, thresholds: dict[str, Any]) -> None:
        """Writes thresholds into the card beside the weights, tied to their SHA-256; ValueError without a file."""
        if self.path is None:
            raise ValueError("an embedder without a file has no card; save it first")
        self.card = self.card | {"thresholds": thresholds | {"sha256": self.card["sha256"]}}
        write_json(own_card(self.path) if is_exported(self.path) else card_path(self.path), self.card)

    def reread_card(self) -> None:
        """Takes what another program has written of these weights since the card was read."""
        now = stored_card(self.path) if self.path else {}
        if now.get("sha256") == self.card["sha256"]:
            self.card = now

    def read(self, source: PathLike | FileInMemory) -> np.ndarray:
        """Returns the photo as the network sees it, uint8 `(H, W, 3)` RGB; raises ImageError."""
        return self.fit(self.cropper([read_image(source)])[0])

    def fit(self, crop: Crop) -> np.ndarray:
        """Returns a crop at the network's size, uint8 `(H, W, 3)`."""
        return fit_image(crop.image, self.size, crop.cut)

    def embed_images(self, images: np.ndarray, flip: Flip = "none") -> np.ndarray:
        """Returns float32 `(N, D)`, `(N, 2D)` for flip "concat", of unit length.

        Args:
            images: uint8 `(N, H, W, 3)` at the network's size.
            flip: "sum" adds the embedding of the mirrored image, "concat" puts it behind.
        """
        embeddings = self._forward(images)
        if flip == "none":
            return _unit(embeddings)
        pair = _unit(embeddings), _unit(self._forward(images[:, :, ::-1]))
        return _unit(pair[0] + pair[1] if flip == "sum" else np.concatenate(pair, axis=1))

    def _forward(self, images: np.ndarray) -> np.ndarray:
        found = [np.empty((0, self.network.output_shape[1]), np.float32)]
        run = self._by_keras if self._on_keras else self.network.predict_on_batch
        self._embedded += len(images)
        found += [run(images[first : first + BATCH]) for first in range(0, len(images), BATCH)]
        return np.concatenate(found)

    def _by_keras(self, batch: np.ndarray) -> np.ndarray:
        from nets.folding import folded

        few = self._embedded <= FEW
        if self._folds and self._folded is None and not few:
            self._folded = folded(self.network)
        # TensorFlow with oneDNN takes 140 ms for one image where it takes 21 for two (MobileNet, a CPU with AVX2)
        empty = max(2, 1 << (len(batch) - 1).bit_length()) - len(batch)
        filled = np.concatenate([batch, np.zeros((empty, *batch.shape[1:]), batch.dtype)])
        return np.asarray(outputs_of(self._folded or self.network, filled, few), np.float32)[: len(batch)]

    def embed_files(
        self, sources: Sequence[PathLike | FileInMemory], flip: Flip = "none", progress: str | None = None
    ) -> np.ndarray:
        """Returns float32 `(N, D)`, `(N, 2D)` for flip "concat", of unit length; a name for `progress` shows a bar.

        Raises ImageError where a file cannot be read.
        """
        step = BATCH // 4 if self.cropper.aligns else BATCH  # raw photos may have 100 MB each
        chunks = [sources[i : i + step] for i in range(0, len(sources), step)]
        found = []
        watched = progress_bar(total=len(sources), desc=progress, disable=progress is None)
        with ThreadPoolExecutor() as pool, watched as bar:
            ahead = [pool.submit(read_image, source) for source in (chunks[0] if chunks else [])]
            for number, chunk in enumerate(chunks):
                reading, following = ahead, chunks[number + 1] if number + 1 < len(chunks) else []
                ahead = [pool.submit(read_image, source) for source in following]  # while the network computes
                crops = self.cropper([job.result() for job in reading], [source_name(source) for source in chunk])
                images = np.stack(list(pool.map(self.fit, crops)))
                found.append(self.embed_images(images, flip))
                bar.update(len(images))
        return np.concatenate(found) if found else self.embed_images(np.empty((0, *self.size, 3), np.uint8), flip)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors (N,D) at unit length: not every network normalises its own; raises UserError for NaN."""
    check_finite(vectors)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
