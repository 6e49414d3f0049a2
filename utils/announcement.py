"""What train.py says before its first step (data, settings, memory, what will not go well) and after its last."""

import textwrap
from dataclasses import fields
from typing import Any

from utils.cards import stored_card
from utils.metrics import RATES, rate_name
from utils.terminal import say
from utils.train_checks import DECAYS

FIGURES = {"accuracy": "accuracy", "auc": "AUC"} | {  # of an epoch, and what they are called
    f"val_at_far_{rate_name(rate)}": f"VAL at FAR {rate_name(rate)}" for rate in RATES
}


def memory_lines(settings: Any, network: Any, classes: Any, kept: int, loader: Any, devices: int) -> dict[str, str]:
    """Returns what is said of memory: "memory", an estimate; and, where it may not fit, what would make it."""
    from utils.backend import xla_pays
    from utils.memory_estimate import CUBE_BYTES, CUBES, advice, device_memory, line, memory_of

    _, free, on_host = device_memory()
    images = (loader.sampler.batch_size, settings.input_size, settings.input_size)
    parts = memory_of(network, classes, kept, images, loader.max_queue_size, on_host)
    if settings.metric_weight and settings.metric_loss in CUBES and not xla_pays():
        parts["mining"] = CUBE_BYTES * images[0] ** 3
    if not on_host:
        parts = {name: size if name == "network" else size / devices for name, size in parts.items()}
    said = {"memory": line(parts, free), "warning": advice(parts, free, settings)}
    return {name: text for name, text in said.items() if text}


def advice_lines(settings: Any, people: Any, card: dict[str, Any]) -> dict[str, str]:
    """Returns what is said of too few people for random weights, and of weights that know other crops."""
    from utils.advice import few_people, other_faces

    said = {
        "few people": few_people(people.number_of_people, bool(settings.model_path or settings.pretrained != "none")),
        "weights": other_faces(stored_card(settings.model_path), card) if settings.model_path else None,
    }
    return {name: line for name, line in said.items() if line}


def settings_lines(settings: Any) -> dict[str, str]:
    """Returns what is said of the settings: losses and their weights, learning rate, all that were changed."""
    weights = {
        settings.metric_loss: settings.metric_weight,
        f"cross-entropy ({settings.head})": settings.cross_entropy_weight,
        "centre": settings.centre_weight,
        "teacher's contrast": settings.teacher_contrast if settings.teacher else 0,
        f"teacher's {settings.teacher_way}": settings.teacher_weight,
    }
    by_name = settings.lr_decay in DECAYS  # else a file says all rates
    rate = f"{settings.init_lr:g} ({settings.lr_decay}, " if by_name else f"of {settings.lr_decay} ("
    changed = (field for field in fields(settings) if getattr(settings, field.name) != field.default)
    return {
        "losses": " + ".join(f"{weight:g} x {name}" for name, weight in weights.items() if weight),
        "rate": f"{rate}warm-up {settings.warmup:.0%}), {settings.optimizer}",
        "settings": ", ".join(f"{field.name} {getattr(settings, field.name)}" for field in changed) or "the defaults",
    }


def announce(
    run: Any,
    epochs: int,
    loader: Any,
    held_out: Any,
    trainer: Any,
    alignment: str | None,
    more: dict[str, str],
) -> None:
    """Prints what is about to happen, and `more` lines, name -> text."""
    from utils.samplers import PeopleSampler

    people, batch_size = loader.sampler.annotations, loader.sampler.batch_size
    head = trainer.sample.head.count_params() if trainer.sample else 0  # not in the network that is run
    alone = int((loader.sampler.counts == 1).sum())
    seldom = ", and seldom drawn" if isinstance(loader.sampler, PeopleSampler) else ""
    lines = {
        "people": f"{people.number_of_people:,} ({alone:,} with one photo: negatives only{seldom if alone else ''})",
        "images": f"{len(people):,}",
        "crops": alignment or "of an unknown cut (--alignment names it): used as they are",
        "held out": f"{held_out.number_of_people:,} people, {len(held_out):,} images" if held_out else "nobody",
        "steps": f"{loader.last_step:,} of {batch_size} images, {loader.last_step // epochs:,} an epoch",
        "first step": f"{loader.first_step + 1:,}",
        "parameters": f"{trainer.forward.count_params() + head:,}",
        "folder": str(run.folder),
    } | more
    for name, text in lines.items():
        print(textwrap.fill(f"{name:>10}  {text}", 80, subsequent_indent=" " * 12, break_long_words=False))


def announce_end(run: Any, sets: list[str]) -> None:
    """Prints where the embedder is, and the figures of its epoch on each of the `sets`, with their 95% intervals."""
    picked = "best on people held out" if "held_out" in sets else "the last epoch: nobody was held out"
    print(f"done: {run.best}\n      ({picked}; curves, history and the last weights beside it)")
    if not run.writes:
        return
    trained = stored_card(run.best)["trained"]
    figures, intervals = trained["figures"], trained.get("intervals", {})
    for name in sets:
        found = {label: f"{name}_{figure}" for figure, label in FIGURES.items() if f"{name}_{figure}" in figures}
        said = [f"{label} {figures[key]:.3f}{span(intervals.get(key))}" for label, key in found.items()]
        say(f"{name.replace('_', ' ')}, epoch {trained['epoch']}: {', '.join(said)}")


def span(ends: list[float] | None) -> str:
    """Returns " (0.918 .. 0.940)" of an interval; nothing where there is none."""
    return f" ({ends[0]:.3f} .. {ends[1]:.3f})" if ends else ""
