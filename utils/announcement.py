"""What train.py says before its first step: data, settings, memory, and what will not go well."""

import textwrap
from dataclasses import fields
from typing import Any


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
    from utils.cards import stored_card

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
    changed = (field for field in fields(settings) if getattr(settings, field.name) != field.default)
    return {
        "losses": " + ".join(f"{weight:g} x {name}" for name, weight in weights.items() if weight),
        "rate": f"{settings.init_lr:g} ({settings.lr_decay}, warm-up {settings.warmup:.0%}), {settings.optimizer}",
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
