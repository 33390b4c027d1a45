"""python benchmarks/family.py [--models N] [--seed S]: what each space of the family spans, and what its ops take.

For each space N random genotypes at 512x512 with 8 classes: multiply-accumulates and parameters, how many of the
multiply-accumulates are the head's, and the measured latency of the smallest and the largest network as int8. Then
MobileNetV3's parts as int8 and float, and whether XNNPACK takes them. Prints the tables of docs/family.md.
"""

import argparse
import random
from collections.abc import Sequence
from statistics import median

from ai_edge_litert import schema_py_generated as schema
from baseline import machine

from compress.latency.targets import HostTarget
from compress.latency.timing import load
from compress.tflite.flatbuffer import pack, read_model
from compress.tflite.writer import FLOAT32, INT8, random_weight_model
from search_spaces import SPACES, Space, costs
from search_spaces.ops import ADD, CONV, DEPTHWISE, MEAN, MUL, SIGMOID, Graph, Op
from search_spaces.trials import LargestTrial, RandomTrial, SmallestTrial

SIDE, CLASSES = 512, 8
SHAPE = (128, 128, 96)  # of a value midway in a backbone
FEATURES = (32, 32, 192)  # of one that a head reads


def spans(space: Space, models: int, seed: int) -> str:
    """One row of the first table."""
    rng = random.Random(seed)
    size = (SIDE, SIDE)
    drawn = [space.graph(space.sample(RandomTrial(rng), CLASSES, size)) for _ in range(models)]
    ends = [space.graph(space.sample(trial, CLASSES, size)) for trial in (SmallestTrial(), LargestTrial())]
    gmacs = [costs.macs(graph) / 1e9 for graph in drawn]
    millions = [costs.params(graph) / 1e6 for graph in drawn]
    smallest, largest = HostTarget().measure([random_weight_model(graph) for graph in ends], seconds=2.0)
    return (
        f"| {space.name} | {min(gmacs):.2f} | {median(gmacs):.2f} | {max(gmacs):.2f} | {min(millions):.2f} | "
        f"{median(millions):.2f} | {max(millions):.2f} | {median(map(head_share, drawn)):.0%} | "
        f"{smallest.ms:.2f} | {largest.ms:.1f} |"
    ).replace("%", " %")


def head_share(graph: Graph) -> float:
    """Of the multiply-accumulates, those after the backbone."""
    return 1 - costs.macs(tuple(op for op in graph if op.name.startswith(("stem", "stage")))) / costs.macs(graph)


def parts() -> list[tuple[str, Sequence[Op]]]:
    """MobileNetV3's next to what they replace, and 3x3 convolutions of a head."""
    c = SHAPE[2]
    pixel = (1, 1, c)
    heads: list[tuple[str, Sequence[Op]]] = [
        (f"dense 3x3, atrous rate {rate}", [Op("a", ("x",), CONV, (FEATURES,), (32, 32, 128), 3, dilation=rate)])
        for rate in (1, 12, 24)
    ]
    separable = [
        Op("a", ("x",), DEPTHWISE, (FEATURES,), FEATURES, 3, dilation=12),
        Op("b", ("a",), CONV, (FEATURES,), (32, 32, 128)),
    ]
    squeeze = [
        Op("a", ("x",), MEAN, (SHAPE,), pixel),
        Op("b", ("a",), CONV, (pixel,), (1, 1, c // 4), relu6=True),
        Op("c", ("b",), CONV, ((1, 1, c // 4),), pixel),
        Op("d", ("c",), SIGMOID, (pixel,), pixel),
        Op("e", ("x", "d"), MUL, (SHAPE, pixel), SHAPE),
    ]
    swish = [Op("a", ("x",), SIGMOID, (SHAPE,), SHAPE), Op("b", ("x", "a"), MUL, (SHAPE, SHAPE), SHAPE)]
    return [
        ("swish: sigmoid, mul", swish),
        ("squeeze-and-excitation: mean, 1x1, 1x1, sigmoid, mul", squeeze),
        ("residual add", [Op("a", ("x", "y"), ADD, (SHAPE, SHAPE), SHAPE)]),
        ("depthwise 3x3", [Op("a", ("x",), DEPTHWISE, (SHAPE,), SHAPE, 3)]),
        ("1x1 to as many channels", [Op("a", ("x",), CONV, (SHAPE,), SHAPE)]),
        *heads,
        ("depthwise 3x3, atrous rate 12, and 1x1", separable),
    ]


def hard_swish(precision: str) -> bytes:
    """A file of one HARD_SWISH, which no space has: made from that of a sigmoid."""
    model = read_model(random_weight_model([Op("a", ("x",), SIGMOID, (SHAPE,), SHAPE)], precision))
    (code,), (operator,) = model.operatorCodes, model.subgraphs[0].operators
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.HARD_SWISH
    code.version = 1
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.NONE, None
    return pack(model)


def taken(model: bytes) -> bool:
    """Whether XNNPACK runs all of a file: it then stands as one node after those it replaces."""
    interpreter = load(model, 1)
    ops = [op["op_name"] for op in interpreter._get_ops_details()]
    return ops[-1] == "DELEGATE" and ops.count("DELEGATE") == 1


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--models", type=int, default=200)
    flags.add_argument("--seed", type=int, default=0)
    given = flags.parse_args()
    print(f"{machine()}; {given.models} genotypes, seed {given.seed}\n")
    print(
        "| space | GMACs, least | median | most | M parameters, least | median | most | head's MACs | ms, smallest |",
        end="",
    )
    print(" ms, largest |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for space in SPACES.values():
        print(spans(space, given.models, given.seed), flush=True)
    print("\n| | int8 ms | float ms | XNNPACK takes the int8 file |\n|---|---|---|---|")
    files = [("HARD_SWISH", hard_swish(INT8), hard_swish(FLOAT32))]
    files += [
        (name, random_weight_model(tuple(ops), INT8), random_weight_model(tuple(ops), FLOAT32)) for name, ops in parts()
    ]
    for name, *pair in files:
        int8, float32 = HostTarget().measure(pair, seconds=1.0)
        print(f"| {name} | {int8.ms:.3f} | {float32.ms:.3f} | {'yes' if taken(pair[0]) else 'no'} |", flush=True)


if __name__ == "__main__":
    main()
