"""The JSON beside an embedder's weights: what it expects of photos, what it was trained with, what was measured."""

import os
from pathlib import Path
from typing import Any

from utils.exported import is_exported, own_card
from utils.files import read_json
from utils.settings import UserError

Numbers = int | float | list
KINDS: dict[str, Any] = {
    "alignment": str,
    "thresholds": dict,
    "calibration": dict,
    "trained": dict,
    "mean": Numbers,
    "std": Numbers,
}
WORDS = {str: "a text", dict: "an object", Numbers: "a number, or a list of three"}


def card_path(path: str | os.PathLike[str]) -> Path:
    """Returns the JSON beside an embedder's weights: `m.json`; `m.onnx.json` of an exported one that has its own.

    `m.h5` beside `m.keras` has `m.h5.json`: they are two embedders.
    """
    path, own = Path(path), own_card(path)
    if path.suffix in (".h5", ".hdf5") and path.with_suffix(".keras").exists():
        return own
    return own if is_exported(path) and own.is_file() else path.with_suffix(".json")


def stored_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns what the JSON beside an embedder's weights says; whole photos are its crops where there is none."""
    if not card_path(path).is_file():
        return {"crop": 1.0}
    card = read_json(card_path(path))
    if not isinstance(card, dict):
        raise UserError(f"{card_path(path)} is no embedder's card: an object is expected in it")
    for name, kind in KINDS.items():
        if not isinstance(card.get(name), kind | None):
            raise UserError(f"{card_path(path)}: {name} is {str(card[name])[:40]!r}; {WORDS[kind]} is expected")
    if not isinstance((card.get("trained") or {}).get("settings"), dict | None):
        raise UserError(f"{card_path(path)}: trained.settings is no object")
    return card
