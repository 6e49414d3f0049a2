"""From settings to what is trained: the network, its objective, its optimizer. Each takes train.py's settings."""

from collections.abc import Sequence
from typing import Any

import keras

from nets.augment import Augment, Variation
from nets.class_sample import ClassSample, columns_for
from nets.facenet import embedder_of, facenet
from nets.heads import SOFTMAX, head_named
from nets.layers import mirrors, take_statistics
from nets.objective import CentreLoss, ClassLoss, Imitation, MetricLoss, Objective
from nets.teaching import Teaching
from nets.trainer import Trainer
from utils.averaging import momentum_over
from utils.backend import on_gpu, xla_pays
from utils.class_layout import rows_multiple
from utils.devices import add_up_first
from utils.embedder import Embedder
from utils.memory_estimate import Classes, device_memory, refuse_impossible
from utils.optimizers import KEPT, OPTIMIZERS, TrunkRate
from utils.precision import set_precision
from utils.schedules import SCHEDULES, Anew, schedule_of_file
from utils.settings import UserError
from utils.targets import Views
from utils.train_checks import margin_of
from utils.weights import copy_weights, load_imagenet

STEPS_AT_ONCE = 16  # on a GPU: each look at the figures waits for it
VARIED = (
    "rotation",
    "scale",
    "brightness",
    "contrast",
    "saturation",
    "grey",
    "blur",
    "low_resolution",
    "noise",
    "patches",
)


def classes_of(settings: Any, people: int) -> Classes:
    """Returns how large the matrix of class weights is, and the part of it that a step looks at."""
    head, share = head_named(settings.head), settings.class_sample
    numbers = settings.embedding_size * head.centres if head else settings.embedding_size + 1
    columns = people if share == 1 else columns_for(people, share, settings.batch_size)
    kept = kept_by(settings) if share == 1 else KEPT[settings.optimizer]
    return Classes(people, numbers, columns if settings.cross_entropy_weight else 0, kept)


def kept_by(settings: Any) -> int:
    """Returns how many numbers the optimizer keeps of each weight of the network."""
    return KEPT[settings.optimizer] + (settings.ema > 0) + (settings.accumulate > 1)


def build_network(settings: Any, people: int, devices: int = 1) -> keras.Model:
    """Returns the network of mode "train", with the weights that the settings ask for.

    Raises UserError for those, and for more people than there is memory for.
    """
    shares = devices if rows_multiple(people) > 1 else 1  # of the people's weights, laid out over the devices
    refuse_impossible(classes_of(settings, people), device_memory()[0], shares)
    source = Embedder.load(settings.model_path, on_keras=True) if settings.model_path else None
    set_precision(settings.precision)
    network = facenet(
        _input_shape(settings),
        people,
        settings.backbone,
        settings.embedding_size,
        dropout=settings.dropout,
        pixel_range=source.pixel_range if source else (-1.0, 1.0),
        head=settings.head,
        head_options={} if settings.head == SOFTMAX else {"scale": settings.head_scale},
        rows_multiple=rows_multiple(people),
        **_trunk_options(settings),
    )
    set_precision("float32")
    if source:
        copy_weights(embedder_of(network), source.network, settings.model_path)
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = not settings.frozen_batchnorm
    if settings.pretrained == "imagenet":
        load_imagenet(network)
    take_statistics(network, devices, settings.sync_batchnorm)
    return network


def build_objective(settings: Any, people: int) -> Objective:
    """Returns the weighted sum of losses that the settings name."""
    margins: dict[str, Any] = {}
    if settings.head != SOFTMAX:
        margins = {"scale": settings.head_scale, "ramp": settings.head_ramp, "first_scale": settings.head_first_scale}
        margins["margin"] = margin_of(settings)
    options = {"margin": settings.margin}
    if settings.metric_loss == "contrastive":
        options["temperature"] = settings.temperature
    return Objective(
        ClassLoss(settings.head, people, settings.cross_entropy_weight, settings.label_smoothing, **margins),
        MetricLoss(settings.metric_loss, settings.metric_weight, settings.seed, **options),
        CentreLoss(people, settings.embedding_size, settings.centre_weight),
        *_imitations(settings),
    )


def _imitations(settings: Any) -> list[Imitation]:
    if not settings.teacher:
        return []
    contrast = Imitation(settings.teacher_contrast, "contrast", temperature=settings.teacher_temperature)
    return [Imitation(settings.teacher_weight, settings.teacher_way), contrast]


