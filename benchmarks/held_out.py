"""An embedder on the pairs of people held out by which its training chose, with intervals.

    python -m benchmarks.held_out --annotation_path cls_train.txt --model_path model_data/mobilenet.keras

Who was held out, and which pairs were drawn, the card says. A training's own figures are these, but that weights
may have been rounded to float16 since.
"""

from dataclasses import dataclass
from pathlib import Path

from utils.settings import UserError, run_script


@dataclass(frozen=True)
class Settings:
    """Measures an embedder on the people that its training held out."""

    annotation_path: str = "cls_train.txt"  # the training's
    model_path: str = "model_data/mobilenet.keras"  # embedder, its card beside it


def main(settings: Settings) -> None:
    """Prints each figure with its 95% interval."""
    from utils.annotations import read_annotations
    from utils.cards import stored_card
    from utils.embedder import Embedder
    from utils.held_out import held_out_of, names_in, seed_of
    from utils.metrics import verify
    from utils.validation import distances_of, held_out_pairs, summary, summary_intervals

    path, annotations = Path(settings.model_path), read_annotations(settings.annotation_path)
    card = stored_card(path)
    people = held_out_of(annotations, Path(settings.annotation_path).name, card, names_in(path.parent))
    if people is None:
        raise UserError(f"{settings.model_path} was not trained with {settings.annotation_path}, its card says")
    chosen = card["trained"]["settings"]
    pairs = held_out_pairs(people, chosen["val_pairs"], seed_of(chosen))
    distances = distances_of(Embedder.load(path), pairs)
    intervals = summary_intervals(distances, pairs)
    print(f"{people.number_of_people:,} people held out, {len(pairs.same):,} pairs, 95% intervals by resampling people")
    for name, value in summary(verify(distances, pairs.same, pairs.fold)).items():
        low, high = intervals.get(name, (float("nan"), float("nan")))
        print(f"{name:<18}{value:.4f}  ({low:.3f} .. {high:.3f})")


if __name__ == "__main__":
    run_script(main, Settings)
