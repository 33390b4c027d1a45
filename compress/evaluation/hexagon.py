"""Qualcomm's Hexagon NPU: the compiler plugin in the ai-edge-litert wheel says which ops of a file it takes.

The plugin needs Qualcomm's QNN libraries. The package onnxruntime-qnn brings them, under Qualcomm's licence. No phone
is needed, and no latency is told.
"""

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from compress.evaluation.placement import COMPILED, NOT_TRIED, Placement
from compress.files.atomic import write_atomically
from compress.latency.npu import file_op_names
from search_spaces.errors import InputError

EXTRA = "pip install 'slimlab[hexagon]'"
SOC = "SM8750"  # Snapdragon 8 Elite
TIMEOUT_S = 600
UNKNOWN_SOC = "Unexpected SoC model"
# the package has no library of the low-power audio island; the plugin only loads it
STAND_IN = {"libQnnLpai.so": "libQnnIr.so"}


def on_hexagon(path: Path, soc: str = SOC) -> Placement:
    """Partitions a file for a Hexagon NPU.

    Args:
        path: A .tflite file.
        soc: The chip, as Qualcomm names it.

    Returns:
        The ops that stay for the CPU, and the number of parts that the NPU runs.
    """
    name = f"Qualcomm Hexagon ({soc})"
    try:
        ops = file_op_names(_compiled(path, soc, "partition"))
    except InputError as error:
        return Placement(name, NOT_TRIED, None, note=str(error))
    left = Counter(op for op in ops if not op.startswith("CUSTOM"))
    return Placement(name, f"{COMPILED} (QNN)", dict(left), len(ops) - left.total())


def write_aot(path: Path, soc: str, out: Path) -> None:
    """Compiles a file ahead of time for a Hexagon NPU.

    Args:
        path: A .tflite file.
        soc: The chip, such as SM8750.
        out: The file to write.

    Raises:
        InputError: The compiler or its libraries are missing, the chip is not known, or the file cannot be compiled.
    """
    write_atomically(out, _compiled(path, soc, "apply"))


def _compiled(path: Path, soc: str, verb: str) -> bytes:
    """What the plugin makes of a file."""
    litert, qnn = (find_spec(package) for package in ("ai_edge_litert", "onnxruntime_qnn"))
    if qnn is None or not qnn.origin:
        raise InputError(f"needs Qualcomm's QNN libraries: {EXTRA}")
    assert litert and litert.origin
    wheel, libraries = Path(litert.origin).parent, Path(qnn.origin).parent
    tool, plugins = wheel / "tools/apply_plugin_main", wheel / "vendors/qualcomm/compiler"
    if not tool.is_file() or not plugins.is_dir():
        raise InputError(
            "the ai-edge-litert of this system has no compiler for Qualcomm's NPUs (it is in that of Linux)"
        )
    with tempfile.TemporaryDirectory() as folder:
        links = Path(folder) / "libraries"
        links.mkdir()
        for library in libraries.glob("*.so*"):
            (links / library.name).symlink_to(library)
        for missing, other in STAND_IN.items():
            if not (links / missing).exists() and (links / other).exists():
                (links / missing).symlink_to(libraries / other)
        own = [str(links), str(libraries.with_name("onnxruntime_qnn.libs")), str(wheel)]
        made, copied = Path(folder) / "made.tflite", Path(folder) / "tool"
        shutil.copy(tool, copied)  # a wheel's file need not be executable
        copied.chmod(0o700)
        try:
            done = subprocess.run(
                [copied, f"--cmd={verb}", f"--model={path.absolute()}", "--soc_manufacturer=Qualcomm",
                 f"--soc_model={soc}", f"--libs={plugins}", f"--o={made}"],
                env={**os.environ, "LD_LIBRARY_PATH": ":".join(own)}, cwd=folder, capture_output=True, text=True,
                errors="replace", timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"Qualcomm's compiler cannot be run: {error}") from error
        printed = done.stdout + done.stderr
        if UNKNOWN_SOC in printed:  # it may write the file as it was all the same
            raise InputError(f"{soc}: Qualcomm's compiler does not know this chip; give a name such as {SOC}")
        if made.is_file():
            return made.read_bytes()
    reasons = [line.strip() for line in printed.splitlines() if "ERROR" in line]
    raise InputError(f"Qualcomm's compiler refuses {path}: {(reasons or ['no reason given'])[0][:200]}")
