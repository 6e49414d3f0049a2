"""Trains an embedder on the people of cls_train.txt. Edit the settings below, or give them as flags, and run it."""

from dataclasses import asdict, dataclass, replace
from typing import Literal

from utils.settings import run_script
from utils.train_checks import Backbone, check

MetricLoss = Literal["triplet", "semi_hard", "any_violating", "batch_hard", "batch_all", "contrastive"]
Head = Literal["softmax", "arcface", "cosface", "combined", "adaface", "subcenter"]


@dataclass(frozen=True)
class Settings:
    """Trains an embedder: python train.py [--setting value ...]. What is printed is what is used."""

    annotation_path: str = "cls_train.txt"  # made by txt_annotation.py
    alignment: str = ""  # how the photos were cropped (landmarks-128-8); empty: what align.py recorded beside them
    input_size: int = 160  # pixels, square
    crop: float = 1.0  # central share of each photo that is used (0.875: the middle 112 of 128 pixels)
    first_size: int = 0  # pixels in the first part of the run (80 is twice as fast as 112 on a CPU); 0: no such part
    first_share: float = 0.5  # of the epochs that this part has

    backbone: Backbone = "mobilenet"  # trunk of the network
    stem_stride: int = 2  # of mobilenet's first layer; 1: larger maps, four times the cost
    embedding_size: int = 128  # numbers an embedding
    dropout: float = 0.0  # share of the trunk's features that a step drops (FaceNet: 0.6)
    model_path: str = ""  # weights to start from: an embedder (.keras), or .h5 of facenet-tf2
    trunk_rate: float = 1.0  # share of the rate that these weights learn with, below the bottleneck (and no decay)
    frozen_epochs: int = 0  # at the start, in which they do not learn (BatchNorm's statistics move)
    frozen_batchnorm: bool = False  # BatchNorm stays as model_path has it: statistics of a few people are worse
    pretrained: Literal["none", "imagenet"] = "none"  # imagenet: MobileNet's trunk from keras.applications (a download)
    precision: Literal["float32", "bfloat16"] = "float32"  # of the layers; statistics, losses and weights stay float32

    sampler: Literal["triples", "people", "shuffled"] = "people"  # anchor, positive, negative; images_each of a person
    images_each: int = 4  # images a person in a batch (people)
    people_power: float = 0.0  # people: 0 draws all equally often, 1 by their number of images
    batch_size: int = 96  # images a step; with triples a third each of anchors, positives, negatives
    epochs: int = 100  # of steps_per_epoch each
    steps_per_epoch: int = 0  # 0: as many as show one image for each in the training set

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"  # sgd has a momentum of 0.9 (Nesterov)
    init_lr: float = 6e-3  # learning rate, used as typed
    second_lr: float = 0.0  # learning rate with which the full size begins anew, after first_size; 0: it goes on
    lr_decay: str = "cos"  # cos, step, exponential (to 1% of init_lr), constant, or a file of `epoch rate` lines
    warmup: float = 0.1  # share of the run in which the rate rises from 0
    weight_decay: float = 0.0  # share of a weight and of the rate (adamw, sgd); not of BatchNorm, biases, PReLU
    clip_norm: float = 0.0  # length to which all gradients together are cut; 0: never
    accumulate: int = 1  # batches an update
    ema: float = 0.0  # share of the run over which the weights are averaged, for what is measured and saved; 0: not

    metric_loss: MetricLoss = "contrastive"  # triplet: as drawn (sampler triples); the others look at the whole batch
    metric_weight: float = 1.0  # of the metric loss in the sum
    margin: float = 0.2  # of the triplet losses, in squared distance
    temperature: float = 0.2  # of the contrastive loss: the cosine is divided by it
    cross_entropy_weight: float = 1.0  # of the cross-entropy over the people in the sum
    head: Head = "softmax"  # what it is taken of: plain logits, or cosines with a margin
    head_margin: str = ""  # of a margin head; combined has three, as 0.9,0.4,0.15; empty: its paper's
    head_scale: float = 0.0  # of a margin head's cosines; 0: AdaCos's, from the number of people
    head_first_scale: float = 0.0  # from where the scale rises with the margin; 0: it does not
    head_start: Literal["means", "random"] = "means"  # means: at people's mean embeddings, by model_path's weights
    head_ramp: float = 0.5  # share of the run in which the margin rises from 0
    class_sample: float = 1.0  # share of the people that a step's cross-entropy looks at, the batch's among them
    label_smoothing: float = 0.0  # share of a label that is spread over all people
    centre_weight: float = 0.0  # of the centre loss in the sum

    teacher: str = ""  # an embedder to learn from (.keras or .onnx, with its JSON)
    teacher_contrast: float = 1.0  # weight of finding each image's own place among its vectors of the batch
    teacher_temperature: float = 0.1  # of that: cosines are divided by it
    teacher_weight: float = 0.0  # of the distance to it in the sum
    teacher_way: Literal["distance", "relation"] = "distance"  # to its vectors; or to its cosines within the batch
    teacher_spread: float = 0.7  # share of its mean embedding that is taken off first
    teacher_sees: Literal["photo", "varied"] = "photo"  # each photo once, kept on disk; or each image as it is varied
    unlabelled: str = ""  # a folder of photos of nobody in particular, who teach by their teacher alone
    unlabelled_images: int = 32  # of them, beside batch_size, in each batch (shuffled: as they come)

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
    mixed: float = 0.0  # share of the images that another face shines through: nobody, for a teacher that sees it
    show_batch: bool = False  # draw a batch before and after it is varied, and stop

    val_people: float = 0.05  # people held out for validation: a share, or (from 1 on) a number; 0 holds out none
    val_seed: int = -1  # draws who is held out; -1: as for the weights to start from, else --seed
    val_pairs: int = 6000  # pairs of held-out people, half of them same
    lfw_dir: str = ""  # folder of LFW crops: measured after each epoch, never chosen by
    lfw_pairs: str = "model_data/lfw_pairs.txt"  # LFW's list of pairs
    save_dir: str = "logs"  # a folder for each run is made in it
    resume: str = ""  # a run's folder: goes on after its last whole epoch, with its settings
    seed: int = 0  # of weights, order, draws and dropout
    workers: int = 4  # threads that read images
    cache: Literal["auto", "none", "ram", "device"] = "auto"  # where photos are kept decoded; auto: where they fit
    steps_at_once: int = 0  # steps between two looks at the figures, at most; 0: 1 on a CPU, 16 on a GPU
    devices: str = ""  # all, or how many train together; empty: one, or all where several processes train together
    sync_batchnorm: bool = True  # BatchNorm's statistics are of the whole batch; no: of each device's shard of it

    def __post_init__(self) -> None:
        """Refuses what cannot work, before any file or device is touched."""
        check(self)


