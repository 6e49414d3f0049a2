"""Exported embedders in a network's place: ONNX and TFLite files, and the folder of a SavedModel."""

import hashlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from utils.backend import may_have_gpu, silenced
from utils.files import read_json, sha256
from utils.onnx_network import OnnxNetwork
from utils.settings import UserError

SAVED_MODEL = "saved_model.pb"  # the file by which such a folder is known
SAME = 1e-6  # squared distance of a photo's two embeddings, up to which a file gives what it was made of gives
Network = Any  # input_shape (None, H, W, 3), output_shape (None, D), predict_on_batch: what an Embedder asks of one


class LiteRtNetwork:
    """Photos in, embeddings out, by LiteRT (TensorFlow Lite); not to be called from two threads at once.

    Attributes:
        input_shape: (None, H, W, 3).
        output_shape: (None, D).
    """

    def __init__(self, path: str | os.PathLike[str], card: dict[str, Any], threads: int = 0):
        """Loads `path`, as export.py wrote it, for so many threads (0: as many as there are cores).

        Raises UserError where LiteRT is not installed, or the file cannot be read or takes anything but photos.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise UserError(f"'{path}' takes LiteRT, which is not installed: pip install ai-edge-litert") from None
        try:
            with silenced():
                content = Path(path).read_bytes()
                self._interpreter = Interpreter(model_content=content, num_threads=threads or os.cpu_count())
                self._interpreter.allocate_tensors()
        except OSError as error:
            raise UserError(f"cannot read '{path}': {error.strerror}") from error
        except (ValueError, RuntimeError) as error:
            raise UserError(f"'{path}' is not a TFLite file that can be run: {_first_line(error)}") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        shapes = [one["shape"].tolist() for one in (*inputs, *outputs)]
        is_embedder = [len(shape) for shape in shapes] == [4, 2] and inputs[0]["dtype"] == np.uint8
        if not is_embedder or shapes[0][0] != 1 or shapes[0][3] != 3:
            raise UserError(f"'{path}' maps {shapes}; one photo [1, H, W, 3], uint8, to a vector [1, D] is expected")
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self.input_shape = (None, *shapes[0][1:])
        self.output_shape = (None, shapes[1][1])

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Returns float32 `(B, D)` of uint8 RGB images `(B, H, W, 3)`."""
        found = np.empty((len(images), self.output_shape[1]), np.float32)
        for row, image in enumerate(images):
            self._interpreter.set_tensor(self._input, image[None])
            self._interpreter.invoke()
            found[row] = self._interpreter.get_tensor(self._output)[0]
        return found


class SavedModelNetwork:
    """Photos in, embeddings out, by TensorFlow, whatever Keras runs on.

    Attributes:
        input_shape: (None, H, W, 3).
        output_shape: (None, D).
    """

    def __init__(self, path: str | os.PathLike[str], card: dict[str, Any], threads: int = 0):
        """Loads the folder `path`; `threads` is TensorFlow's own affair.

        Raises UserError where TensorFlow is not installed, or the folder cannot be read or takes anything but photos.
        """
        try:
            import tensorflow as tf
        except ImportError:
            raise UserError(f"'{path}' is a SavedModel, which takes TensorFlow: pip install tensorflow") from None
        try:
            with silenced():
                self._loaded = tf.saved_model.load(str(path))  # kept: its variables live as long as it does
                self._serve = self._loaded.signatures["serving_default"]
        except Exception as error:  # TensorFlow's errors have no class in common
            raise UserError(f"'{path}' is not a SavedModel that can be run: {_first_line(error)}") from error
        (_, inputs), outputs = self._serve.structured_input_signature, self._serve.structured_outputs
        shapes = [one.shape.as_list() for one in (*inputs.values(), *outputs.values())]
        if [len(shape) for shape in shapes] != [4, 2] or shapes[0][3] != 3:
            raise UserError(f"'{path}' maps {shapes}; photos [None, H, W, 3] to vectors [None, D] are expected")
        (self._name,), (self._output,) = inputs, outputs
        self._as_tensor: Callable[..., Any] = tf.constant
        self._dtype = inputs[self._name].dtype
        self.input_shape = (None, *shapes[0][1:])
        self.output_shape = (None, shapes[1][1])

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Returns float32 `(B, D)` of uint8 RGB images `(B, H, W, 3)`."""
        found = self._serve(**{self._name: self._as_tensor(images, self._dtype)})
        return np.asarray(found[self._output], np.float32)


NETWORKS: dict[str, type] = {  # suffix -> what runs such a file; a SavedModel is a folder
    ".onnx": OnnxNetwork,
    ".tflite": LiteRtNetwork,
    "": SavedModelNetwork,
}


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Says whether `path` is an ONNX or TFLite file by its name, or the folder of a SavedModel."""
    path = Path(path)
    return (path / SAVED_MODEL).is_file() or (path.suffix in NETWORKS and path.is_file() and path.suffix != "")


def exported_network(path: str | os.PathLike[str], card: dict[str, Any], threads: int = 0) -> Network:
    """Returns what runs an exported embedder, on so many threads (0: all); raises UserError where nothing can."""
    path = Path(path)
    return NETWORKS["" if path.is_dir() else path.suffix](path, card, threads)


def same_sooner(path: Path, sha: str) -> Path | None:
    """Returns `m.onnx` beside `m.keras` where it is to run in its place, or None.

    It was made of just these weights (`sha` is their SHA-256) and gives the same embeddings; ONNX Runtime is installed;
    and there is no Keras, or no GPU for it, and no backend was asked for by name (the environment's KERAS_BACKEND).
    """
    sooner = path.with_suffix(".onnx")
    if not (sooner.is_file() and own_card(sooner).is_file()):
        return None
    on_keras = "KERAS_BACKEND" in os.environ or may_have_gpu()
    if importlib.util.find_spec("onnxruntime") is None or (on_keras and importlib.util.find_spec("keras")):
        return None
    try:
        card = read_json(own_card(sooner))
    except UserError:
        return None  # a damaged one does not stop the weights beside it
    made = card.get("exported") if isinstance(card, dict) else None
    if not isinstance(made, dict):
        return None
    is_same = made.get("from_sha256") == sha and made.get("largest_difference", 1.0) <= SAME
    return sooner if is_same and card.get("sha256") == sha256(sooner) else None


def own_card(path: str | os.PathLike[str]) -> Path:
    """Returns the JSON of an exported embedder: `m.onnx.json`, so that `m.keras` beside it keeps its `m.json`."""
    path = Path(path)
    return path.with_name(f"{path.name}.json")


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file, or of the names and the SHA-256 of all files in a folder."""
    path = Path(path)
    if path.is_file():
        return sha256(path)
    inner = sorted(each for each in path.rglob("*") if each.is_file())
    lines = [f"{each.relative_to(path).as_posix()} {sha256(each)}\n" for each in inner]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
