"""The three networks of MTCNN (Zhang et al. 2016, arXiv:1604.02878, figure 2), as wide as its published weights."""

from functools import partial
from typing import Any, NamedTuple

from keras import Input, Model, layers


class Convolution(NamedTuple):
    """A `kernel` x `kernel` convolution without padding, PReLU, then max pooling of `pool` pixels a side, stride 2."""

    filters: int
    kernel: int
    pool: int = 0  # 0: none
    padding: str = "same"  # of the pooling


class Network(NamedTuple):
    """Convolutions, a hidden layer, and linear outputs; without a hidden layer the outputs are convolutions too."""

    side: int | None  # pixels of the square input; None: any height and width
    convolutions: tuple[Convolution, ...]
    hidden: int  # units, 0: none
    outputs: dict[str, int]  # name -> numbers


BOX, SCORE = {"box": 4}, {"score": 2}  # offsets of the edges in sides of the window; not a face, a face
LANDMARKS = {"landmarks": 10}  # five x, then five y, in sides of the window
P_NET = (Convolution(10, 3, pool=2), Convolution(16, 3), Convolution(32, 3))
R_NET = (Convolution(28, 3, pool=3), Convolution(48, 3, pool=3, padding="valid"), Convolution(64, 2))
O_NET = (
    Convolution(32, 3, pool=3),
    Convolution(64, 3, pool=3, padding="valid"),
    Convolution(64, 3, pool=2),
    Convolution(128, 2),
)
NETWORKS = {
    "p_net": Network(None, P_NET, 0, BOX | SCORE),
    "r_net": Network(24, R_NET, 128, BOX | SCORE),
    "o_net": Network(48, O_NET, 256, BOX | LANDMARKS | SCORE),
}

# The weights are loaded: random ones would take JAX half a second each, for it compiles the draw for every shape
_convolution = partial(layers.Conv2D, kernel_initializer="zeros")
_dense = partial(layers.Dense, kernel_initializer="zeros")


def mtcnn(name: str) -> Model:
    """Returns `p_net`, `r_net` or `o_net`: pixels 0..255 `(B,H,W,3)`, RGB, to a dict of box, score, landmarks.

    Outputs are `(B, numbers)`, of P-Net `(B, rows, columns, numbers)`: the window of [row, column] begins at pixel
    (2 row, 2 column) and has 12 x 12 pixels. `score` is the probability of no face and of a face. 6,632, 100,178 and
    389,040 parameters. Layers with weights come in the order of the published files.
    """
    network = NETWORKS[name]
    images = Input((network.side, network.side, 3), dtype="uint8", name="images")
    x = layers.Rescaling(1 / 128, offset=-127.5 / 128, name="scaling")(images)
    for number, convolution in enumerate(network.convolutions, 1):
        x = _convolution(convolution.filters, convolution.kernel, name=f"conv{number}")(x)
        x = layers.PReLU(shared_axes=(1, 2), name=f"prelu{number}")(x)
        if convolution.pool:
            x = layers.MaxPooling2D(convolution.pool, 2, convolution.padding, name=f"pool{number}")(x)
    if network.hidden:
        x = layers.Permute((2, 1, 3), name="columns_first")(x)  # Caffe's order, in which the weights were trained
        x = layers.Flatten(name="flat")(x)
        x = _dense(network.hidden, name="hidden")(x)
        x = layers.PReLU(name="prelu_hidden")(x)
    return Model(images, {key: _output(x, key, size) for key, size in network.outputs.items()}, name=name)


def _output(x: Any, name: str, size: int) -> Any:
    activation = "softmax" if name == "score" else None
    if len(x.shape) == 4:
        return _convolution(size, 1, activation=activation, name=name)(x)
    return _dense(size, activation=activation, name=name)(x)
