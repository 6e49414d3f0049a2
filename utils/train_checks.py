"""What of train.py's settings cannot work, alone or together: refused before any file or device is touched."""

import math
import os
from dataclasses import fields
from typing import Any, Literal

from utils.exported import is_exported
from utils.settings import UserError, nearest

Backbone = Literal["mobilenet", "inception_resnet_v1", "mobilefacenet", "iresnet18", "iresnet50"]

SHARES = (
    *("dropout", "warmup", "people_power", "ema", "head_ramp", "label_smoothing", "teacher_spread", "first_share"),
    *("brightness", "contrast", "saturation", "grey", "blur", "low_resolution", "noise", "patches", "mixed"),
)
AT_LEAST_0 = (
    *("weight_decay", "clip_norm", "metric_weight", "cross_entropy_weight", "centre_weight", "teacher_weight"),
    *("teacher_contrast", "head_scale", "head_first_scale", "trunk_rate", "second_lr"),
)
COUNTS_FROM_0 = ("steps_per_epoch", "frozen_epochs", "steps_at_once")
COUNTS_FROM_1 = ("accumulate", "epochs", "workers", "unlabelled_images")
MOST = {"shift": 1000.0, "rotation": 180.0, "scale": 0.9}  # of these settings, as nets/augment.py's
DECAYS = ("cos", "step", "exponential", "constant")  # of utils/schedules.py; anything else is a file
SMALLEST = {"mobilenet": 32, "inception_resnet_v1": 80}  # pixels, of the trunks that end in an average over the map
RIGHT_ANGLE = math.pi / 2
MARGINS = {"cosface": (1.0,), "combined": (4.0, RIGHT_ANGLE, 1.0)}  # at most; of the other heads an angle
SMALLEST_OTHER = 32  # pixels, of the others


def check(settings: Any) -> None:
    """Raises UserError for the first setting of train.py that is out of its range or does not go with another."""
    for name, (fits, expected) in _ranges(settings).items():
        if not fits:
            raise UserError(f"--{name} takes a number {expected}; received {getattr(settings, name)}")
    if settings.devices not in ("", "all") and not (settings.devices.isdecimal() and int(settings.devices)):
        raise UserError(f"--devices takes all, or how many; received '{settings.devices}'")
    margin_of(settings)
    for wrong, line in _contradictions(settings):
        if wrong:
            raise UserError(line)
    decay = settings.lr_decay
    if decay not in DECAYS and not os.path.isfile(decay):
        known = ", ".join(DECAYS)
        raise UserError(f"--lr_decay takes {known} or a file of rates; no file '{decay}'{nearest(decay, DECAYS)}")
    for names, works, what in _parts(settings):
        for name in names:
            if not works and getattr(settings, name) != _default(settings, name):
                raise UserError(f"--{name} {getattr(settings, name)} would do nothing: it is of {what}")


def margin_of(settings: Any) -> float | tuple[float, ...] | None:
    """Returns a margin head's margin, three of "combined"; None: its paper's. Raises UserError for another text."""
    text, most = str(settings.head_margin), MARGINS.get(settings.head, (RIGHT_ANGLE,))
    if not text:
        return None
    try:
        margins = tuple(float(part) for part in text.split(","))
    except ValueError:
        margins = ()
    if len(margins) != len(most) or not all(0 <= margin <= top for margin, top in zip(margins, most, strict=True)):
        expected = " and ".join(f"0 to {top:.2f}" for top in most) + (" (radians)" if RIGHT_ANGLE in most else "")
        raise UserError(f"--head_margin of {settings.head} takes {expected}, with commas; received '{text}'")
    return margins if len(most) > 1 else margins[0]


