"""What a flag of train.py may be is what the tables hold: a new head, loss, sampler or trunk is a line in both."""

from collections.abc import Iterable
from typing import get_args, get_type_hints

import pytest

import train
from nets.distillation import WAYS
from nets.facenet import TRUNKS
from nets.heads import HEADS
from nets.losses import METRIC_LOSSES
from nets.objective import CentreLoss, ClassLoss, Imitation, MetricLoss
from utils import plots
from utils.optimizers import OPTIMIZERS
from utils.samplers import SAMPLERS

HINTS = get_type_hints(train.Settings)


@pytest.mark.parametrize(
    ("flag", "table"),
    [
        ("backbone", TRUNKS),
        ("head", HEADS),
        ("metric_loss", METRIC_LOSSES),
        ("optimizer", OPTIMIZERS),
        ("sampler", SAMPLERS),
        ("teacher_way", [way for way in WAYS if way != "contrast"]),  # --teacher_contrast
    ],
)
def test_a_flag_may_be_what_its_table_holds(flag: str, table: Iterable[str]) -> None:
    assert sorted(get_args(HINTS[flag])) == sorted(table)


def test_every_figure_of_a_training_is_drawn() -> None:
    parts = (
        *(MetricLoss(name) for name in METRIC_LOSSES),
        *(ClassLoss(head, people=3) for head in HEADS),
        CentreLoss(3, 8),
        *(Imitation(way=way) for way in WAYS),
    )
    figures = {figure for part in parts for figure in part.figures}
    diagnosis = {"loss", "same_distance", "different_distance", "effective_rank", "gradient_norm", "held_out_auc"}
    panels = {figure: plots._panel(figure) for figure in figures | diagnosis}
    assert None not in panels.values()
    assert panels["same_distance"] == panels["different_distance"]
    assert panels["violating"] != panels["any_violating"] == panels["triplet"]
