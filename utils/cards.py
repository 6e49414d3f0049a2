"""The JSON beside an embedder's weights: what it expects of photos, what it was trained with, what was measured."""

import os
from pathlib import Path
from typing import Any

from utils.exported import is_exported, own_card
from utils.files import read_json
from utils.settings import UserError


def card_path(path: str | os.PathLike[str]) -> Path:
    """Returns the JSON beside an embedder's weights: `m.json`, or `m.onnx.json` of an exported one that has its own."""
    own = own_card(path)
    return own if is_exported(path) and own.is_file() else Path(path).with_suffix(".json")


def stored_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns what the JSON beside an embedder's weights says; whole photos are its crops where there is none."""
    if not card_path(path).is_file():
        return {"crop": 1.0}
    card = read_json(card_path(path))
    if not isinstance(card, dict):
        raise UserError(f"{card_path(path)} is no embedder's card: an object is expected in it")
    return card
