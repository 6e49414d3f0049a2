"""An ONNX file in a network's place: what `utils.embedder.Embedder` asks of one, and nothing more."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.settings import UserError

Shape = Sequence[int | str | None]  # ONNX names what is open


class OnnxNetwork:
    """Photos in, embeddings out, by ONNX Runtime; on a GPU where `onnxruntime-gpu` finds one.

    Attributes:
        input_shape: (None, H, W, 3).
        output_shape: (None, D).
    """

    def __init__(self, path: str | os.PathLike[str], card: dict[str, Any], threads: int = 0):
        """Loads `path`.

        Args:
            card: input_size [height, width] where the file leaves it open; mean and std (numbers, or one a channel in
                the order of the file's colours; 127.5 both where they are not said): (pixel - mean) / std goes in; and
                colours, "rgb" or "bgr". A file that takes uint8 (export.py's) is given the pixels themselves.
            threads: of the CPU; 0: as many as there are cores, or a GPU.

        Raises:
            UserError: ONNX Runtime is not installed, the file cannot be read, or does not map photos to vectors.
        """
        self._session = onnx_session(path, threads)
        (self._input, *more), self._batch = self._session.get_inputs(), 0
        shape = self._input.shape
        if more or len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise UserError(f"'{path}' takes {_inputs(self._session)}; one input of photos (B, 3, H, W) is expected")
        self._channels_first, self._scaled = shape[1] == 3, "uint8" not in self._input.type
        self._mean, self._std = (np.array(card.get(name, 127.5), np.float32) for name in ("mean", "std"))
        self._reversed = _is_bgr(path, card)
        self._batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else 0  # 0: any
        self.input_shape = (None, *_size(path, shape[2:] if self._channels_first else shape[1:3], card), 3)
        self.output_shape = (None, self._width(path))

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Returns float32 `(B, D)` of RGB images `(B, H, W, 3)`, 0..255."""
        x = images[..., ::-1] if self._reversed else images
        if self._scaled:
            x = (x.astype(np.float32) - self._mean) / self._std
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2) if self._channels_first else x)
        step = self._batch or len(x)
        return np.concatenate([self._run(x[i : i + step]) for i in range(0, len(x), step)])

    def _run(self, x: np.ndarray) -> np.ndarray:
        empty = max(self._batch - len(x), 0)  # a file with a batch of its own takes no less
        filled = np.concatenate([x, np.zeros((empty, *x.shape[1:]), x.dtype)])
        found = self._session.run(None, {self._input.name: filled})[0]
        return np.asarray(found, np.float32).reshape(len(filled), -1)[: len(x)]

    def _width(self, path: str | os.PathLike[str]) -> int:
        _, height, width, _ = self.input_shape
        try:
            return self.predict_on_batch(np.zeros((1, height, width, 3), np.uint8)).shape[1]
        except Exception as error:  # as above
            what = f"does not take photos of {height} x {width} pixels"
            raise UserError(f"'{path}' {what}: {str(error).splitlines()[0]}") from error


def onnx_session(path: str | os.PathLike[str], threads: int = 0) -> Any:
    """Returns what runs an ONNX file on so many threads of the CPU; 0: as many as there are cores, or a GPU.

    Raises UserError where ONNX Runtime is not installed, or the file cannot be read or run.
    """
    runtime = _runtime(path)
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = threads
    wanted = ("CPUExecutionProvider",) if threads else ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in runtime.get_available_providers()]
    try:
        return runtime.InferenceSession(Path(path).read_bytes(), options, providers=providers)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from error
    except Exception as error:  # ONNX Runtime's errors have no class in common
        raise UserError(f"'{path}' is not an ONNX file that can be run: {str(error).splitlines()[0]}") from error


def tell_nobody() -> None:
    """Keeps ONNX Runtime's builds (1.29 and on) from sending statistics to their maker; before it is imported."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _runtime(path: str | os.PathLike[str]) -> Any:
    tell_nobody()
    try:
        import onnxruntime
    except ImportError:
        raise UserError(f"'{path}' takes ONNX Runtime, which is not installed: pip install onnxruntime") from None
    return onnxruntime


def _inputs(session: Any) -> str:
    return " and ".join(f"{one.name} {tuple(one.shape)}" for one in session.get_inputs())


def _is_bgr(path: str | os.PathLike[str], card: dict[str, Any]) -> bool:
    colours = card.get("colours", "rgb")
    if colours not in ("rgb", "bgr"):
        raise UserError(f"the JSON beside '{path}' has colours '{colours}'; rgb or bgr is expected")
    return colours == "bgr"


def _size(path: str | os.PathLike[str], sides: Shape, card: dict[str, Any]) -> tuple[int, int]:
    """Returns (height, width): the file's own, or the card's where the file leaves it open."""
    said = card.get("input_size", [None, None])
    if not isinstance(said, list) or len(said) != 2:
        raise UserError(f"the JSON beside '{path}' has \"input_size\": {said!r}; [height, width] is expected")
    height, width = (side if isinstance(side, int) and side > 0 else own for side, own in zip(sides, said, strict=True))
    if not isinstance(height, int) or not isinstance(width, int):
        raise UserError(f"'{path}' takes photos of any size; the JSON beside it is to say \"input_size\": [112, 112]")
    return height, width