def as_now(stored: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a run as this version has them: --head_margin was a number once, -1 for its paper's."""
    margin = stored.get("head_margin", "")
    if isinstance(margin, str):
        return stored
    return stored | {"head_margin": "" if margin < 0 else str(margin)}


def _default(settings: Any, name: str) -> Any:
    return next(field.default for field in fields(settings) if field.name == name)


def _parts(settings: Any) -> list[tuple[tuple[str, ...], Any, str]]:
    """Returns (names of settings, whether they do anything beside the others, what they are of)."""
    teacher = ("teacher_contrast", "teacher_weight", "teacher_temperature", "teacher_way", "teacher_spread")
    metric = settings.metric_loss
    return [
        (teacher, settings.teacher, "a --teacher; received none"),
        (("teacher_way",), settings.teacher_weight, "--teacher_weight; received 0"),
        (("teacher_temperature",), settings.teacher_contrast, "--teacher_contrast; received 0"),
        (
            ("head_margin", "head_scale", "head_ramp", "head_first_scale"),
            settings.head != "softmax",
            "a head with a margin; received --head softmax",
        ),
        (("head_first_scale",), settings.head_ramp, "--head_ramp; received 0"),
        (
            ("images_each", "people_power"),
            settings.sampler == "people",
            f"--sampler people; received {settings.sampler}",
        ),
        (("temperature",), metric == "contrastive", f"--metric_loss contrastive; received {metric}"),
        (("first_share",), settings.first_size, "--first_size; received none"),
        (("unlabelled_images",), settings.unlabelled, "--unlabelled; received none"),
        (("unlabelled_images",), settings.sampler != "shuffled", "a sampler that draws people; received shuffled"),
        (("head_start",), settings.model_path, "--model_path; received none"),
        (
            ("label_smoothing", "head", "head_start"),
            settings.cross_entropy_weight,
            "--cross_entropy_weight; received 0",
        ),
        (("lfw_pairs",), settings.lfw_dir, "--lfw_dir; received none"),
        (("init_lr",), settings.lr_decay in DECAYS, f"--lr_decay {', '.join(DECAYS)}; a file says all rates itself"),
        (("val_pairs",), settings.val_people, "--val_people; received 0"),
    ]


def _ranges(settings: Any) -> dict[str, tuple[bool, str]]:
    """Returns name -> (whether the setting fits, what would)."""
    triples = settings.sampler == "triples"
    value = vars(settings)
    limits = {name: (0 <= value[name] <= 1, "0 to 1") for name in SHARES}
    limits |= {name: (value[name] >= 0, "0 or more") for name in (*AT_LEAST_0, *COUNTS_FROM_0)}
    limits |= {name: (value[name] >= 1, "1 or more") for name in COUNTS_FROM_1}
    limits |= {name: (0 <= value[name] < 1, "0 or more, under 1") for name in ("dropout", "warmup", "first_share")}
    fewest = 2 * settings.images_each if settings.sampler == "people" else 3
    whole = not triples or settings.batch_size % 3 == 0
    smallest = SMALLEST.get(settings.backbone, SMALLEST_OTHER)
    return limits | {
        "crop": (0 < settings.crop <= 1, "over 0, at most 1"),
        "class_sample": (0 < settings.class_sample <= 1, "over 0, at most 1"),
        "stem_stride": (settings.stem_stride in (1, 2), "1 or 2"),
        "images_each": (settings.images_each >= 2, "2 or more"),
        "input_size": (settings.input_size >= smallest, f"{smallest} pixels or more ({settings.backbone})"),
        "embedding_size": (settings.embedding_size >= 2, "2 or more"),
        "batch_size": (
            settings.batch_size >= fewest and whole,
            f"{fewest} or more{', a multiple of 3' if triples else ''} of --sampler {settings.sampler}",
        ),
        "temperature": (settings.temperature > 0, "over 0"),
        "teacher_temperature": (settings.teacher_temperature > 0, "over 0"),
        **{name: (0 <= value[name] <= most, f"0 to {most:g}") for name, most in MOST.items()},
        "seed": (0 <= settings.seed < 2**32, "0 to 4294967295"),
        "val_people": (_share_or_number(settings.val_people), "0 to 1, or a whole number of people"),
        "val_pairs": (settings.val_pairs >= 2, "2 or more"),
        "val_seed": (settings.val_seed >= -1, "0 or more, or -1"),
        "init_lr": (settings.init_lr > 0, "over 0"),
    }


def _share_or_number(people: float) -> bool:
    return 0 <= people < 1 or (people >= 1 and people % 1 == 0)


def _contradictions(settings: Any) -> list[tuple[Any, str]]:
    """Returns (whether two settings speak against each other, the line that says so)."""
    own_labels = settings.metric_weight or settings.cross_entropy_weight or settings.centre_weight
    taught = settings.teacher and (settings.teacher_weight or settings.teacher_contrast)
    first, last, backbone = settings.first_size, settings.input_size, settings.backbone
    return [
        (
            settings.metric_weight and settings.metric_loss == "triplet" and settings.sampler != "triples",
            f"--metric_loss triplet takes --sampler triples; received {settings.sampler}",
        ),
        (
            not (own_labels or taught),
            "nothing to learn: all weights of the losses are 0, and there is no --teacher",
        ),
        (
            settings.teacher and not taught,
            f"--teacher {settings.teacher} teaches nothing: --teacher_contrast and --teacher_weight are 0",
        ),
        (
            0 < settings.epochs <= settings.frozen_epochs,
            f"--frozen_epochs {settings.frozen_epochs} of {settings.epochs} epochs: the trunk would never learn",
        ),
        (
            settings.second_lr and not first,
            f"--second_lr is where images become larger; received {settings.second_lr:g} and no --first_size",
        ),
        (
            settings.second_lr and settings.lr_decay not in DECAYS,
            f"--second_lr {settings.second_lr:g}: the file '{settings.lr_decay}' says all rates itself",
        ),
        (
            settings.stem_stride != 2 and backbone != "mobilenet",
            f"--stem_stride is of mobilenet; received {settings.stem_stride} for {backbone}",
        ),
        (
            settings.class_sample < 1 and not settings.cross_entropy_weight,
            f"--class_sample {settings.class_sample:g} is of the cross-entropy; received --cross_entropy_weight 0",
        ),
        (
            settings.class_sample < 1 and settings.accumulate > 1,
            f"--class_sample draws people for each batch: no --accumulate over several; received {settings.accumulate}",
        ),
        (
            settings.weight_decay and settings.optimizer == "adam",
            f"--weight_decay {settings.weight_decay:g}: adam has none; --optimizer adamw has",
        ),
        (
            settings.teacher_sees == "varied" and not taught,
            "--teacher_sees varied: received no --teacher that teaches",
        ),
        (
            settings.teacher_sees == "varied" and settings.teacher.endswith(".onnx"),
            f"--teacher_sees varied takes a .keras teacher, which runs within the step; received '{settings.teacher}'",
        ),
        (
            settings.mixed and settings.teacher_sees != "varied",
            f"--mixed {settings.mixed:g}: two faces in one have no label; it takes --teacher F --teacher_sees varied",
        ),
        (
            settings.unlabelled and not taught,
            "--unlabelled: photos of nobody teach by a --teacher alone; received none",
        ),
        (
            settings.unlabelled and settings.metric_weight and settings.metric_loss == "triplet",
            "--unlabelled puts photos behind the triples, and --metric_loss triplet takes a batch in thirds; any other"
            " --metric_loss goes with them",
        ),
        (
            first and not SMALLEST.get(backbone, last) <= first < last,
            f"--first_size takes {' or '.join(f'{n} or more of {name}' for name, n in SMALLEST.items())}, under"
            f" --input_size {last}; received {first} of {backbone}",
        ),
        (
            first and not 0 < round(settings.first_share * settings.epochs) < settings.epochs,
            f"--first_share {settings.first_share:g} of {settings.epochs} epochs is"
            f" {round(settings.first_share * settings.epochs)} on small images; one at least, and one of full size",
        ),
        (
            settings.model_path.endswith((".onnx", ".tflite")) or is_exported(settings.model_path),
            f"--model_path takes weights that can be trained (.keras, .h5); received '{settings.model_path}'",
        ),
        (
            settings.pretrained != "none" and settings.model_path,
            f"--pretrained {settings.pretrained} and --model_path {settings.model_path}: weights to start from are one"
            " of the two",
        ),
        (
            (settings.trunk_rate != 1 or settings.frozen_epochs)
            and not settings.model_path
            and settings.pretrained == "none",
            "--trunk_rate and --frozen_epochs spare weights that are good already; received no --model_path and no"
            " --pretrained",
        ),
        (
            settings.frozen_batchnorm and not settings.model_path,
            "--frozen_batchnorm keeps the statistics of faces that weights were trained on; received no --model_path",
        ),
    ]
