"""Damaged model files end no process that runs them: native libraries refuse them, or run them."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import tiny_of
from damaged_runtimes import CLASSES, SIDE

from compress.evaluation.tflite_file import read_runnable
from compress.files.native_output import output_to
from compress.tflite.conversion import write_onnx
from compress.tflite.flatbuffer import op_name, pack, read_model
from compress.tflite.writer import random_weight_model
from search_spaces.errors import InputError
from search_spaces.network import Network

TRIES = 8  # of each file


@pytest.fixture(scope="module")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files of every kind that a runtime of native code reads."""
    folder = tmp_path_factory.mktemp("models")
    network = Network(replace(tiny_of("lraspp"), resolution=(SIDE, SIDE))).eval()
    (folder / "model.tflite").write_bytes(random_weight_model(network.graph))
    write_onnx(network, folder / "model.onnx", folder / "log")
    teacher, example = torch.nn.Conv2d(3, CLASSES, 1).eval(), torch.zeros(2, 3, SIDE, SIDE)
    torch.jit.script(teacher).save(str(folder / "teacher.ts.pt"))
    sizes = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    torch.export.save(torch.export.export(teacher, (example,), dynamic_shapes=(sizes,)), folder / "teacher.pt2")
    with output_to(folder / "log"):
        torch.onnx.export(teacher, (example,), folder / "teacher.onnx", dynamo=True, dynamic_shapes=(sizes,))
    return folder


def check_runtimes(folder: Path, tries: int) -> None:
    command = [sys.executable, str(Path(__file__).with_name("damaged_runtimes.py")), str(folder), str(tries)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    print({name: one["counts"] for name, one in found.items()})
    assert not [fault for one in found.values() for fault in one["faults"]]


def test_runtimes_refuse_damaged_files(model_files: Path) -> None:
    check_runtimes(model_files, TRIES)


@pytest.mark.slow
def test_runtimes_refuse_many_more(model_files: Path) -> None:
    check_runtimes(model_files, 50 * TRIES)


def test_a_file_that_aborts_the_runtime_is_refused_by_name(model_files: Path, tmp_path: Path) -> None:
    """An addition whose value lost its scale."""
    model = read_model((model_files / "model.tflite").read_bytes())
    graph = model.subgraphs[0]
    added = next(operator for operator in graph.operators if op_name(model, operator) == "ADD")
    graph.tensors[added.outputs[0]].quantization = None
    (tmp_path / "model.tflite").write_bytes(pack(model))
    with pytest.raises(
        InputError, match=r"model\.tflite: LiteRT cannot run it \(it ends with SIGABRT\); export it again"
    ):
        read_runnable(tmp_path / "model.tflite")
