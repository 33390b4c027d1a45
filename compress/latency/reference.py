"""The reference models: how long they take shows how fast a machine is at the moment (`compress.latency.timing`)."""

from compress.tflite.writer import random_weight_model
from search_spaces.ops import INPUT, Builder


def reference_models() -> list[bytes]:
    """The three parts of the reference.

    Returns:
        The content of .tflite files: a convolution, a depthwise convolution and an addition.
    """
    arithmetic, near, far = Builder((32, 32)), Builder((64, 64)), Builder((256, 256))
    arithmetic.shapes[INPUT], near.shapes[INPUT] = (32, 32, 64), (64, 64, 48)
    far.shapes |= {"a": (256, 256, 16), "b": (256, 256, 16)}
    arithmetic.conv("reference", INPUT, 64)
    near.depthwise("reference", INPUT)
    far.add("reference", "a", "b")
    return [random_weight_model(tuple(builder.ops)) for builder in (arithmetic, near, far)]
