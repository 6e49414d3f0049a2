"""Steps of train.py: the card, the teacher's targets, what is read of a photo, pictures of a batch, callbacks."""

import math
import os
import time
from dataclasses import asdict, replace
from typing import Any

from utils.settings import UserError, typed_names
from utils.terminal import say

GOOD_TEACHER = 0.9  # AUC
LOOKED_AT = 1000  # people, evenly spread, whose folders tell how the photos were cropped


def card_of(settings: Any, people: Any, held_out: Any) -> dict[str, Any]:
    """Returns the card of the embedder that is to come: what it expects, and what made it."""
    from utils.alignment import Alignment
    from utils.cropping import common_alignment
    from utils.held_out import digest

    some = people.starts[:-1][:: max(1, people.number_of_people // LOOKED_AT)]  # a look costs three of the disk's
    folders = (os.path.dirname(people.path(row)) for row in some.tolist())
    alignment = Alignment.parse(settings.alignment) if settings.alignment else common_alignment(folders)
    return {
        "backbone": settings.backbone,
        "alignment": alignment.name if alignment else None,
        "input_size": [settings.input_size, settings.input_size],
        "crop": settings.crop,
        "embedding_size": settings.embedding_size,
        "trained": {
            "when": time.strftime("%Y-%m-%d"),
            "people": people.number_of_people,
            "images": len(people),
            "everybody": digest([*people.people, *held_out.people]),
            "held_out": digest(held_out.people),
            "settings": asdict(settings),
        },
    }


def targets_of(settings: Any, people: Any, alignment: str | None) -> tuple[Any, Any]:
    """Returns what the student is to imitate of the teacher, and of a teacher that sees varied images how it comes.

    That is (embeddings of all photos `(N, D)`, None), or (None, `utils.targets.Views`).
    """
    from utils.alignment import Alignment
    from utils.cropping import edges
    from utils.targets import Views, narrowing, quality, spreading
    from utils.teacher import Teacher, teacher_embeddings

    teacher = Teacher.load(settings.teacher, Alignment.parse(alignment) if alignment else None)
    embeddings = teacher_embeddings(teacher, people, os.path.join(settings.save_dir, "teachers"))
    by_vectors = settings.teacher_way == "distance" or settings.teacher_contrast
    auc = quality(embeddings, people.labels)
    wrong = f"; {GOOD_TEACHER} and more are expected: is it shown the right part (crop)?" if auc < GOOD_TEACHER else ""
    if math.isfinite(auc):  # else there are hardly any pairs
        say(f"teacher: AUC {auc:.3f} on pairs of the people that it teaches{wrong}")
    narrow = by_vectors and teacher.width != settings.embedding_size
    if narrow and "teacher_spread" in typed_names(settings):
        raise UserError(
            f"--teacher_spread {settings.teacher_spread:g} would do nothing: of {teacher.width} numbers the"
            f" {settings.embedding_size} of largest variance are taught, without the mean"
        )
    change = (
        narrowing(embeddings, settings.embedding_size) if narrow else spreading(embeddings, settings.teacher_spread)
    )
    if settings.teacher_sees == "varied":
        return None, Views(edges(teacher.embedder.cropper.cut_of_crops), change)
    return change.of(embeddings), None


def pixels_of(settings: Any, on_device: bool) -> Any:
    """Returns what the loader makes of a photo: the network's input, or where the device varies it, its context too."""
    from utils.dataloader import Pixels

    if on_device:
        size = round(settings.input_size / settings.crop)
        return Pixels((size, size))
    return Pixels((settings.input_size, settings.input_size), settings.crop, settings.flip, settings.shift)


def done_so_far(settings: Any, run: Any, trainer: Any, annotations: str, sets: Any) -> dict[str, Any]:
    """Returns epoch, history, SHA-256 of annotation file and teacher, the trainer being put where `run` was left.

    Raises UserError where there is nothing left to do, for another teacher, where people held out whom epochs were
    judged by cannot be measured (`sets`) any more, and as `utils.state.load_state`.
    """
    from utils.state import load_state
    from utils.training_people import taught_by

    teacher = taught_by(settings)
    if not run:
        return {"epoch": 0, "history": [], "annotations": annotations, "teacher": teacher}
    done = load_state(run.state, trainer, annotations)
    if done.setdefault("teacher", teacher) != teacher:  # runs of earlier versions did not note it
        raise UserError(f"--teacher {settings.teacher} is not what it was when the run began; resume needs the same")
    if "held_out" not in sets and any("held_out_auc" in epoch for epoch in done["history"]):
        raise UserError("the epochs so far were judged by people held out, whose photos resume needs again")
    if done["epoch"] >= settings.epochs:
        raise UserError(f"nothing to resume: {settings.resume} has done all of its {settings.epochs} epochs")
    return done


def callbacks_of(
    settings: Any, run: Any, loader: Any, trained: Any, schedule: Any, card: Any, sets: Any, done: Any
) -> list[Any]:
    """Returns what happens beside the steps, in its order; `trained` is the part of the network that embeds."""
    import keras

    from utils.callbacks import Grow, Keep, Verify, Watch
    from utils.embedder import Embedder
    from utils.precision import standalone
    from utils.progress import Bar

    def rate(step: int) -> float:
        return float(keras.ops.convert_to_numpy(schedule(step // settings.accumulate)))

    def embedder_at(size: int) -> Embedder:
        return Embedder(standalone(trained, (size, size)), card | {"input_size": [size, size]})

    verify = Verify(embedder_at(settings.input_size), sets)
    sizes = settings.first_size, settings.input_size
    return [
        Grow(sizes, round(settings.first_share * settings.epochs), verify, embedder_at),
        Watch(loader, rate),
        Bar(loader, rate, settings.epochs, loader.last_step // settings.epochs),
        Keep(run, verify, loader, done, trained),
    ]


def show_batch(loader: Any, trainer: Any) -> None:
    """Draws the first batch before and after it is varied, by the loader or by the device, into batch.png."""
    from keras.ops import convert_to_numpy

    from utils.batch_sheet import batch_sheet

    after = loader.batch(loader.first_step)[0]
    loader.pixels = replace(loader.pixels, flip=False, shift=0.0)
    before = loader.batch(loader.first_step)[0]
    before, after = trainer.shown(before, False)[0], trainer.shown(after, True)[0]
    batch_sheet("batch.png", convert_to_numpy(before), convert_to_numpy(after), "a batch before and after it is varied")
    print("picture batch.png")


def cached(settings: Any, loader: Any, trainer: Any, processes: int) -> dict[str, str]:
    """Has photos kept where they fit, and returns the line "cache" on it; raises UserError as `place_for`.

    Of several processes none chooses the device by itself: their free memory differs, their programs must not.
    """
    from utils.memory_estimate import device_memory, host_memory
    from utils.photo_cache import Room, place_for

    number, (height, width) = len(loader.sampler.annotations), loader.pixels.size
    _, free, on_host = device_memory()
    decoded = loader.photos.bytes_decoded() if settings.cache in ("auto", "ram") else 0.0
    room = Room(
        decoded, 3.0 * number * height * width, host_memory()[1], free if processes == 1 and not on_host else None
    )
    looks = (loader.last_step - loader.first_step) * loader.sampler.batch_size / number
    where, why = place_for(settings.cache, room, looks, trainer.augment is not None)
    if where == "ram":
        loader.photos.keep()
    if where == "device":
        trainer.keep_photos(loader.everything())
    return {"cache": f"{where}: {why}"}


def opened(run: Any, settings: Any, loader: Any, held_out: Any, writes: bool) -> Any:
    """Returns the run, a new one if none is resumed, with its settings, who is held out, a picture of its batch."""
    from utils.files import write_json
    from utils.held_out import write_names
    from utils.runs import Run

    drawn = run and run.sheet.is_file()  # a run that goes on has it
    batch = loader.batch(loader.first_step) if writes and not drawn else None  # read before a folder is made
    if not run:
        run = Run.create(settings.save_dir, settings.backbone) if writes else Run(settings.save_dir, writes=False)
    if run.writes:
        write_json(run.settings, asdict(settings))
        write_names(run.folder, held_out.people)
        if batch:
            images, *others = batch
            run.write_sheet(loader.sampler, (central(images, settings.input_size), *others))
    return run


def central(images: Any, size: int) -> Any:
    """Returns the middle `size` x `size` pixels of each of images `(B, H, W, 3)`."""
    top, left = ((side - size) // 2 for side in images.shape[1:3])
    return images[:, top : top + size, left : left + size]