def main(settings: Settings) -> None:
    """From the annotation to an embedder: people, targets, batches, network, run, fit."""
    from utils.backend import start_keras
    from utils.hosts import Hosts

    hosts = Hosts()
    keras = start_keras(hosts.join)
    from nets import building
    from nets.facenet import embedder_of
    from nets.heads import begin_head
    from utils import announcement, head_start, training, training_people
    from utils.dataloader import Loader
    from utils.devices import chosen_devices
    from utils.runs import Run
    from utils.samplers import sampler_of
    from utils.validation import verification_sets

    run = Run(settings.resume, hosts.first) if settings.resume else None
    settings = run.settings_of_resumed(settings) if run else settings
    keras.utils.set_random_seed(settings.seed)
    devices = chosen_devices(settings, hosts)
    settings, people, held_out = training_people.people_of(settings, devices.number)
    lfw = (settings.lfw_dir, settings.lfw_pairs) if settings.lfw_dir else None
    sets = verification_sets(held_out, settings.val_pairs, lfw, settings.val_seed)
    card = training.card_of(settings, people, held_out)
    targets, views = training.targets_of(settings, people, card["alignment"]) if settings.teacher else (None, None)

    sampler = sampler_of(settings, people)
    steps_per_epoch = settings.steps_per_epoch or max(1, len(people) // sampler.batch_size)
    steps = settings.epochs * steps_per_epoch
    annotations = training_people.fingerprint(settings, people)
    hosts.check_agreement(asdict(replace(settings, workers=1, save_dir="")), annotations)
    with devices.scope(people.number_of_people):
        network = building.build_network(settings, people.number_of_people, devices.number)
        trainer, schedule = building.build_trainer(
            settings, network, people.number_of_people, steps_per_epoch, devices.shard(sampler.parts), views
        )
        done = training.done_so_far(settings, run, trainer, annotations, sets)
    pixels = training.pixels_of(settings, on_device=trainer.augment is not None)
    own = devices.own(devices.order(sampler.parts))
    loader = Loader(sampler, pixels, (done["epoch"] * steps_per_epoch, steps), settings.workers, targets, own)
    if settings.show_batch:
        hosts.finished = True
        return training.show_batch(loader, trainer)
    if settings.model_path and settings.cross_entropy_weight and settings.head_start == "means" and not run:
        begin_head(network, head_start.means_of(settings.model_path, people, card["alignment"]))
    cache = training.cached(settings, loader, trainer, hosts.processes)
    run = training.opened(run, settings, loader, held_out, hosts.first)
    classes, kept = building.classes_of(settings, people.number_of_people), building.kept_by(settings)
    memory = announcement.memory_lines(settings, network, classes, kept, loader, devices.number)
    more = {"device": str(devices)} | cache | memory | announcement.settings_lines(settings)
    more |= announcement.advice_lines(settings, people, card)
    announcement.announce(run, settings.epochs, loader, held_out, trainer, card["alignment"], more)
    with hosts.others_watched(), run.stop_said():
        trainer.fit(
            loader,
            initial_epoch=done["epoch"],
            epochs=settings.epochs,
            steps_per_epoch=steps_per_epoch,
            shuffle=False,
            verbose=0,
            callbacks=training.callbacks_of(settings, run, loader, embedder_of(network), schedule, card, sets, done),
        )
    hosts.finished = True
    announcement.announce_end(run, list(sets))


if __name__ == "__main__":
    run_script(main, Settings)
