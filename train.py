"""Trains an embedder on the people of cls_train.txt. Edit the settings below, or give them as flags, and run it."""

import os
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

from utils.settings import UserError, run_script


@dataclass(frozen=True)
class Settings:
    """Trains an embedder: python train.py [--setting value ...]. What is printed is what is used."""

    annotation_path: str = "cls_train.txt"  # made by txt_annotation.py
    backbone: Literal["mobilenet", "inception_resnet_v1"] = "mobilenet"  # trunk of the network
    input_size: int = 160  # pixels, square
    crop: float = 1.0  # central share of each photo that is used (0.875: the middle 112 of 128 pixels)
    alignment: str = ""  # how they were cropped (landmarks-128-8); empty: what align.py recorded beside them
    embedding_size: int = 128  # numbers an embedding
    dropout: float = 0.6  # share of the trunk's features that a step drops
    model_path: str = ""  # weights to start from: an embedder (.keras), or .h5 of facenet-tf2
    pretrained: Literal["none", "imagenet"] = "none"  # imagenet: MobileNet's trunk from keras.applications (a download)

    sampler: Literal["triples", "people"] = "triples"  # batches of anchor, positive, negative; or 4 images a person
    batch_size: int = 96  # images a step; with triples a third each of anchors, positives, negatives
    epochs: int = 100  # of steps_per_epoch each
    steps_per_epoch: int = 0  # 0: as many as show one image for each in the training set
    optimizer: Literal["adam", "sgd"] = "adam"  # sgd has a momentum of 0.9 (Nesterov)
    init_lr: float = 1e-3  # learning rate, used as typed
    lr_decay: Literal["cos", "step"] = "cos"  # from init_lr to 1% of it
    warmup: float = 0.0  # share of the run in which the rate rises from 0 (with cos)
    metric_loss: Literal["triplet", "contrastive"] = "triplet"  # on triples as drawn; or every image against the batch
    margin: float = 0.2  # of the triplet loss, in squared distance
    temperature: float = 0.2  # of the contrastive loss: the cosine is divided by it
    metric_weight: float = 1.0  # of the metric loss in the sum
    cross_entropy_weight: float = 1.0  # of the cross-entropy over the people in the sum

    flip: bool = True  # mirror half of the images
    shift: float = 0.0  # pixels: images are moved by up to this much each way
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
        if self.metric_loss == "triplet" and not triples:
            raise UserError(f"--metric_loss triplet takes --sampler triples; received {self.sampler}")
        limits = {
            "crop": (0 < self.crop <= 1, "over 0, at most 1"),
            "dropout": (0 <= self.dropout < 1, "0 or more, under 1"),
            "input_size": (self.input_size >= 80, "80 pixels or more"),
            "embedding_size": (self.embedding_size >= 2, "2 or more"),
            "batch_size": (self.batch_size >= 3 and (not triples or self.batch_size % 3 == 0), multiple),
            "temperature": (self.temperature > 0, "over 0"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "steps_per_epoch": (self.steps_per_epoch >= 0, "0 (one pass) or more"),
            "init_lr": (self.init_lr > 0, "over 0"),
            "warmup": (0 <= self.warmup < 1 and not (self.warmup and self.lr_decay == "step"), "0 to 1, with cos"),
            "val_people": (self.val_people >= 0, "0 or more"),
            "workers": (self.workers >= 1, "1 or more"),
        }
        for name, (fits, expected) in limits.items():
            if not fits:
                raise UserError(f"--{name} takes a number {expected}; received {getattr(self, name)}")


def main(settings: Settings) -> None:
    """From the annotation to an embedder: people, batches, network, run, fit."""
    from utils.backend import start_keras

    keras = start_keras()
    from utils.annotations import read_annotations, split_people
    from utils.callbacks import Bar, Keep, Verify, Watch
    from utils.dataloader import Loader, Pixels
    from utils.files import sha256, write_json
    from utils.runs import Run
    from utils.samplers import SAMPLERS
    from utils.state import load_state
    from utils.validation import verification_sets

    run = Run(settings.resume) if settings.resume else None
    settings = run.settings_of_resumed(settings) if run else settings
    keras.utils.set_random_seed(settings.seed)
    people, held_out = split_people(read_annotations(settings.annotation_path), settings.val_people, settings.seed)
    lfw = (settings.lfw_dir, settings.lfw_pairs) if settings.lfw_dir else None
    sets = verification_sets(held_out, settings.val_pairs, lfw, settings.seed)

    sampler = SAMPLERS[settings.sampler](people, settings.batch_size, settings.seed)
    steps_per_epoch = settings.steps_per_epoch or max(1, len(people) // settings.batch_size)
    steps = settings.epochs * steps_per_epoch
    network = build_network(settings, people.number_of_people)
    trainer, rate = build_trainer(settings, network, steps)
    embedder = build_embedder(settings, network, people)
    fresh: dict[str, Any] = {"epoch": 0, "history": [], "annotations": sha256(settings.annotation_path)}
    done = load_state(run.state, trainer, fresh["annotations"]) if run else fresh
    if done["epoch"] >= settings.epochs:
        raise UserError(f"nothing to resume: {settings.resume} has done all of its {settings.epochs} epochs")

    run = run or Run.create(settings.save_dir, settings.backbone)
    write_json(run.settings, asdict(settings))
    pixels = Pixels((settings.input_size, settings.input_size), settings.crop, settings.flip, settings.shift)
    loader = Loader(sampler, pixels, (done["epoch"] * steps_per_epoch, steps), settings.workers)
    announce(run, loader, held_out, trainer, steps_per_epoch, embedder.card["alignment"])
    run.write_sheet(sampler, loader.batch(loader.first_step))
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
            verify := Verify(embedder, sets, loader),
            Keep(run, embedder, verify, done),
        ],
    )
    picked = "best on people held out" if "held_out" in sets else "the last epoch: nobody was held out"
    print(f"done: {run.best}\n      ({picked}; curves, history and the last weights beside it)")