def build_schedule(settings: Any, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the rate of each update; raises UserError for a file of rates that cannot be read."""
    updates = settings.epochs * steps_per_epoch // settings.accumulate
    if not updates:
        batches = settings.epochs * steps_per_epoch
        raise UserError(f"--accumulate {settings.accumulate} batches make an update; the run has {batches}")
    warmup = _warmup(settings, updates)
    if settings.second_lr:
        decay, small = SCHEDULES[settings.lr_decay], round(settings.first_share * settings.epochs) * steps_per_epoch
        first = max(1, small // settings.accumulate)
        second = max(1, updates - first)
        begun = decay(settings.init_lr, first, _warmup(settings, first))
        return Anew(begun, decay(settings.second_lr, second, _warmup(settings, second)), first)
    if settings.lr_decay in SCHEDULES:
        return SCHEDULES[settings.lr_decay](settings.init_lr, max(1, updates), warmup)
    return schedule_of_file(settings.lr_decay, steps_per_epoch / settings.accumulate, warmup)


def _warmup(settings: Any, updates: int) -> int:
    """Returns how many of these updates warm up; one at least does not, or a run of one would learn at a rate of 0."""
    return min(round(settings.warmup * updates), updates - 1)


def build_trainer(
    settings: Any,
    network: keras.Model,
    people: int,
    steps_per_epoch: int,
    shard: Sequence[int] = (),
    views: Views | None = None,
) -> tuple[Trainer, Any]:
    """Returns (compiled trainer, schedule).

    Args:
        shard: of several devices, the sizes of the parts that each has of a batch.
        views: of a teacher that sees what the student sees; None: there is none, or it has seen the photos.

    Raises UserError where --ema averages over less than two steps, and as `build_schedule`.
    """
    steps = settings.epochs * steps_per_epoch
    schedule = build_schedule(settings, steps_per_epoch)
    momentum = momentum_over(settings.ema, steps)
    if settings.ema and not momentum:
        raise UserError(f"--ema {settings.ema:g} of {steps} steps averages over {settings.ema * steps:g}; two at least")
    optimizer = OPTIMIZERS[settings.optimizer](
        schedule,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
        accumulate=settings.accumulate,
        ema=momentum,
        trunk=_trunk_rate(settings, steps_per_epoch),
    )
    sample = _class_sample(settings, network, people)
    teacher = None
    if views:
        teacher = Teaching(Embedder.load(settings.teacher, on_keras=True).network, views.box, *views.change)
    objective, augment = build_objective(settings, people), build_augment(settings)
    trainer = Trainer(network, objective, steps, augment, shard, sample, teacher)
    mirrored = mirrors() > 1
    at_once = steps_at_once(settings.steps_at_once or (STEPS_AT_ONCE if on_gpu() else 1), steps_per_epoch)
    trainer.compile(optimizer=optimizer, jit_compile=xla_pays() and not mirrored, steps_per_execution=at_once)
    if mirrored:
        optimizer.build(trainer.trainable_variables)  # not within a step, where each device would build its own
        add_up_first(optimizer)
    return trainer, schedule


def steps_at_once(wanted: int, steps_per_epoch: int) -> int:
    """Returns the largest divisor of an epoch's steps up to `wanted`: Keras would run the last ones past its end."""
    return max(n for n in range(1, min(wanted, steps_per_epoch) + 1) if steps_per_epoch % n == 0)


def _class_sample(settings: Any, network: keras.Model, people: int) -> ClassSample | None:
    if settings.class_sample == 1:
        return None
    return ClassSample(network.get_layer("Logits"), classes_of(settings, people).columns, settings.seed)


def _trunk_rate(settings: Any, steps_per_epoch: int) -> TrunkRate | None:
    frozen = settings.frozen_epochs * steps_per_epoch // settings.accumulate
    return TrunkRate(settings.trunk_rate, frozen) if frozen or settings.trunk_rate != 1 else None


def varies_on_device(settings: Any) -> bool:
    """Says whether images are varied by more than the loader's mirroring and shifting, or for a teacher, too."""
    return settings.teacher_sees == "varied" or any(getattr(settings, name) for name in VARIED)


def build_augment(settings: Any) -> Augment | None:
    """Returns the layer that varies batches, which come with context around the crop; None where the loader does it."""
    if not varies_on_device(settings):
        return None
    chosen = {name: getattr(settings, name) for name in Variation.__dataclass_fields__}
    return Augment((settings.input_size, settings.input_size), settings.seed, **chosen)


def _input_shape(settings: Any) -> tuple[int | None, int | None, int]:
    return (None, None, 3) if settings.first_size else (settings.input_size, settings.input_size, 3)


def _trunk_options(settings: Any) -> dict[str, Any]:
    return {"stem_stride": settings.stem_stride} if settings.backbone == "mobilenet" else {}
