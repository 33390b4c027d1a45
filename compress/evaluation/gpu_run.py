"""Runs a file on a GPU by LiteRT's WebGPU accelerator, in software where there is no GPU."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from compress.evaluation.placement import NOT_TRIED, RUN, Placement

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
