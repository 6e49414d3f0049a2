"""Makes of a run's embedder the file that comes with the project: half the bytes, a card without paths, checked.

Run as `python -m benchmarks.release --model_path logs/<run>/embedder_best.keras`; then `calibrate.py` and `eval_lfw.py`
on the written file, whose weights are no longer quite those of the run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.settings import UserError, run_script

LARGEST_DIFFERENCE = 1e-3  # squared distance between embeddings of noise before and after; of faces it is 1e-5
OF_OTHER_WEIGHTS = ("thresholds", "calibration")  # parts of a card


@dataclass(frozen=True)
class Settings:
    """Writes model_data/<name>.keras and its card."""

    model_path: str = ""  # a run's embedder (.keras)
    name: str = ""  # of the written file; empty: its trunk's
    output: str = "model_data"  # folder


def main(settings: Settings) -> None:
    """Halves, checks and writes."""
    if not settings.model_path:
        raise UserError("--model_path: a run's embedder (.keras) is expected")
    from utils.backend import start_keras

    start_keras()
    import numpy as np

    from utils.cards import card_path
    from utils.embedder import Embedder
    from utils.files import sha256, write_json, written_whole
    from utils.halved import halve

    whole = Embedder.load(settings.model_path, on_keras=True)
    target = Path(settings.output, f"{settings.name or whole.card['backbone']}.keras")
    images = np.random.default_rng(0).integers(0, 256, (64, *whole.size, 3), np.uint8)
    with written_whole(target) as temporary:
        halve(Path(settings.model_path), temporary)
        moved = Embedder.load(temporary, on_keras=True).embed_images(images) - whole.embed_images(images)
        difference = float(np.square(moved).sum(1).max())
        if difference > LARGEST_DIFFERENCE:
            raise UserError(
                f"float16 moves an embedding by {difference:.1e}; at most {LARGEST_DIFFERENCE:.0e} is expected"
            )
    write_json(card_path(target), public_card(whole.card) | {"sha256": sha256(target)})
    print(f"written      {target}, {target.stat().st_size / 1e6:.1f} MB; embeddings moved by {difference:.1e} at most")


def public_card(card: dict[str, Any]) -> dict[str, Any]:
    """Returns a card without what belongs to other weights, its settings' absolute paths by their last names only."""
    trained = card["trained"]
    named = {
        name: Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
        for name, value in trained["settings"].items()
    }
    kept = {key: value for key, value in card.items() if key not in OF_OTHER_WEIGHTS}
    return kept | {"trained": trained | {"settings": named}}


if __name__ == "__main__":
    run_script(main, Settings)
