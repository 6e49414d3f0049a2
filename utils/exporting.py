"""An embedder written for other programs: ONNX, TFLite or SavedModel, in float32, float16 or int8.

All of them take photos as they are, uint8 RGB `(B, H, W, 3)`, and give vectors of unit length. Keras's own `export`
does the work; what it leaves to others (ONNX in 16 and 8 bits) is done with ONNX's and ONNX Runtime's tools.
"""

import contextlib
import importlib.util
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from utils.backend import silenced
from utils.files import written_whole
from utils.onnx_network import tell_nobody
from utils.settings import UserError

Format = Literal["onnx", "tflite", "saved_model"]
Quantize = Literal["none", "float16", "int8"]
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "tflite": ".tflite", "saved_model": "_saved_model"}
NORM_OPERATIONS = ["SUM", "RSQRT", "MINIMUM", "MUL"]  # of TFLite: 8 bits would leave lengths of 0.99 to 1.01
SMALLEST_HALVED = 64  # numbers: shorter rows of weights stay float32, they take no room


def check_packages(form: Format) -> None:
    """Raises UserError where what writes or runs the format is not installed, or does not go with Keras's backend."""
    import keras

    backend = keras.backend.backend()
    if form == "tflite" and backend != "tensorflow":
        raise UserError(f"TFLite files are written under TensorFlow, not {backend}: KERAS_BACKEND=tensorflow")
    onnx_writer = "tf2onnx" if backend == "tensorflow" else "jax2onnx"
    needed = {"onnx": ("onnxruntime", onnx_writer), "tflite": ("ai_edge_litert",), "saved_model": ("tensorflow",)}[form]
    missing = [name.replace("_", "-") for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--format {form} takes what is not installed: pip install {' '.join(missing)}")


def photos_to_vectors(network: Any) -> Any:
    """Returns the network with uint8 photos at its input and unit vectors at its output, sharing its layers."""
    import keras

    images = keras.Input(network.input_shape[1:], dtype="uint8", name="images")
    vectors = network(keras.ops.cast(images, "float32"))
    if not isinstance(network.layers[-1], keras.layers.UnitNormalization):
        vectors = keras.layers.UnitNormalization(dtype="float32")(vectors)
    return keras.Model(images, vectors, name=network.name)


def convert(network: Any, path: Path, form: Format, quantize: Quantize, photos: np.ndarray) -> None:
    """Writes `network` to `path`: a file, or for SavedModel a folder.

    Args:
        quantize: "float16" keeps the weights in half the bytes and computes in float32; "int8" keeps weights, and
            computes, in 8 bits (Jacob et al. 2018, arXiv:1712.05877), but for the vector's length.
        photos: uint8 `(N, H, W, 3)` on which int8 measures how far each layer's numbers range.
    """
    model = photos_to_vectors(network)
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")  # deprecations within TensorFlow and tf2onnx
        WRITERS[form](model, path, quantize, photos)


def _saved_model(model: Any, path: Path, *_: Any) -> None:
    model.export(path, format="tf_saved_model", verbose=False, input_signature=_signature(model, None))


def _signature(model: Any, batch: int | None) -> list[Any]:
    import keras

    return [keras.InputSpec(dtype="uint8", shape=(batch, *model.input_shape[1:]), name="images")]


def _tflite(model: Any, path: Path, quantize: Quantize, photos: np.ndarray) -> None:
    path.write_bytes(_tflite_file(model, quantize, photos))


def _tflite_file(model: Any, quantize: Quantize, photos: np.ndarray) -> bytes:
    """Returns the file; it takes one photo a call: phones' accelerators want fixed shapes."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False, input_signature=_signature(model, 1))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if quantize == "none":
            return converter.convert()
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
            return converter.convert()

        def representative() -> Iterator[list[np.ndarray]]:
            yield from ([photo[None]] for photo in photos)

        converter.representative_dataset = representative
        # the one public way to leave operations of a TFLite file in float32
        options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=NORM_OPERATIONS)
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=representative, debug_options=options
        )
        return debugger.get_nondebug_quantized_model()


def write_onnx(model: Any, path: Path) -> None:
    """Writes a network of uint8 photos, named `images`, any number of them, as it is."""
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")  # deprecations within TensorFlow and tf2onnx
        model.export(path, format="onnx", verbose=False, input_signature=_signature(model, None))


def _onnx(model: Any, path: Path, quantize: Quantize, photos: np.ndarray) -> None:
    import onnx

    write_onnx(model, path)
    written = onnx.load(path)
    _rename(written)
    if quantize == "float16":
        _halve(written)
    onnx.save(written, path)
    if quantize == "int8":
        _onnx_int8(path, photos)


def _rename(model: Any) -> None:
    """Names what programs ask for: input "images", output "embedding", open batch "batch"."""
    graph = model.graph
    names = {graph.input[0].name: "images", graph.output[0].name: "embedding"}
    for node in graph.node:
        for ports in (node.input, node.output):
            ports[:] = [names.get(port, port) for port in ports]
    for value in (graph.input[0], graph.output[0]):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


def _halve(model: Any) -> None:
    """Keeps weights in float16; ONNX Runtime makes float32 of them once, when it loads the file."""
    from onnx import TensorProto, helper, numpy_helper

    graph, casts = model.graph, []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type == TensorProto.FLOAT and values.size >= SMALLEST_HALVED:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}/half"))
            casts.append(helper.make_node("Cast", [f"{name}/half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]  # in the order in which they are computed
    del graph.node[:]
    graph.node.extend(nodes)


def _onnx_int8(path: Path, photos: np.ndarray) -> None:
    tell_nobody()
    import onnx
    from onnxruntime.quantization import quant_pre_process, quantize_static

    class Photos:
        """One photo a call, then None: what ONNX Runtime calls a CalibrationDataReader."""

        def __init__(self) -> None:
            self._photos = iter(photos)

        def get_next(self) -> dict[str, np.ndarray] | None:
            photo = next(self._photos, None)
            return None if photo is None else {"images": photo[None]}

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(path, prepared, skip_symbolic_shape=True)  # folds BatchNorm, notes the shapes
        nodes = onnx.load(prepared).graph.node
        last = max(place for place, node in enumerate(nodes) if node.op_type in ("Conv", "Gemm", "MatMul"))
        norm = [node.name for node in nodes[last + 1 :]]
        # Weights of 7 bits: on processors without VNNI (AVX2) sums of two products of 8 bits overflow their 16.
        quantize_static(prepared, path, Photos(), per_channel=True, reduce_range=True, nodes_to_exclude=norm)


@contextlib.contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Yields a name for a folder beside `path`; when the block ends well it takes the place of `path`.

    Raises UserError where it cannot be written; then, or when the block raises, what was there before stays.
    """
    path, mark = Path(os.path.realpath(path)), secrets.token_hex(4)  # a link stays one
    temporary, before = (path.with_name(f".{path.name}-{mark}-{kind}") for kind in ("new", "old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if path.exists():
            path.rename(before)
        temporary.rename(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if before.exists() and not path.exists():
            before.rename(path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)


def exported_whole(path: str | os.PathLike[str], form: Format) -> contextlib.AbstractContextManager[Path]:
    """Returns what yields a temporary name and puts what was written there in its place, whole or not at all."""
    return folder_written_whole(Path(path)) if form == "saved_model" else written_whole(path)


WRITERS: dict[Format, Callable[[Any, Path, Quantize, np.ndarray], None]] = {
    "onnx": _onnx,
    "tflite": _tflite,
    "saved_model": _saved_model,
}
