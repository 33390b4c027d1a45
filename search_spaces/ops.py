"""The op list of a network. It is derived once and drives the module, the costs and the files that are timed.

Shapes are (H, W, C) of one image; padding is always TensorFlow's SAME.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

Shape = tuple[int, int, int]
INPUT = "input"
CLASSIFIER = "classifier"  # in the names of the convolutions that make class scores
CONV, DEPTHWISE, ADD, MUL = "conv", "depthwise", "add", "mul"
SIGMOID, CONCAT, MEAN, RESIZE, ARGMAX = "sigmoid", "concat", "mean", "resize", "argmax"


def out_size(size: int, stride: int) -> int:
    """Pixels a side after a SAME convolution of this stride."""
    return -(-size // stride)


class Op(NamedTuple):
    """One op: `name` is also the name of the value it makes, `inputs` are the values it reads. (A named tuple: a
    search derives thousands of graphs a second, and a frozen dataclass takes five times as long to make.)

    `like` and `divide` say how large a resize makes its output, whatever the input size: that of the value
    `like` over `divide`. A convolution with `norm` has batch norm, one without a bias.
    """

    name: str
    inputs: tuple[str, ...]
    kind: str
    in_shapes: tuple[Shape, ...]
    shape: Shape
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    relu6: bool = False
    like: str = ""
    divide: int = 1
    norm: bool = True

    @property
    def work(self) -> tuple[object, ...]:
        """What the op costs depends on this alone: kind, input and output shapes, kernel, stride, atrous rate.

        A fused ReLU6 is free: every kernel clamps its output anyway.
        """
        return self[2:8]

    @property
    def key(self) -> str:
        """`work` in letters."""
        ins = "+".join("x".join(map(str, s)) for s in self.in_shapes)
        work = f"_k{self.kernel}_s{self.stride}_d{self.dilation}" if self.kind in (CONV, DEPTHWISE) else ""
        return f"{self.kind}{work}_{ins}_{'x'.join(map(str, self.shape))}"

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Of a convolution: out channels, in channels of a group, kernel, kernel."""
        group_in = 1 if self.kind == DEPTHWISE else self.in_shapes[0][2]
        return (self.shape[2], group_in, self.kernel, self.kernel)

    @property
    def has_weights(self) -> bool:
        return self.kind in (CONV, DEPTHWISE)


Graph = tuple[Op, ...]


@dataclass
class Builder:
    """Collects ops in the order they run; every method returns the name of the value it made."""

    resolution: tuple[int, int]
    ops: list[Op] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shapes[INPUT] = (*self.resolution, 3)

    def _append(self, op: Op) -> str:
        self.ops.append(op)
        self.shapes[op.name] = op.shape
        return op.name

    def conv(
        self,
        name: str,
        x: str,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        relu6: bool = True,
        norm: bool = True,
    ) -> str:
        given = self.shapes[x]
        shape = (out_size(given[0], stride), out_size(given[1], stride), width)
        return self._append(Op(name, (x,), CONV, (given,), shape, kernel, stride, dilation, relu6, norm=norm))

    def depthwise(
        self, name: str, x: str, kernel: int = 3, stride: int = 1, dilation: int = 1, relu6: bool = True
    ) -> str:
        given = self.shapes[x]
        shape = (out_size(given[0], stride), out_size(given[1], stride), given[2])
        return self._append(Op(name, (x,), DEPTHWISE, (given,), shape, kernel, stride, dilation, relu6))

    def add(self, name: str, x: str, y: str) -> str:
        return self._append(Op(name, (x, y), ADD, (self.shapes[x], self.shapes[y]), self.shapes[x]))

    def mul(self, name: str, x: str, gate: str) -> str:
        """`x` times `gate`, which has its shape, or one pixel that counts for all."""
        return self._append(Op(name, (x, gate), MUL, (self.shapes[x], self.shapes[gate]), self.shapes[x]))

    def sigmoid(self, name: str, x: str) -> str:
        return self._append(Op(name, (x,), SIGMOID, (self.shapes[x],), self.shapes[x]))

    def concat(self, name: str, xs: list[str]) -> str:
        """Joins channels; one value alone is passed through."""
        if len(xs) == 1:
            return xs[0]
        shapes = tuple(self.shapes[x] for x in xs)
        h, w, _ = shapes[0]
        return self._append(Op(name, tuple(xs), CONCAT, shapes, (h, w, sum(s[2] for s in shapes))))

    def mean(self, name: str, x: str) -> str:
        return self._append(Op(name, (x,), MEAN, (self.shapes[x],), (1, 1, self.shapes[x][2])))

    def resize(self, name: str, x: str, like: str, divide: int = 1) -> str:
        """Bilinear, half-pixel centres; one that changes nothing is left out."""
        h, w, _ = self.shapes[like]
        shape = (out_size(h, divide), out_size(w, divide), self.shapes[x][2])
        if shape == self.shapes[x]:
            return x
        return self._append(Op(name, (x,), RESIZE, (self.shapes[x],), shape, like=like, divide=divide))

    def argmax(self, name: str, x: str) -> str:
        h, w, _ = self.shapes[x]
        return self._append(Op(name, (x,), ARGMAX, (self.shapes[x],), (h, w, 1)))
