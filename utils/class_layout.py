"""The class weights of very many people laid out over devices, each of which holds its share of the rows (JAX)."""

from collections.abc import Sequence
from typing import Any

AXIS = "batch"  # of the devices: each has its share of the images, and of the people
MANY = 100_000  # people from whom on it is done: below, their weights are small beside the network's maps
MULTIPLE = 64  # of the rows of so many, so that a run can be resumed on another number of devices


def rows_multiple(people: int) -> int:
    """Returns of what the number of rows of so many people's weights is a multiple: 1 where they are not laid out."""
    return MULTIPLE if people >= MANY else 1


def class_layout(devices: Sequence[str] | None = None) -> Any:
    """Returns `keras.distribution.ModelParallel`: images and class weights shared out, all else on every device.

    Set it before the network is built, and build that with `rows_multiple(people)`. What the optimizer keeps of
    the class weights follows them. XLA leaves the logits where the people are, `(B, people / devices)` on each device,
    gathers the embeddings, and sums the softmax over devices: none ever holds the whole matrix, nor all logits. A
    sample of the people (`nets.class_sample`) is gathered from all devices and worked on by each.

    Args:
        devices: as `keras.distribution.list_devices` names them; None: all.

    Source: Deng et al. 2019, arXiv:1801.07698, section 2.3 (parallel acceleration); An et al. 2020, arXiv:2010.05222.
    """
    from keras import distribution

    devices = list(devices or distribution.list_devices())
    layouts = distribution.LayoutMap(distribution.DeviceMesh((len(devices),), (AXIS,), devices))
    layouts["Logits/kernel"] = (AXIS, None)
    layouts["Logits/bias"] = (AXIS,)
    layouts["SampledLogits/all_.*kernel.*"] = (AXIS, None)
    layouts["SampledLogits/all_.*bias.*"] = (AXIS,)
    return distribution.ModelParallel(layout_map=layouts, batch_dim_name=AXIS, auto_shard_dataset=False)
