"""Exported files that do not compute what their network computes are refused; what files tell of their making."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from commands import Command, run_stage
from stage_runs import run_without_noise

import compress.stages.variants
import compress.verify
from compress.evaluation.agreement import AGREEMENT_BOUNDS, check_agreements
from compress.files.atomic import digest
from compress.files.records import read_record, write_record
from compress.latency.timing import load
from compress.stages.export import export
from compress.stages.run import Run, open_run
from compress.stages.verify import verify
from compress.tflite.conversion import Deployed, write_onnx
from compress.tflite.flatbuffer import pack, read_model
from compress.tflite.int8_file import int8_file
from compress.tflite.ranges import observe_extremes
from compress.tflite.writer import FLOAT32, random_weight_model
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network, layer_name


def with_other_classes(network: Network) -> Network:
    """A copy whose every class is named as the next one: what an exporter that mixes up an axis would make."""
    copy = Network(network.genotype)
    copy.load_state_dict(network.state_dict())
    last = next(op.name for op in network.graph if op.shape[2] == network.genotype.classes)
    conv = copy.get_submodule(f"layers.{layer_name(last)}.conv")
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.copy_(parameter.roll(1, 0))
    return copy.eval()


@pytest.mark.parametrize("name", AGREEMENT_BOUNDS)
def test_every_bound_holds_in_both_directions(name: str, tmp_path: Path) -> None:
    bound = AGREEMENT_BOUNDS[name]
    enough = {other: found.minimum for other, found in AGREEMENT_BOUNDS.items()}
    check_agreements(enough, tmp_path)
    for too_little in (math.nextafter(bound.minimum, 0), 0.0, math.nan):
        with pytest.raises(InputError, match=bound.file) as refused:
            check_agreements({**enough, name: too_little}, tmp_path)
        assert len(str(refused.value).splitlines()) == 1


def test_a_hardly_trained_network_may_make_much_of_one_rounding(tmp_path: Path) -> None:
    """Where each op by itself agrees, the file is right, whatever becomes of the classes."""
    enough = {name: found.minimum for name, found in AGREEMENT_BOUNDS.items()}
    rounded = {**enough, "agreement_with_simulation": 0.88}
    check_agreements({**rounded, "op_agreement_with_simulation": 0.9998}, tmp_path)
    for ops in (0.998, math.nan):
        with pytest.raises(InputError, match=r"model.tflite"):
            check_agreements({**rounded, "op_agreement_with_simulation": ops}, tmp_path)


def test_every_agreement_is_recorded_and_above_its_bound(whole: Path) -> None:
    exported = open_run(whole).metrics("export")
    for name, bound in AGREEMENT_BOUNDS.items():
        assert exported[name] >= (bound.unless_ops_agree or bound.minimum)


def test_export_ends_when_the_onnx_file_is_wrong(
    copied: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(network: Network, path: Path, log: Path) -> None:
        write_onnx(with_other_classes(network), path, log)

    monkeypatch.setattr(compress.stages.variants, "write_onnx", wrong)
    code, _, err = run_stage(command, "export", copied)
    assert code == 2
    last = err.splitlines()[-1]
    assert f"{copied / 'model.onnx'}: gives the class of the torch network on 0." in last
    assert "Traceback" not in err
    code, _, err = command(compress.verify.main, copied)  # the files are not those of a whole export
    assert (code, "export" in err) == (2, True)


def wrong_int8(run: Run) -> None:
    """The weights and biases of the classes, one class on, in the finished file."""
    model = read_model((run.path / "model.tflite").read_bytes())
    subgraph, classes = model.subgraphs[0], len(run.data.classes)
    convolutions = [operator for operator in subgraph.operators if len(operator.inputs) == 3]
    scores = next(one for one in convolutions if list(subgraph.tensors[one.outputs[0]].shape)[-1] == classes)
    for index in scores.inputs[1:]:
        tensor = subgraph.tensors[index]
        data = model.buffers[tensor.buffer].data
        model.buffers[tensor.buffer].data = np.roll(data.reshape(classes, -1), 1, 0).reshape(-1)
        if tensor.quantization is not None and tensor.quantization.scale is not None:
            tensor.quantization.scale = np.roll(tensor.quantization.scale, 1)
    (run.path / "model.tflite").write_bytes(pack(model))


def wrong_float(run: Run) -> None:
    graph = run.network("distill").graph
    (run.path / "model.float.tflite").write_bytes(random_weight_model(graph, FLOAT32))


def damaged_onnx(run: Run) -> None:
    (run.path / "model.onnx").write_bytes((run.path / "model.onnx").read_bytes()[:-1000])


def damaged_int8(run: Run) -> None:
    (run.path / "model.tflite").write_bytes((run.path / "model.tflite").read_bytes()[:3000])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (wrong_int8, r"model\.tflite: gives the class of"),
        (wrong_float, r"model\.float\.tflite: gives the class of the torch network"),
        (damaged_onnx, r"model\.onnx: ONNX Runtime cannot run it"),
        (damaged_int8, r"model\.tflite: a damaged \.tflite file"),
    ],
)
def test_verify_names_the_file_that_is_wrong(copied: Path, damage: Callable[[Run], None], said: str) -> None:
    run = run_without_noise(copied)
    damage(run)
    with pytest.raises(InputError, match=said):
        verify(run)


def test_the_onnx_file_tells_nothing_of_the_machine(tiny: Genotype, tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(0)
    network = Network(tiny).eval()
    write_onnx(network, tmp_path / "model.onnx", tmp_path / "log")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model)
    assert not model.metadata_props
    for weights in model.graph.initializer:
        weights.ClearField("raw_data")  # any bytes may be among weights
    for inside in (Path.cwd(), Path(torch.__file__).parent, "site-packages", ".py"):
        assert str(inside).encode() not in model.SerializeToString()
    pixels = torch.rand(1, *tiny.resolution, 3)
    (found,) = onnxruntime.InferenceSession(str(tmp_path / "model.onnx")).run(None, {"pixels": pixels.numpy()})
    with torch.inference_mode():
        assert (found == Deployed(network)(pixels).numpy()).mean() > 0.99


def test_only_random_weights_are_called_so(tiny: Genotype) -> None:
    network = Network(tiny).eval()
    images = torch.rand(1, 3, *tiny.resolution)
    candidate = int8_file(network, observe_extremes(network, [images]))
    assert b"random" not in read_model(candidate).description
    assert b"random weights" in read_model(random_weight_model(network.graph)).description


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_tflite_file_is_read_or_refused(tiny: Genotype, seed: int) -> None:
    """The reader follows offsets of the file. None of them may end in anything but a model or one line."""
    from compress.tflite.reader import check_all_int8, tensor_names

    rng = np.random.default_rng(seed)
    graph = Network(tiny).graph
    content = bytearray(random_weight_model(graph))
    for place in rng.integers(8, 3000, 8):
        content[place] = rng.integers(256)
    if seed % 4 == 0:
        content = content[: rng.integers(8, len(content))]
    for read in (check_all_int8, lambda damaged: tensor_names(damaged, graph)):
        try:
            read(bytes(content))
        except InputError as error:
            assert len(str(error).splitlines()) == 1


def with_nan(path: Path) -> None:
    """A network file as a training that diverged would leave it."""
    stored: dict[str, Any] = torch.load(path, weights_only=True)
    next(value for name, value in stored["weights"].items() if name.endswith("conv.weight")).fill_(math.nan)
    torch.save(stored, path)


@pytest.mark.parametrize(("source", "stage"), [("train", "prune"), ("distill", "quantize")])
def test_a_network_that_is_not_finite_is_refused_by_the_next_stage(
    copied: Path, command: Command, source: str, stage: str
) -> None:
    """The record fits the file."""
    path = copied / source / "network.pt"
    with_nan(path)
    record = read_record(copied / source / "metrics.json", "")
    write_record(copied / source / "metrics.json", {**record, "made": digest(path)})
    code, _, err = run_stage(command, stage, copied)
    assert (code, len(err.splitlines())) == (2, 1), err
    assert f"{path} cannot be used" in err
    assert "not finite" in err


@pytest.mark.parametrize(("source", "body"), [("distill", export), ("quantize", verify)], ids=["export", "verify"])
def test_export_and_verify_refuse_weights_that_are_not_finite(
    copied: Path, source: str, body: Callable[[Run], object]
) -> None:
    path = copied / source / "network.pt"
    with_nan(path)
    with pytest.raises(InputError, match=f"{path} cannot be used .*not finite") as refused:
        body(run_without_noise(copied))
    assert len(str(refused.value).splitlines()) == 1


def test_what_ships_is_what_was_quantized(whole: Path) -> None:
    shipped, quantized = ((whole / name).read_bytes() for name in ("model.tflite", "quantize/model.tflite"))
    assert shipped == quantized
    (reads,) = load(shipped, 1).get_input_details()
    assert reads["dtype"] is np.int8
