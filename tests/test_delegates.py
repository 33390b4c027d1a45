"""Which accelerator takes which op: each is asked with ops that it takes and with one that it refuses."""

import json
import re
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from commands import Command

import compress.delegates
from compress.evaluation import hexagon
from compress.evaluation.accelerators import by_list, core_ml, on_npu, on_xnnpack
from compress.evaluation.gpu_run import on_gpu
from compress.evaluation.hexagon import on_hexagon, write_aot
from compress.evaluation.placement import NOT_TRIED
from compress.evaluation.published_ops import GPU_OPS
from compress.files.records import write_json
from compress.latency.npu import Npu, file_op_names
from compress.stages.config import RunConfig
from compress.tflite.flatbuffer import pack, read_model
from compress.tflite.writer import FLOAT32, random_weight_model
from search_spaces import get_space
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.trials import SmallestTrial


@pytest.fixture(scope="module")
def smallest() -> Genotype:
    return get_space("deeplabv3plus").sample(SmallestTrial(), 4, (64, 64))


@pytest.fixture(scope="module")
def model(smallest: Genotype) -> bytes:
    return random_weight_model(get_space("deeplabv3plus").graph(smallest))


def with_argmin(content: bytes) -> bytes:
    """The file with ARG_MIN in place of ARG_MAX, which fewer accelerators know."""
    model = read_model(content)
    for code in model.operatorCodes:
        if max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.ARG_MAX:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ARG_MIN
    for operator in model.subgraphs[0].operators:
        if operator.builtinOptionsType == schema.BuiltinOptions.ArgMaxOptions:
            operator.builtinOptionsType = schema.BuiltinOptions.ArgMinOptions
            operator.builtinOptions = schema.ArgMinOptionsT()
            operator.builtinOptions.outputType = schema.TensorType.INT32
    return pack(model)


def test_xnnpack_takes_all_but_the_argmax(model: bytes, smallest: Genotype) -> None:
    found = on_xnnpack(model)
    assert (found.left, found.parts) == ({"ARG_MAX": 1}, 1)


def test_xnnpack_leaves_an_op_in_the_middle(model: bytes) -> None:
    """A resize to the nearest pixel, which XNNPACK does not know, cuts the graph in two."""
    changed = read_model(model)
    middle = [
        op for op in changed.subgraphs[0].operators if _code(changed, op) == schema.BuiltinOperator.RESIZE_BILINEAR
    ]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESIZE_NEAREST_NEIGHBOR
    code.version = 2
    changed.operatorCodes.append(code)
    middle[0].opcodeIndex = len(changed.operatorCodes) - 1
    middle[0].builtinOptionsType = schema.BuiltinOptions.ResizeNearestNeighborOptions
    middle[0].builtinOptions = schema.ResizeNearestNeighborOptionsT()
    middle[0].builtinOptions.halfPixelCenters = True
    found = on_xnnpack(pack(changed))
    assert (found.left, found.parts) == ({"ARG_MAX": 1, "RESIZE_NEAREST_NEIGHBOR": 1}, 2)


def _code(model: schema.ModelT, operator: schema.OperatorT) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def test_an_npu_names_what_falls_to_the_cpu(model: bytes) -> None:
    pytest.importorskip("ethosu", reason="the extra ethosu is not installed")
    small, large = (on_npu(model, Npu(name)) for name in ("ethos-u55-256", "ethos-u85-512"))
    assert small.left is not None and "RESIZE_BILINEAR" in small.left
    assert large.left == {}
    assert "Vela" in large.source and "estimate" in large.note


def test_the_npu_of_a_run_has_the_sram_of_the_run(model: bytes, tmp_path: Path, command: Command) -> None:
    pytest.importorskip("ethosu", reason="the extra ethosu is not installed")
    config = RunConfig(budget_ms=50, input_size=(64, 64), target="vela:ethos-u65-512", max_sram_kib=4)
    write_json(tmp_path / "config.json", config.to_dict())
    write_json(tmp_path / "npu.json", {"vela": "0.1"})  # the run's prices are of another Vela; this table is of today's
    (tmp_path / "model.tflite").write_bytes(model)
    code, out, err = command(compress.delegates.main, tmp_path, "--without-gpu")
    assert code == 0, err
    bounded = re.search(r"ethos-u65-512.*?(\d+) KiB of SRAM", out)
    free = re.search(r"(\d+) KiB of SRAM", on_npu(model, Npu("ethos-u65-512")).note)
    assert bounded is not None and free is not None
    assert int(bounded[1]) <= 4 < int(free[1])


