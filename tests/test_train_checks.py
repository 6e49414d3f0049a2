"""Settings of train.py that cannot work are refused in a line that says what was expected."""

import pytest

import train
from utils.settings import UserError

REFUSED = [
    ({"metric_loss": "triplet"}, "--metric_loss triplet takes --sampler triples; received people"),
    ({"metric_weight": 0, "cross_entropy_weight": 0}, "nothing to learn"),
    ({"metric_weight": 0, "cross_entropy_weight": 0, "teacher": "t", "teacher_contrast": 0}, "nothing to learn"),
    (
        {"first_size": 64, "first_share": 0.8, "epochs": 2},
        "0.8 of 2 epochs is 2 on small images; one at least, and one",
    ),
    ({"first_size": 64, "epochs": 1}, "0.5 of 1 epochs is 0 on small images"),
    ({"model_path": "m.onnx"}, r"takes weights that can be trained \(.keras, .h5\); received 'm.onnx'"),
    ({"pretrained": "imagenet", "model_path": "m.keras"}, "--pretrained imagenet and --model_path m.keras: .* one of"),
    ({"rotation": 200}, "--rotation takes a number 0 to 180; received 200"),
    ({"scale": 1}, "--scale takes a number 0 to 0.9; received 1"),
    ({"seed": 5_000_000_000}, "--seed takes a number 0 to 4294967295"),
    ({"val_pairs": -5}, "--val_pairs takes a number 2 or more; received -5"),
    ({"stem_stride": 1, "backbone": "iresnet18"}, "--stem_stride is of mobilenet; received 1 for iresnet18"),
    (
        {"head": "combined", "head_margin": "0.2"},
        r"of combined takes 0 to 4.00 and 0 to 1.57 and 0 to 1.00 \(radians\), .*received '0.2'",
    ),
    (
        {"head": "arcface", "head_margin": "wide"},
        r"--head_margin of arcface takes 0 to 1.57 \(radians\), with commas; received 'wide'",
    ),
    ({"head": "arcface", "head_margin": "-0.5"}, "of arcface takes 0 to 1.57 .*; received '-0.5'"),
    ({"head": "arcface", "head_margin": "nan"}, "of arcface takes 0 to 1.57 .*; received 'nan'"),
    ({"head": "arcface", "head_margin": "28.6"}, "of arcface takes 0 to 1.57 .*; received '28.6'"),
    ({"head": "cosface", "head_margin": "1.2"}, "of cosface takes 0 to 1.00, with commas; received '1.2'"),
    ({"head_margin": "0.3"}, "--head_margin 0.3 would do nothing: it is of a head with a margin; received .*softmax"),
    ({"head": "arcface", "head_first_scale": 4.0, "head_ramp": 0}, "4.0 would do nothing: .* --head_ramp; received 0"),
    ({"teacher_weight": 1.0}, "--teacher_weight 1.0 would do nothing: it is of a --teacher; received none"),
    ({"teacher": "t", "teacher_way": "relation"}, "--teacher_way relation would do .* of --teacher_weight; received 0"),
    ({"teacher": "t", "teacher_weight": 1, "teacher_contrast": 0, "teacher_temperature": 0.2}, "of --teacher_contrast"),
    ({"sampler": "shuffled", "images_each": 8}, "of --sampler people; received shuffled"),
    ({"metric_loss": "batch_hard", "temperature": 0.05}, "of --metric_loss contrastive; received batch_hard"),
    ({"first_share": 0.9}, "of --first_size; received none"),
    ({"unlabelled_images": 8}, "of --unlabelled; received none"),
    ({"lfw_pairs": "pairs.txt"}, "of --lfw_dir; received none"),
    (
        {"unlabelled_images": 8, "unlabelled": "p", "teacher": "t", "sampler": "shuffled"},
        "of a sampler that draws people",
    ),
    (
        {"label_smoothing": 0.1, "cross_entropy_weight": 0},
        "0.1 would do .*--cross_entropy_weight; received 0",
    ),
    ({"head": "arcface", "cross_entropy_weight": 0}, "--head arcface would do nothing: .* --cross_entropy_weight"),
    ({"val_people": 2.7}, "--val_people takes a number 0 to 1, or a whole number of people; received 2.7"),
    ({"head_start": "random"}, "--head_start random would do nothing: it is of --model_path; received none"),
    ({"head_start": "random", "model_path": "m", "cross_entropy_weight": 0}, "of --cross_entropy_weight; received 0"),
    ({"teacher": "t", "teacher_contrast": 0}, "--teacher t teaches nothing"),
    ({"frozen_epochs": 9, "epochs": 3, "model_path": "m"}, "9 of 3 epochs: the trunk would never learn"),
    ({"weight_decay": 0.1}, "adam has none; --optimizer adamw has"),
    ({"teacher_sees": "varied"}, "--teacher_sees varied: received no --teacher that teaches"),
    ({"teacher_sees": "varied", "teacher": "t.onnx"}, r"takes a \.keras teacher, .*received 't\.onnx'"),
    ({"mixed": 0.5, "teacher": "t.keras"}, "--mixed 0.5: two faces in one have no label; it takes --teacher F"),
    ({"unlabelled": "photos"}, "teach by a --teacher alone; received none"),
    (
        {"unlabelled": "photos", "teacher": "t", "sampler": "triples", "metric_loss": "triplet"},
        "--metric_loss triplet takes a batch in thirds",
    ),
    ({"first_size": 160}, "--first_size takes 32 or more of mobilenet .* under --input_size 160; received 160"),
    ({"first_size": 64, "backbone": "inception_resnet_v1"}, "80 or more of inception_resnet_v1.*received 64"),
    ({"first_size": 64, "backbone": "iresnet18"}, "received 64 of iresnet18"),
    ({"trunk_rate": 0.1}, "--trunk_rate and --frozen_epochs spare weights .* received no --model_path and no --pre"),
    ({"frozen_batchnorm": True}, "--frozen_batchnorm keeps the statistics .* received no --model_path"),
    ({"input_size": 31}, r"--input_size takes a number 32 pixels or more \(mobilenet\); received 31"),
    ({"input_size": 64, "backbone": "inception_resnet_v1"}, "80 pixels or more .*received 64"),
    ({"sampler": "triples", "batch_size": 32}, "multiple of 3 .*received 32"),
    ({"batch_size": 7}, "--batch_size takes a number 8 or more of --sampler people; received 7"),
    ({"dropout": 1}, "--dropout takes a number 0 or more, under 1; received 1"),
    ({"steps_at_once": -1}, "--steps_at_once takes a number 0 or more; received -1"),
    ({"temperature": 0}, "--temperature takes a number over 0; received 0"),
    ({"second_lr": 2e-3}, "--second_lr is where images become larger; received 0.002 and no --first_size"),
    ({"second_lr": 2e-3, "first_size": 64, "lr_decay": "rates.txt"}, "the file 'rates.txt' says all rates itself"),
    ({"lr_decay": "cosine"}, r"takes cos, step, .* or a file of rates; no file 'cosine' \(did you mean 'cos'\?\)"),
    ({"lr_decay": __file__, "init_lr": 1e-3}, "--init_lr 0.001 would do nothing: .*; a file says all rates itself"),
    ({"val_people": 0, "val_pairs": 100}, "--val_pairs 100 would do nothing: it is of --val_people; received 0"),
    ({"class_sample": 0}, "--class_sample takes a number over 0, at most 1; received 0"),
    ({"class_sample": 0.1, "cross_entropy_weight": 0}, "--class_sample 0.1 is of the cross-entropy"),
    ({"class_sample": 0.1, "accumulate": 2}, "--class_sample draws people for each batch"),
    ({"devices": "some"}, "--devices takes all, or how many; received 'some'"),
]


