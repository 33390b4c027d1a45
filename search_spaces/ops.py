"""The op list of a network. It is derived once and drives the module, the costs and the files that are timed.

Shapes are (H, W, C) of one image; padding is always TensorFlow's SAME.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

Shape = tuple[int, int, int]
INPUT = "input"
RGB_BANDS = 3  # channels of an image of red, green and blue
CLASSIFIER = "classifier"  # in the names of the convolutions that make class scores
CONV, DEPTHWISE, ADD, MUL = "conv", "depthwise", "add", "mul"
SIGMOID, CONCAT, MEAN, RESIZE, ARGMAX = "sigmoid", "concat", "mean", "resize", "argmax"


def out_size(size: int, stride: int) -> int:
    """The side of a value after a SAME convolution.

    Args:
        size: The side before it, in pixels.
        stride: The convolution's stride.

    Returns:
        Pixels.
    """
    return -(-size // stride)


class Op(NamedTuple):
    """One op of a network.

    It is a named tuple because a search derives thousands of graphs a second, and a frozen dataclass takes five times
    as long to make.

    Attributes:
        name: The op's name, which is also the name of the value it makes.
        inputs: The names of the values it reads.
        kind: What it does: `CONV`, `ADD` and so on.
        in_shapes: The shapes (H, W, C) of the inputs.
        shape: The shape (H, W, C) of the output.
        kernel: Side of the kernel in pixels.
        stride: The stride.
        dilation: The atrous rate.
        relu6: Whether ReLU6 follows.
        like: Of a resize: the name of the value whose height and width the output has, divided by `divide`.
        divide: See `like`.
        norm: Whether a convolution has batch norm; otherwise it has a bias.
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
        """All that the op's cost depends on: kind, input and output shapes, kernel, stride, atrous rate.

        A fused ReLU6 costs nothing, because every kernel clamps its output anyway.
        """
        return self[2:8]

    @property
    def key(self) -> str:
        """`work` as text, such as `conv_k3_s2_d1_64x64x3_32x32x8`."""
        ins = "+".join("x".join(map(str, s)) for s in self.in_shapes)
        work = f"_k{self.kernel}_s{self.stride}_d{self.dilation}" if self.kind in (CONV, DEPTHWISE) else ""
        return f"{self.kind}{work}_{ins}_{'x'.join(map(str, self.shape))}"

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """The shape of a convolution's weights: output channels, input channels of a group, kernel, kernel."""
        group_in = 1 if self.kind == DEPTHWISE else self.in_shapes[0][2]
        return (self.shape[2], group_in, self.kernel, self.kernel)

    @property
    def has_weights(self) -> bool:
        """Whether the op is a convolution."""
        return self.kind in (CONV, DEPTHWISE)


Graph = tuple[Op, ...]


