"""Which accelerator takes which op of a .tflite file, and what is left over for the CPU's own kernels.

Where a runtime or a compiler is at hand, it decides. Else a published list does, and the table says so. The Analyzer of
TensorFlow and LiteRT is not asked: it calls any op compatible with GPUs.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from compress.evaluation.gpu_run import on_gpu
from compress.evaluation.hexagon import on_hexagon
from compress.evaluation.placement import COMPILED, NOT_TRIED, PUBLISHED, RUN, Placement
from compress.evaluation.published_ops import CORE_ML_OPS, GPU_OPS
from compress.files.atomic import digest
from compress.latency.npu import Npu, file_op_names, vela_version
from compress.latency.timing import load
from compress.tflite.flatbuffer import read_model
from search_spaces.errors import InputError

TRIED_NPUS = ("ethos-u55-256", "ethos-u65-512", "ethos-u85-512")
UNROLLED = 100  # times as many ops of the NPU as of the file: an op was taken apart pixel by pixel
ROWS_HEAD = ("accelerator", "takes", "parts", "seconds", "known by; left over")
DELEGATE = "DELEGATE"  # the name of a part that a delegate took


def placements(path: Path, npus: Iterable[Npu], gpu: bool = True) -> list[Placement]:
    """Asks every accelerator.

    Args:
        path: A .tflite file.
        npus: The NPUs to compile for.
        gpu: Whether to run the file on a GPU, in software where there is none. That takes some seconds.

    Returns:
        What each does with the file.
    """
    content = path.read_bytes()
    asked: list[Callable[[], Placement]] = [lambda: on_xnnpack(content)]
    asked += [lambda: on_gpu(path)] if gpu else []
    asked += [lambda npu=npu: on_npu(content, npu) for npu in npus]  # type: ignore[misc]
    asked += [lambda: on_hexagon(path)]
    found = []
    for ask in asked:
        begun = time.perf_counter()
        one = ask()
        found.append(Placement(**{**vars(one), "seconds": time.perf_counter() - begun}))
    return [*found, by_list(content, "GPU delegate of TensorFlow Lite", GPU_OPS, True), core_ml(content)]


def on_xnnpack(content: bytes) -> Placement:
    """Loads a file with LiteRT's default delegate, XNNPACK, and sees which ops it took.

    Args:
        content: The bytes of a .tflite file.

    Returns:
        The ops that LiteRT's own kernels run, and the number of parts that XNNPACK runs.
    """
    # no public interface tells it
    nodes = load(content, 1)._get_ops_details()
    own = [node for node in nodes if node["op_name"] != DELEGATE]
    makers = {int(index): node for node in own for index in node["outputs"]}
    parts = [node for node in nodes if node["op_name"] == DELEGATE]
    taken: set[int] = set()
    for part in parts:
        ends = {int(index) for index in part["inputs"]}
        waiting = [int(index) for index in part["outputs"]]
        while waiting:
            node = makers.get(waiting.pop())
            if node is not None and node["index"] not in taken:
                taken.add(node["index"])
                waiting += [int(index) for index in node["inputs"] if int(index) not in ends]
    left = Counter(node["op_name"] for node in own if node["index"] not in taken)
    return Placement("XNNPACK (CPU)", RUN, dict(left), len(parts))


def on_npu(content: bytes, npu: Npu) -> Placement:
    """Compiles a file for an Arm Ethos-U NPU.

    Args:
        content: The bytes of a .tflite file.
        npu: The NPU.

    Returns:
        The ops that stay in the compiled file for the CPU.
    """
    try:
        made = npu.compile(content)
    except InputError as error:
        return Placement(f"Arm {npu.name}", NOT_TRIED, None, note=str(error))
    ops = len(read_model(content).subgraphs[0].operators)
    note = (
        f"{made.price.latency_ms:.2f} ms and {(made.price.sram_bytes or 0) / 1024:.0f} KiB of SRAM by Vela's estimate"
    )
    if made.npu_ops > UNROLLED * ops:
        note += f"; an op is unrolled: the NPU runs {made.npu_ops} ops"
    parts = sum(one.startswith("CUSTOM") for one in file_op_names(made.content))
    source = f"{COMPILED} (Vela {vela_version()})"
    return Placement(f"Arm {npu.name}", source, dict(Counter(made.left)), parts, note=note)


def by_list(content: bytes, accelerator: str, supported: frozenset[str], takes_int8: bool) -> Placement:
    """Compares the ops of a file with a published list.

    Args:
        content: The bytes of a .tflite file.
        accelerator: The name of the accelerator.
        supported: The names of the ops on the list.
        takes_int8: Whether it runs int8 files.

    Returns:
        The ops that are not on the list.
    """
    names = file_op_names(content)
    model = read_model(content)
    float_input = model.subgraphs[0].tensors[int(model.subgraphs[0].inputs[0])].quantization is None
    int8 = not float_input or "QUANTIZE" in names
    left = Counter(name for name in names if name not in supported or (int8 and not takes_int8))
    return Placement(
        accelerator, PUBLISHED, dict(left), note="" if takes_int8 or not int8 else "takes float files only"
    )


def core_ml(content: bytes) -> Placement:
    """What the list of the Core ML delegate says of a file.

    Args:
        content: The bytes of a .tflite file.

    Returns:
        The ops that are left over.
    """
    return by_list(content, "Core ML delegate", CORE_ML_OPS, takes_int8=False)


def placements_record(path: Path, found: Iterable[Placement]) -> dict[str, Any]:
    """What accelerators do with a file, as a record.

    Args:
        path: The .tflite file.
        found: What each accelerator does with it.

    Returns:
        Plain values: the file, its digest and the accelerators.
    """
    return {"model": str(path), "digest": digest(path), "accelerators": [vars(one) for one in found]}


def placement_rows(content: bytes, found: Iterable[Placement]) -> list[tuple[str, ...]]:
    """The cells of a table of the accelerators.

    Args:
        content: The bytes of the .tflite file.
        found: What each accelerator does with it.

    Returns:
        A row for each, as ROWS_HEAD names them: how many ops of the file it takes, and which are left over.
    """
    total = len(file_op_names(content))
    rows: list[tuple[str, ...]] = []
    for one in found:
        takes, left = "?", ""
        if one.left is not None:
            takes = f"{total - sum(one.left.values())}/{total}"
            left = ", ".join(f"{count} {name}" for name, count in sorted(one.left.items())) or "nothing left over"
        told = "; ".join(filter(None, (one.source, left, one.note)))
        parts = "" if one.parts is None else str(one.parts)
        rows.append((one.accelerator, takes, parts, f"{one.seconds:.2f}", told))
    return rows


def format_placements(content: bytes, found: Iterable[Placement]) -> str:
    """A table of the accelerators.

    Args:
        content: The bytes of the .tflite file.
        found: What each accelerator does with it.

    Returns:
        Lines of text, see `placement_rows`.
    """
    rows = [ROWS_HEAD, *placement_rows(content, found)]
    return "\n".join(
        f"{name:32} {takes:>9} {parts:>5} {seconds:>7}  {told}" for name, takes, parts, seconds, told in rows
    )
