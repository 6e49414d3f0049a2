"""The state of a training on disk: what `--resume` needs to go on as if there had been no break."""

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from utils.files import written_whole
from utils.settings import UserError


def save_state(path: str | os.PathLike[str], trainer: keras.Model, meta: dict[str, Any]) -> None:
    """Writes all variables (weights, statistics, random states, optimizer) and `meta` into one `.npz`, whole or not.

    One file, so that a kill at any moment leaves the state of one epoch, never of two.
    """
    arrays = {f"{i:05d} {name}": keras.ops.convert_to_numpy(v) for i, (name, v) in enumerate(_variables(trainer))}
    arrays["meta"] = np.array(json.dumps(meta))
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def load_state(path: str | os.PathLike[str], trainer: keras.Model, annotations: str) -> dict[str, Any]:
    """Puts a saved state into a compiled trainer and returns its `meta`.

    Raises UserError where the file is missing, damaged, of another network or optimizer, or where its `meta` names
    another SHA-256 of the annotation file than `annotations`: the order of the data would be another.
    """
    if not Path(path).is_file():
        raise UserError(f"nothing to resume: no file '{path}' (it is written after the first whole epoch)")
    if not trainer.optimizer.built:
        trainer.optimizer.build(trainer.trainable_variables)
    variables = _variables(trainer)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            meta = json.loads(str(stored["meta"]))
            names = [n for n in stored.files if n != "meta"]
            arrays = [stored[n] for n in names]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"cannot read the training state '{path}': {error}") from error
    if meta["annotations"] != annotations:
        what = "the annotation file, or --unlabelled, or the file of --lr_decay"
        raise UserError(f"{what} has changed since the run began; resume needs the same")
    shapes = [tuple(v.shape) for _, v in variables]
    if [a.shape for a in arrays] != shapes:
        raise UserError(f"'{path}' holds {len(arrays)} arrays that do not fit this network's {len(shapes)} variables")
    for (_, variable), array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return meta


def _variables(trainer: keras.Model) -> list[tuple[str, Any]]:
    without = {id(v) for v in (*trainer.metrics_variables, *trainer.given())}  # the first start anew each epoch
    own = [v for v in trainer.variables if id(v) not in without]
    return [(v.path, v) for v in (*own, *trainer.optimizer.variables)]
