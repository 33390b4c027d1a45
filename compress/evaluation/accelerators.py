"""Which accelerator takes which op of a .tflite file, and what is left over for the CPU's own kernels.

Where a runtime or a compiler is at hand, it decides. Else a published list does, and the table says so. The Analyzer of
TensorFlow and LiteRT is not asked: it calls any op compatible with GPUs.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from compress.latency.npu import Npu, file_op_names, vela_version
from compress.latency.timing import load
from compress.tflite.flatbuffer import read_model
from search_spaces.errors import InputError

RUN, COMPILED, PUBLISHED, NOT_TRIED = "run here", "compiled here", "published list", "not tried"
TRIED_NPUS = ("ethos-u55-256", "ethos-u65-512", "ethos-u85-512")
UNROLLED = 100  # times as many ops of the NPU as of the file: an op was taken apart pixel by pixel
DELEGATE = "DELEGATE"  # the name of a part that a delegate took
# https://www.tensorflow.org/lite/performance/gpu, of TensorFlow Lite's older GPU delegate. It runs int8 files in float.
GPU_OPS = frozenset(
    [
        "ADD",
        "AVERAGE_POOL_2D",
        "CONCATENATION",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "EXP",
        "FULLY_CONNECTED",
        "LOGICAL_AND",
        "LOGISTIC",
        "LSTM",
        "MAX_POOL_2D",
        "MAXIMUM",
        "MINIMUM",
        "MUL",
        "PAD",
        "PRELU",
        "RELU",
        "RELU6",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "SOFTMAX",
        "STRIDED_SLICE",
        "SUB",
        "TRANSPOSE_CONV",
    ]
)
# https://www.tensorflow.org/lite/performance/coreml_delegate. It takes float files only.
CORE_ML_OPS = frozenset(
    [
        "ADD",
        "AVERAGE_POOL_2D",
        "CONCATENATION",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "HARD_SWISH",
        "LOGISTIC",
        "MAX_POOL_2D",
        "MIRROR_PAD",
        "MUL",
        "PAD",
        "PADV2",
        "RELU",
        "RELU_N1_TO_1",
        "RELU6",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "SOFTMAX",
        "TANH",
        "TRANSPOSE_CONV",
    ]
)
VULKAN_DRIVER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")  # of a GPU in software, which Chromium brings
GPU_TIMEOUT_S = 300
NO_GPU = "needs a Vulkan driver: name it in VK_ICD_FILENAMES, or install Chromium"
NO_WEBGPU = "Failed to initialize WebGPU environment"
# runs in a process of its own: a driver may end it
GPU_RUN = """
import json, sys
import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.interpreter import Interpreter
model = CompiledModel.from_file(sys.argv[1], hardware_accel=HardwareAccelerator.GPU | HardwareAccelerator.CPU)
cpu = Interpreter(model_path=sys.argv[1], num_threads=1)
cpu.allocate_tensors()
(reads,), (makes,) = cpu.get_input_details(), cpu.get_output_details()
_, height, width, bands = reads["shape"]
coarse = np.random.default_rng(0).integers(0, 256, (1, height // 32 + 1, width // 32 + 1, bands))
levels = coarse.repeat(32, 1).repeat(32, 2)[:, :height, :width]
image = (levels / 255 if reads["dtype"] == np.float32 else levels - 128 * (reads["dtype"] == np.int8))
image = image.astype(reads["dtype"])
cpu.set_tensor(reads["index"], image)
cpu.invoke()
expected = cpu.get_tensor(makes["index"])
inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
inputs[0].write(np.ascontiguousarray(image.reshape(-1)))
model.run_by_index(0, inputs, outputs)
made = outputs[0].read(expected.size, makes["dtype"]).reshape(expected.shape)
classes = [one.argmax(-1) if one.ndim == 4 else one for one in (made, expected)]
print("RESULT", json.dumps([bool(model.is_fully_accelerated()), float((classes[0] == classes[1]).mean())]))
"""


@dataclass(frozen=True)
class Placement:
    """What one accelerator does with a file.

    Attributes:
        accelerator: Its name.
        source: How this is known: RUN, COMPILED, PUBLISHED or NOT_TRIED.
        left: How many ops of each kind it leaves over, by the schema's name; None where it was not tried.
        parts: The number of parts into which the graph is cut for it; None where nothing tells.
        seconds: How long finding out took.
        note: What else there is to say.
    """

    accelerator: str
    source: str
    left: dict[str, int] | None
    parts: int | None = None
    seconds: float = 0.0
    note: str = ""


def placements(path: Path, npus: Iterable[str] = TRIED_NPUS, gpu: bool = True) -> list[Placement]:
    """Asks every accelerator.

    Args:
        path: A .tflite file.
        npus: The NPUs to compile for (`compress.latency.target_names.NPUS`).
        gpu: Whether to run the file on a GPU, in software where there is none. That takes some seconds.

    Returns:
        What each does with the file.
    """
    content = path.read_bytes()
    asked: list[Callable[[], Placement]] = [lambda: on_xnnpack(content)]
    asked += [lambda: on_gpu(path)] if gpu else []
    asked += [lambda name=name: on_npu(content, name) for name in npus]  # type: ignore[misc]
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


def on_npu(content: bytes, name: str) -> Placement:
    """Compiles a file for an Arm Ethos-U NPU.

    Args:
        content: The bytes of a .tflite file.
        name: The NPU.

    Returns:
        The ops that stay in the compiled file for the CPU.
    """
    try:
        made = Npu(name).compile(content)
    except InputError as error:
        return Placement(f"Arm {name}", NOT_TRIED, None, note=str(error))
    ops = len(read_model(content).subgraphs[0].operators)
    note = (
        f"{made.price.latency_ms:.2f} ms and {(made.price.sram_bytes or 0) / 1024:.0f} KiB of SRAM by Vela's estimate"
    )
    if made.npu_ops > UNROLLED * ops:
        note += f"; an op is unrolled: the NPU runs {made.npu_ops} ops"
    parts = sum(one.startswith("CUSTOM") for one in file_op_names(made.content))
    return Placement(f"Arm {name}", f"{COMPILED} (Vela {vela_version()})", dict(Counter(made.left)), parts, note=note)


def on_gpu(path: Path) -> Placement:
    """Runs a file on a GPU by LiteRT's WebGPU accelerator (ML Drift), in a process of its own.

    Args:
        path: A .tflite file.

    Returns:
        No ops left over where the whole file runs on the GPU. Which ops are left over otherwise is not told.
    """
    name = "GPU by LiteRT (ML Drift)"
    driver = os.environ.get("VK_ICD_FILENAMES") or str(VULKAN_DRIVER)
    if not Path(driver).is_file():
        return Placement(name, NOT_TRIED, None, note=NO_GPU)
    # Vulkan's loader lies beside Chromium's driver; one of the system, or of LD_LIBRARY_PATH, comes first
    libraries = ":".join(filter(None, (os.environ.get("LD_LIBRARY_PATH"), str(Path(driver).parent))))
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-c", GPU_RUN, str(path.absolute())],
                env={**os.environ, "VK_ICD_FILENAMES": driver, "LD_LIBRARY_PATH": libraries}, cwd=folder,
                capture_output=True, text=True, errors="replace", timeout=GPU_TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Placement(name, NOT_TRIED, None, note=f"no answer within {GPU_TIMEOUT_S} s")
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        if NO_WEBGPU in done.stderr:
            return Placement(name, NOT_TRIED, None, note=NO_GPU)
        reasons = [line.strip() for line in done.stderr.splitlines() if "ERROR" in line or "Error" in line]
        return Placement(name, RUN, None, note=f"refused: {(reasons or ['no reason given'])[0][:160]}")
    whole, same = json.loads(lines[0].partition(" ")[2])
    note = f"{same:.1%} of a random image's pixels as on the CPU"
    if not whole:
        return Placement(name, RUN, None, note=f"not taken whole; {note}")
    return Placement(name, RUN, {}, 1, note=note)


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


def format_placements(content: bytes, found: Iterable[Placement]) -> str:
    """A table of the accelerators.

    Args:
        content: The bytes of the .tflite file.
        found: What each accelerator does with it.

    Returns:
        Lines of text: how many ops of the file each takes, and which are left over.
    """
    total = len(file_op_names(content))
    lines = [f"{'accelerator':32} {'takes':>9} {'parts':>5} {'seconds':>7}  known by; left over"]
    for one in found:
        takes = "?" if one.left is None else f"{total - sum(one.left.values())}/{total}"
        left = "" if one.left is None else ", ".join(f"{count} {name}" for name, count in sorted(one.left.items()))
        told = "; ".join(
            filter(None, (one.source, left or ("" if one.left is None else "nothing left over"), one.note))
        )
        parts = "" if one.parts is None else one.parts
        lines.append(f"{one.accelerator:32} {takes:>9} {parts:>5} {one.seconds:7.2f}  {told}")
    return "\n".join(lines)