@pytest.mark.parametrize(("settings", "line"), REFUSED, ids=[",".join(settings) for settings, _ in REFUSED])
def test_what_cannot_work_is_refused(settings, line):
    with pytest.raises(UserError, match=line):
        train.Settings(**settings)


ACCEPTED = [
    {"sampler": "triples"},
    {"sampler": "triples", "metric_loss": "triplet", "dropout": 0.6},
    {"metric_loss": "triplet", "metric_weight": 0},
    {"unlabelled": "photos", "teacher": "t"},
    {"metric_weight": 0, "cross_entropy_weight": 0, "teacher": "t"},
    {"teacher": "t.keras", "teacher_sees": "varied", "mixed": 1.0},
    {"input_size": 64, "first_size": 32},
    {"head": "arcface", "head_margin": "0.3", "head_first_scale": 4.0},
    {"head": "combined", "head_margin": "1.0,0.3,0.2"},
    {"pretrained": "imagenet", "trunk_rate": 0.1, "frozen_epochs": 1, "epochs": 2},
    {"metric_loss": "batch_hard", "metric_weight": 0, "margin": 0.5},  # switched off by its weight: not forgotten
]


@pytest.mark.parametrize("settings", ACCEPTED, ids=[",".join(settings) for settings in ACCEPTED])
def test_what_works_is_accepted(settings):
    assert train.Settings(**settings).seed == 0
