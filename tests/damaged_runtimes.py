"""python damaged_runtimes.py FOLDER TRIES: gives damaged model files to the runtimes, each in a process of its own.

A native library may crash where Python raises, and would end the tests with it. Prints what came of it as JSON: how
many of each file were refused in a line, run, or ended otherwise; and what must not be.
"""

import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mutations import cut, flip, flip_head, insert, mutate, zeros

from compress.data.validation import Validation
from compress.distillation.teachers import open_teacher
from compress.evaluation.onnx_file import run_onnx
from compress.evaluation.tflite_file import class_maps, read_runnable
from search_spaces.errors import InputError

SIDE, CLASSES = 64, 3
MUTATIONS = (flip, flip_head, flip, insert, zeros, flip, cut)
REFUSED, RAN, TRACEBACK = 2, 0, 1
MAX_SECONDS = 60


def run_tflite_file(path: Path) -> None:
    list(class_maps(read_runnable(path), [np.zeros((SIDE, SIDE, 3), np.int8)], 1))


def run_onnx_file(path: Path) -> None:
    images = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    run_onnx(path, (SIDE, SIDE), Validation(images, images[:, 0]), 1)


def run_teacher(path: Path) -> None:
    teacher: Any = open_teacher(path, CLASSES, (SIDE, SIDE), SIDE, torch.device("cpu"))
    teacher(torch.zeros(1, 3, SIDE, SIDE))


RUNNERS: dict[str, Callable[[Path], None]] = {
    "model.tflite": run_tflite_file,
    "model.onnx": run_onnx_file,
    "teacher.onnx": run_teacher,
    "teacher.ts.pt": run_teacher,
    "teacher.pt2": run_teacher,
}


def ended(run: Callable[[Path], None], file: Path) -> tuple[int, str]:
    """The exit code of a process that runs a file, negative for a signal, and its last words."""
    words = file.with_suffix(".words")
    child = os.fork()
    if not child:
        code = TRACEBACK
        try:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            torch.set_num_threads(1)
            signal.alarm(MAX_SECONDS)
            run(file)
            code = RAN
        except InputError as error:
            line = str(error)
            code = REFUSED if file.name in line and len(line.splitlines()) == 1 else TRACEBACK
            words.write_text(line)
        except BaseException as error:
            words.write_text(f"{type(error).__name__}: {error}"[:300])
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), words.read_text() if words.exists() else ""


def main() -> None:
    folder, tries = Path(sys.argv[1]), int(sys.argv[2])
    found: dict[str, Any] = {}
    for name, run in RUNNERS.items():
        counts: Counter[str] = Counter()
        faults = []
        whole = (folder / name).read_bytes()
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / name
            for number in range(tries):
                mutation = MUTATIONS[number % len(MUTATIONS)] if number else lambda content, rng: content
                mutate(file, mutation, random.Random(f"{name} {number}"), whole)
                code, words = ended(run, file)
                file.with_suffix(".words").unlink(missing_ok=True)
                kind = {REFUSED: "refused in a line", RAN: "run"}.get(code, f"ended with {code}")
                counts[kind] += 1
                if code not in (REFUSED, RAN) or (not number and code):
                    faults.append(f"{name} {getattr(mutation, '__name__', '')} {number}: {kind} {words}")
        found[name] = {"counts": counts, "faults": faults}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