def build_network(settings: Settings, people: int) -> Any:
    """Returns the network of mode "train", with the weights that the settings ask for."""
    from nets.facenet import embedder_of, facenet
    from utils.embedder import Embedder
    from utils.weights import copy_weights, load_imagenet

    source = Embedder.load(settings.model_path) if settings.model_path else None
    network = facenet(
        (settings.input_size, settings.input_size, 3),
        people,
        settings.backbone,
        settings.embedding_size,
        dropout=settings.dropout,
        pixel_range=source.pixel_range if source else (-1.0, 1.0),
    )
    if source:
        copy_weights(embedder_of(network), source.network, settings.model_path)
    if settings.pretrained == "imagenet":
        load_imagenet(network)
    return network


def build_trainer(settings: Settings, network: Any, steps: int) -> tuple[Any, Any]:
    """Returns (compiled trainer, step -> learning rate)."""
    import keras

    from nets.facenet import Trainer
    from nets.losses import combined
    from utils.backend import xla_pays
    from utils.schedules import SCHEDULES

    schedule = SCHEDULES[settings.lr_decay](settings.init_lr, steps, round(settings.warmup * steps))
    optimizers = {
        "adam": lambda: keras.optimizers.Adam(schedule),
        "sgd": lambda: keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True),
    }
    options = {"margin": settings.margin}
    if settings.metric_loss == "contrastive":
        options["temperature"] = settings.temperature
    weights = settings.metric_weight, settings.cross_entropy_weight
    trainer = Trainer(network, *combined(settings.metric_loss, *weights, **options))
    trainer.compile(optimizer=optimizers[settings.optimizer](), jit_compile=xla_pays())
    return trainer, lambda step: float(keras.ops.convert_to_numpy(schedule(step)))


def build_embedder(settings: Settings, network: Any, people: Any) -> Any:
    """Returns the Embedder that is saved: the network's own layers, and a card that says what made it."""
    from nets.facenet import embedder_of
    from utils.alignment import Alignment
    from utils.cropping import recorded_alignment
    from utils.embedder import Embedder

    folder = os.path.dirname(people.path(0))
    alignment = Alignment.parse(settings.alignment) if settings.alignment else recorded_alignment(folder)
    card = {
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
    return Embedder(embedder_of(network), card)


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