@dataclass
class Builder:
    """Collects the ops of a network in the order they run.

    Every method that adds an op takes the names of its inputs and returns the name of its output.

    Attributes:
        resolution: The (H, W) in pixels of the image.
        ops: The ops so far.
        shapes: The shape (H, W, C) of every value so far, by name.
        doubling: Whether `resize` enlarges in steps of two.
        bands: Channels of the image.
    """

    resolution: tuple[int, int]
    ops: list[Op] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    doubling: bool = False
    bands: int = RGB_BANDS

    def __post_init__(self) -> None:
        self.shapes[INPUT] = (*self.resolution, self.bands)

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
        """Adds a convolution.

        Args:
            name: The op's name.
            x: The input.
            width: Output channels.
            kernel: Side of the kernel in pixels.
            stride: The stride.
            dilation: The atrous rate.
            relu6: Whether ReLU6 follows.
            norm: Whether it has batch norm; otherwise it has a bias.

        Returns:
            The name of the output.
        """
        given = self.shapes[x]
        shape = (out_size(given[0], stride), out_size(given[1], stride), width)
        return self._append(Op(name, (x,), CONV, (given,), shape, kernel, stride, dilation, relu6, norm=norm))

    def depthwise(
        self, name: str, x: str, kernel: int = 3, stride: int = 1, dilation: int = 1, relu6: bool = True
    ) -> str:
        """Adds a depthwise convolution with batch norm.

        Args:
            name: The op's name.
            x: The input.
            kernel: Side of the kernel in pixels.
            stride: The stride.
            dilation: The atrous rate.
            relu6: Whether ReLU6 follows.

        Returns:
            The name of the output.
        """
        given = self.shapes[x]
        shape = (out_size(given[0], stride), out_size(given[1], stride), given[2])
        return self._append(Op(name, (x,), DEPTHWISE, (given,), shape, kernel, stride, dilation, relu6))

    def add(self, name: str, x: str, y: str) -> str:
        """Adds a sum of two values.

        Args:
            name: The op's name.
            x: One value.
            y: The other, of the same shape.

        Returns:
            The name of the output.
        """
        return self._append(Op(name, (x, y), ADD, (self.shapes[x], self.shapes[y]), self.shapes[x]))

    def mul(self, name: str, x: str, gate: str) -> str:
        """Adds a product of two values.

        Args:
            name: The op's name.
            x: The value.
            gate: The other factor, of the same shape or of one pixel.

        Returns:
            The name of the output.
        """
        return self._append(Op(name, (x, gate), MUL, (self.shapes[x], self.shapes[gate]), self.shapes[x]))

    def sigmoid(self, name: str, x: str) -> str:
        """Adds a sigmoid.

        Args:
            name: The op's name.
            x: The input.

        Returns:
            The name of the output.
        """
        return self._append(Op(name, (x,), SIGMOID, (self.shapes[x],), self.shapes[x]))

    def concat(self, name: str, xs: list[str]) -> str:
        """Adds a concat of channels; of a single value no op is made.

        Args:
            name: The op's name.
            xs: The values.

        Returns:
            The name of the output.
        """
        if len(xs) == 1:
            return xs[0]
        shapes = tuple(self.shapes[x] for x in xs)
        h, w, _ = shapes[0]
        return self._append(Op(name, tuple(xs), CONCAT, shapes, (h, w, sum(s[2] for s in shapes))))

    def mean(self, name: str, x: str) -> str:
        """Adds the mean over all pixels.

        Args:
            name: The op's name.
            x: The input.

        Returns:
            The name of the output, which has one pixel.
        """
        return self._append(Op(name, (x,), MEAN, (self.shapes[x],), (1, 1, self.shapes[x][2])))

    def resize(self, name: str, x: str, like: str, divide: int = 1) -> str:
        """Adds a bilinear resize with half-pixel centres; of one that changes nothing no op is made.

        With `doubling` there are as many resizes as it takes until none enlarges a side more than twice. A single pixel
        is spread in one step.

        Args:
            name: The op's name.
            x: The input.
            like: The value whose height and width are divided.
            divide: The divisor.

        Returns:
            The name of the output.
        """
        h, w, _ = self.shapes[like]
        shape = (out_size(h, divide), out_size(w, divide), self.shapes[x][2])
        given = self.shapes[x]
        if shape == given:
            return x
        if self.doubling and max(given[:2]) > 1 and (shape[0] > 2 * given[0] or shape[1] > 2 * given[1]):
            x = self.resize(f"{name}.{2 * divide}", x, like, 2 * divide)
        return self._append(Op(name, (x,), RESIZE, (self.shapes[x],), shape, like=like, divide=divide))

    def argmax(self, name: str, x: str) -> str:
        """Adds the class of each pixel.

        Args:
            name: The op's name.
            x: The class scores.

        Returns:
            The name of the output, which has one channel.
        """
        h, w, _ = self.shapes[x]
        return self._append(Op(name, (x,), ARGMAX, (self.shapes[x],), (h, w, 1)))
