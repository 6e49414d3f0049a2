"""Trains an embedder on the people of cls_train.txt. Edit the settings below, or give them as flags, and run it."""

import os
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

from utils.settings import UserError, run_script

Backbone = Literal["mobilenet", "inception_resnet_v1", "mobilefacenet", "iresnet18", "iresnet50"]
MetricLoss = Literal["triplet", "semi_hard", "any_violating", "batch_hard", "batch_all", "contrastive"]
Head = Literal["softmax", "arcface", "cosface", "combined", "adaface", "subcenter"]


@dataclass(frozen=True)
class Settings:
    """Trains an embedder: python train.py [--setting value ...]. What is printed is what is used."""

    annotation_path: str = "cls_train.txt"  # made by txt_annotation.py
    alignment: str = ""  # how the photos were cropped (landmarks-128-8); empty: what align.py recorded beside them
    input_size: int = 160  # pixels, square
    crop: float = 1.0  # central share of each photo that is used (0.875: the middle 112 of 128 pixels)

    backbone: Backbone = "mobilenet"  # trunk of the network
    stem_stride: int = 2  # of mobilenet's first layer; 1: larger maps, four times the cost
    embedding_size: int = 128  # numbers an embedding
    dropout: float = 0.6  # share of the trunk's features that a step drops
    model_path: str = ""  # weights to start from: an embedder (.keras), or .h5 of facenet-tf2
    pretrained: Literal["none", "imagenet"] = "none"  # imagenet: MobileNet's trunk from keras.applications (a download)
    precision: Literal["float32", "bfloat16"] = "float32"  # of the layers; statistics, losses and weights stay float32

    sampler: Literal["triples", "people", "shuffled"] = "triples"  # anchor, positive, negative; images_each of a person
    images_each: int = 4  # images a person in a batch (people)
    people_power: float = 0.0  # people: 0 draws all equally often, 1 by their number of images
    batch_size: int = 96  # images a step; with triples a third each of anchors, positives, negatives
    epochs: int = 100  # of steps_per_epoch each
    steps_per_epoch: int = 0  # 0: as many as show one image for each in the training set

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"  # sgd has a momentum of 0.9 (Nesterov)
    init_lr: float = 1e-3  # learning rate, used as typed
    lr_decay: str = "cos"  # cos, step, exponential (to 1% of init_lr), constant, or a file of `epoch rate` lines
    warmup: float = 0.0  # share of the run in which the rate rises from 0
    weight_decay: float = 0.0  # share of a weight and of the rate (adamw, sgd); not of BatchNorm, biases, PReLU
    clip_norm: float = 0.0  # length to which all gradients together are cut; 0: never
    accumulate: int = 1  # batches an update
    ema: float = 0.0  # share of the run over which the weights are averaged, for what is measured and saved; 0: not

    metric_loss: MetricLoss = "triplet"  # triplet: as drawn (sampler triples); the others look at the whole batch
    metric_weight: float = 1.0  # of the metric loss in the sum
    margin: float = 0.2  # of the triplet losses, in squared distance
    temperature: float = 0.2  # of the contrastive loss: the cosine is divided by it
    cross_entropy_weight: float = 1.0  # of the cross-entropy over the people in the sum
    head: Head = "softmax"  # what it is taken of: plain logits, or cosines with a margin
    head_margin: float = -1.0  # of a margin head; -1: its paper's
    head_scale: float = 0.0  # of a margin head's cosines; 0: AdaCos's, from the number of people
    head_ramp: float = 0.5  # share of the run in which the margin rises from 0
    label_smoothing: float = 0.0  # share of a label that is spread over all people
    centre_weight: float = 0.0  # of the centre loss in the sum

    teacher: str = ""  # an embedder to learn from (.keras or .onnx, with its JSON)
    teacher_weight: float = 1.0  # of the distance to it in the sum
    teacher_way: Literal["distance", "relation"] = "distance"  # to its vectors; or to its cosines within the batch
    teacher_spread: float = 0.7  # share of its mean embedding that is taken off first

    flip: bool = True  # mirror half of the images
    shift: float = 0.0  # pixels: images are moved by up to this much each way
    rotation: float = 0.0  # degrees, at most
    scale: float = 0.0  # 0.1: from 0.9 to 1.1 times as large
    brightness: float = 0.0  # share, at most; so are the next two
    contrast: float = 0.0  # share
    saturation: float = 0.0  # share
    grey: float = 0.0  # share of the images that lose their colours
    blur: float = 0.0  # share of the images; so are the next three
    low_resolution: float = 0.0  # scaled down and up again
    noise: float = 0.0  # what JPEG at a low quality leaves
    patches: float = 0.0  # partly covered
    show_batch: bool = False  # draw a batch before and after it is varied, and stop

    val_people: float = 0.05  # people held out for validation: a share, or (from 1 on) a number; 0 holds out none
    val_pairs: int = 6000  # pairs of held-out people, half of them same
    lfw_dir: str = ""  # folder of LFW crops: measured after each epoch, never chosen by
    lfw_pairs: str = "model_data/lfw_pairs.txt"  # LFW's list of pairs
    save_dir: str = "logs"  # a folder for each run is made in it
    resume: str = ""  # a run's folder: goes on after its last whole epoch, with its settings
    seed: int = 0  # of weights, order, draws, dropout and of who is held out
    workers: int = 4  # threads that read images

    def __post_init__(self) -> None:
        """Refuses what cannot work, before any file or device is touched."""
        triples, multiple = self.sampler == "triples", "3 or more, a multiple of 3 where the sampler is triples"
        if self.metric_weight and self.metric_loss == "triplet" and not triples:
            raise UserError(f"--metric_loss triplet takes --sampler triples; received {self.sampler}")
        if not (self.metric_weight or self.cross_entropy_weight or self.centre_weight or self.teacher):
            raise UserError("nothing to learn: all weights of the losses are 0, and there is no --teacher")
        if self.stem_stride != 2 and self.backbone != "mobilenet":
            raise UserError(f"--stem_stride is of mobilenet; received {self.stem_stride} for {self.backbone}")
        if self.head == "combined" and self.head_margin >= 0:
            raise UserError(
                f"--head combined has three margins of its own; received --head_margin {self.head_margin:g}"
            )
        if self.weight_decay and self.optimizer == "adam":
            raise UserError(f"--weight_decay {self.weight_decay:g}: adam has none; --optimizer adamw has")
        shares = "dropout warmup people_power ema head_ramp label_smoothing teacher_spread scale brightness contrast"
        shares += " saturation grey blur low_resolution noise patches"
        weights = (
            "weight_decay clip_norm metric_weight cross_entropy_weight centre_weight teacher_weight head_scale shift"
        )
        limits = {name: (0 <= getattr(self, name) <= 1, "0 to 1") for name in shares.split()}
        limits |= {name: (getattr(self, name) >= 0, "0 or more") for name in f"{weights} rotation".split()}
        limits |= {
            "crop": (0 < self.crop <= 1, "over 0, at most 1"),
            "dropout": (0 <= self.dropout < 1, "0 or more, under 1"),
            "warmup": (0 <= self.warmup < 1, "0 or more, under 1"),
            "stem_stride": (self.stem_stride in (1, 2), "1 or 2"),
            "images_each": (self.images_each >= 2, "2 or more"),
            "accumulate": (self.accumulate >= 1, "1 or more"),
            "input_size": (self.input_size >= 80, "80 pixels or more"),
            "embedding_size": (self.embedding_size >= 2, "2 or more"),
            "batch_size": (self.batch_size >= 3 and (not triples or self.batch_size % 3 == 0), multiple),
            "temperature": (self.temperature > 0, "over 0"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "steps_per_epoch": (self.steps_per_epoch >= 0, "0 (one pass) or more"),
            "init_lr": (self.init_lr > 0, "over 0"),
            "val_people": (self.val_people >= 0, "0 or more"),
            "workers": (self.workers >= 1, "1 or more"),
        }
        for name, (fits, expected) in limits.items():
            if not fits:
                raise UserError(f"--{name} takes a number {expected}; received {getattr(self, name)}")


def main(settings: Settings) -> None:
    """From the annotation to an embedder: people, targets, batches, network, run, fit."""
    from utils.backend import start_keras

    keras = start_keras()
    from nets import building
    from nets.facenet import embedder_of
    from utils.annotations import read_annotations, split_people
    from utils.callbacks import Bar, Keep, Verify, Watch
    from utils.dataloader import Loader
    from utils.embedder import Embedder
    from utils.files import sha256, write_json
    from utils.precision import in_float32
    from utils.runs import Run
    from utils.samplers import sampler_of
    from utils.state import load_state
    from utils.validation import verification_sets

    run = Run(settings.resume) if settings.resume else None
    settings = run.settings_of_resumed(settings) if run else settings
    keras.utils.set_random_seed(settings.seed)
    people, held_out = split_people(read_annotations(settings.annotation_path), settings.val_people, settings.seed)
    lfw = (settings.lfw_dir, settings.lfw_pairs) if settings.lfw_dir else None
    sets = verification_sets(held_out, settings.val_pairs, lfw, settings.seed)
    card = card_of(settings, people)
    targets = targets_of(settings, people, card["alignment"]) if settings.teacher else None

    sampler = sampler_of(settings, people)
    steps_per_epoch = settings.steps_per_epoch or max(1, len(people) // settings.batch_size)
    steps = settings.epochs * steps_per_epoch
    network = building.build_network(settings, people.number_of_people)
    trainer, schedule = building.build_trainer(settings, network, people.number_of_people, steps_per_epoch)
    fresh: dict[str, Any] = {"epoch": 0, "history": [], "annotations": sha256(settings.annotation_path)}
    done = load_state(run.state, trainer, fresh["annotations"]) if run else fresh
    if done["epoch"] >= settings.epochs:
        raise UserError(f"nothing to resume: {settings.resume} has done all of its {settings.epochs} epochs")

    pixels = pixels_of(settings, on_device=trainer.augment is not None)
    loader = Loader(sampler, pixels, (done["epoch"] * steps_per_epoch, steps), settings.workers, targets)
    if settings.show_batch:
        return show_batch(loader, trainer)
    run = run or Run.create(settings.save_dir, settings.backbone)
    write_json(run.settings, asdict(settings))
    announce(run, loader, held_out, trainer, steps_per_epoch, card["alignment"])
    run.write_sheet(sampler, loader.batch(loader.first_step))

    def rate(step: int) -> float:
        return float(keras.ops.convert_to_numpy(schedule(step // settings.accumulate)))

    verify = Verify(Embedder(in_float32(embedder_of(network)), card), sets)
    trainer.fit(
        loader,
        initial_epoch=done["epoch"],
        epochs=settings.epochs,
        steps_per_epoch=steps_per_epoch,
        shuffle=False,
        verbose=0,
        callbacks=[
            Watch(loader, rate),
            Bar(loader, rate, settings.epochs, steps_per_epoch),
            Keep(run, verify, loader, done, embedder_of(network)),
        ],
    )
    picked = "best on people held out" if "held_out" in sets else "the last epoch: nobody was held out"
    print(f"done: {run.best}\n      ({picked}; curves, history and the last weights beside it)")


def card_of(settings: Settings, people: Any) -> dict[str, Any]:
    """Returns the card of the embedder that is to come: what it expects, and what made it."""
    from utils.alignment import Alignment
    from utils.cropping import recorded_alignment

    folder = os.path.dirname(people.path(0))
    alignment = Alignment.parse(settings.alignment) if settings.alignment else recorded_alignment(folder)
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
            "settings": asdict(settings),
        },
    }


def targets_of(settings: Settings, people: Any, alignment: str | None) -> Any:
    """Returns the teacher's embeddings of all photos, as the student is to imitate them, (N, D)."""
    from utils.alignment import Alignment
    from utils.targets import narrowed, spread
    from utils.teacher import Teacher, teacher_embeddings

    teacher = Teacher.load(settings.teacher, Alignment.parse(alignment) if alignment else None)
    embeddings = teacher_embeddings(teacher, people, os.path.join(settings.save_dir, "teachers"))
    if settings.teacher_way == "distance" and teacher.width != settings.embedding_size:
        return narrowed(embeddings, settings.embedding_size)
    return spread(embeddings, settings.teacher_spread)


def pixels_of(settings: Settings, on_device: bool) -> Any:
    """Returns what the loader makes of a photo: the network's input, or where the device varies it, its context too."""
    from utils.dataloader import Pixels

    if on_device:
        size = round(settings.input_size / settings.crop)
        return Pixels((size, size))
    return Pixels((settings.input_size, settings.input_size), settings.crop, settings.flip, settings.shift)


def show_batch(loader: Any, trainer: Any) -> None:
    """Draws the first batch before and after the device varies it, into batch.png."""
    import keras

    from utils.batch_sheet import batch_sheet

    before = after = loader.batch(loader.first_step)[0]
    if trainer.augment is not None:
        before, after = (keras.ops.convert_to_numpy(trainer.augment(before, training=t)) for t in (False, True))
    batch_sheet("batch.png", before, after, "a batch before and after it is varied")
    print("picture batch.png")


def announce(run: Any, loader: Any, held_out: Any, trainer: Any, steps_per_epoch: int, alignment: str | None) -> None:
    """Prints what is about to happen."""
    import keras

    people, batch_size = loader.sampler.annotations, loader.sampler.batch_size
    alone = int((loader.sampler.counts == 1).sum())
    lines = {
        "people": f"{people.number_of_people:,} ({alone:,} with one photo: negatives only)",
        "images": f"{len(people):,}",
        "crops": alignment or "of an unknown cut (--alignment names it): used as they are",
        "held out": f"{held_out.number_of_people:,} people, {len(held_out):,} images" if held_out else "nobody",
        "steps": f"{loader.last_step:,} of {batch_size} images, {steps_per_epoch:,} an epoch",
        "first step": f"{loader.first_step + 1:,}",
        "parameters": f"{trainer.forward.count_params():,}",
        "device": f"{', '.join(keras.distribution.list_devices())} ({keras.backend.backend()})",
        "folder": str(run.folder),
    }
    for name, text in lines.items():
        print(f"{name:>10}  {text}")


if __name__ == "__main__":
    run_script(main, Settings)
