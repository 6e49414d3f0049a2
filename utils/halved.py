"""A .keras file in half the bytes: its matrices and kernels rounded to float16. Keras loads it as any other."""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np

from utils.settings import UserError

WEIGHTS = "model.weights.h5"  # within a .keras file
LARGEST = float(np.finfo(np.float16).max)


def halve(source: Path, target: Path) -> None:
    """Writes `source` (.keras) to `target` with weights of two dimensions or more in float16, packed.

    Vectors (biases, BatchNorm's scales and statistics) stay float32: they take no room, and a variance may lie outside
    float16's range. Raises UserError where a weight does.
    """
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as half:
        for name in whole.namelist():
            stored = whole.read(name)
            fixed_date = zipfile.ZipInfo(name)  # the same weights give the same bytes
            half.writestr(fixed_date, _halved(stored) if name == WEIGHTS else stored, zipfile.ZIP_DEFLATED)


def _halved(weights: bytes) -> bytes:
    """Returns the bytes of an HDF5 file with its matrices in float16."""
    written = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as old, h5py.File(written, "w") as new:
        new.attrs.update(old.attrs)

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                values = item[()]
                made = new.create_dataset(name, data=_rounded(name, values) if values.ndim > 1 else values)
            else:
                made = new.require_group(name)
            made.attrs.update(item.attrs)

        old.visititems(copy)
    return written.getvalue()


def _rounded(name: str, values: np.ndarray) -> np.ndarray:
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= LARGEST:
        raise UserError(f"{name} holds {largest:g}; float16 ends at {LARGEST:g}")
    return values.astype(np.float16)