def with_buckets(content: bytes) -> bytes:
    """The file with a BUCKETIZE at its end."""
    model = read_model(content)
    subgraph = model.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = schema.BuiltinOperator.BUCKETIZE, 127, 1
    model.operatorCodes.append(code)
    classes, buckets = subgraph.tensors[subgraph.outputs[0]], schema.TensorT()
    buckets.name, buckets.shape, buckets.type = b"buckets", list(classes.shape), schema.TensorType.INT32
    subgraph.tensors.append(buckets)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = [int(subgraph.outputs[0])], [len(subgraph.tensors) - 1]
    operator.builtinOptionsType = schema.BuiltinOptions.BucketizeOptions
    operator.builtinOptions = schema.BucketizeOptionsT()
    operator.builtinOptions.boundaries = [0.5, 2.5]
    subgraph.operators.append(operator)
    subgraph.outputs = operator.outputs
    return pack(model)


def test_hexagon_takes_the_file_and_leaves_buckets(model: bytes, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="the extra hexagon is not installed")
    path, other, aot = tmp_path / "model.tflite", tmp_path / "buckets.tflite", tmp_path / "aot.tflite"
    path.write_bytes(model)
    other.write_bytes(with_buckets(model))
    taken, cut = on_hexagon(path), on_hexagon(other)
    assert (taken.left, taken.parts) == ({}, 1)
    assert (cut.left, cut.parts) == ({"BUCKETIZE": 1}, 1)
    write_aot(path, "SM8750", aot)
    assert all(name.startswith("CUSTOM") for name in file_op_names(aot.read_bytes()))
    with pytest.raises(InputError, match=r"XX9: Qualcomm's compiler does not know this chip; give a name such"):
        write_aot(path, "XX9", aot)


def test_hexagon_without_its_libraries_is_not_tried(
    model: bytes, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hexagon, "find_spec", lambda name: None)
    (tmp_path / "model.tflite").write_bytes(model)
    found = on_hexagon(tmp_path / "model.tflite")
    assert (found.source, found.left) == (NOT_TRIED, None)
    assert "pip install 'slimlab[hexagon]'" in found.note
    code, _, err = command(
        compress.delegates.main, tmp_path, "--without-gpu", "--npu", "ethos-u85-512", "--aot", "SM8750"
    )
    assert (code, "slimlab[hexagon]" in err) == (2, True)
    code, _, err = command(compress.delegates.main, tmp_path, "--aot", "../SM8750")
    assert (code, "--aot ../SM8750: give the name of a chip" in err) == (2, True)


def test_published_lists(model: bytes, smallest: Genotype) -> None:
    in_float = random_weight_model(get_space("deeplabv3plus").graph(smallest), FLOAT32)
    assert by_list(model, "", GPU_OPS, takes_int8=True).left == {"ARG_MAX": 1}
    assert core_ml(in_float).left == {"ARG_MAX": 1}
    whole = core_ml(model)
    assert whole.note == "takes float files only"
    assert sum((whole.left or {}).values()) == len(read_model(model).subgraphs[0].operators)


@pytest.mark.slow
def test_a_gpu_takes_the_file_and_refuses_argmin(model: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(model)
    (tmp_path / "argmin.tflite").write_bytes(with_argmin(model))
    taken, refused = on_gpu(tmp_path / "model.tflite"), on_gpu(tmp_path / "argmin.tflite")
    if taken.source == NOT_TRIED:
        pytest.skip(taken.note)
    assert taken.left == {}
    assert refused.left is None


def test_the_command_prints_a_line_for_each(model: bytes, tmp_path: Path, command: Command) -> None:
    (tmp_path / "model.tflite").write_bytes(model)
    shown = [tmp_path, "--without-gpu", "--npu", "ethos-u85-512", "--json", tmp_path / "table.json"]
    code, out, _ = command(compress.delegates.main, *shown)
    assert code == 0
    assert "XNNPACK (CPU)" in out and "1 ARG_MAX" in out
    table = json.loads((tmp_path / "table.json").read_text())["accelerators"]
    assert [one["accelerator"] for one in table][:2] == ["XNNPACK (CPU)", "Arm ethos-u85-512"]
    code, _, err = command(compress.delegates.main, tmp_path, "--npu", "ethos-u1")
    assert (code, "ethos-u55-32" in err) == (2, True)
    code, _, err = command(compress.delegates.main, tmp_path / "nothing.tflite")
    assert (code, "nothing.tflite" in err) == (2, True)
