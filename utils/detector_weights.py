"""The detector's networks: the ONNX files in model_data/mtcnn."""

import importlib.util
from pathlib import Path

from utils.settings import UserError

DETECTOR = "MTCNN, weights of mtcnn 1.0, landmarks the mean of 6 looks"  # utils/detector.py, as records name it
FOLDER = Path(__file__).parents[1] / "model_data" / "mtcnn"  # benchmarks/detector_files.py makes them
NAMES = ("p_net", "r_net", "o_net")


def detector_file(name: str) -> Path:
    """Returns the file of `p_net`, `r_net` or `o_net`; raises UserError where it is missing."""
    path = FOLDER / f"{name}.onnx"
    if not path.is_file():
        raise UserError(f"no file {path}: it comes with the project and finds the faces; fetch the project again")
    return path


def check_weights() -> None:
    """Raises UserError where faces cannot be found for want of a file or of ONNX Runtime, without loading them."""
    for name in NAMES:
        detector_file(name)
    if importlib.util.find_spec("onnxruntime") is None:
        raise UserError("ONNX Runtime, which finds the faces, is not installed: pip install -r requirements.txt")
