"""Simulated int8 against the real file, and what may stay float."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import every_tap
from torch import Tensor

from compress.data.crops import Crops
from compress.data.dataset import IGNORE, open_data
from compress.data.validation import Validation, read_validation
from compress.evaluation.agreement import agreement
from compress.evaluation.tflite_file import evaluate_tflite
from compress.latency.targets import HostTarget
from compress.stages import quantize
from compress.stages.config import RunConfig
from compress.stages.run import Run
from compress.tflite import fallback
from compress.tflite.conversion import write_float_tflite
from compress.tflite.fallback import FileFigures, QuantizationSource, float_ops_for, logits_error, rank_layers
from compress.tflite.flatbuffer import read_model
from compress.tflite.int8_file import int8_file
from compress.tflite.int8_grids import ValueRanges, tied_values, weight_scales
from compress.tflite.quantization import int8_tflite, tied_tensors
from compress.tflite.ranges import ESTIMATORS, observe_ranges
from compress.tflite.reader import check_all_int8, tensor_names
from compress.tflite.simulated_int8 import fake_quantize
from compress.training.label_losses import cross_entropy
from compress.training.loop import fit
from compress.training.schedule import Schedule
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network, fold_batch_norm, layer_name
from search_spaces.ops import INPUT, Graph

DEAD = ("stage2.1.depthwise", "stage3.0.expand")  # layers whose first channels have no weights left
DEAD_CHANNELS, DEAD_BIAS = 4, 2.0


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network that knows its data and has a few dead channels, its float file, images to calibrate with."""

    network: Network
    file: Path
    images: list[Tensor]
    validation: Validation

    @property
    def names(self) -> dict[str, str]:
        return tensor_names(self.file.read_bytes(), self.network.graph)

    def int8(self, ranges: ValueRanges, floats: frozenset[str] = frozenset()) -> bytes:
        by_tensor = {self.names[value]: found for value, found in ranges.items()}
        return int8_tflite(self.file, by_tensor, self.file.with_name("log"), [self.names[op] for op in floats])

    def maps(self, content: bytes) -> list[np.ndarray]:
        return evaluate_tflite(content, self.network, self.validation, "test")[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, folder_data: Path, tiny: Genotype) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    data = open_data(f"folder:{folder_data}")
    torch.manual_seed(0)
    network = every_tap(Network(tiny))

    def losses(images: Tensor, masks: Tensor, step: int) -> Iterator[Tensor]:
        yield cross_entropy(network(images), masks, IGNORE)

    fit(network, losses, Crops(data, (64, 96), 64, 400, 0), Schedule(100, 4, 64), folder / "c.pt", "test")
    for name in DEAD:
        norm = network.get_submodule(f"layers.{name.replace('.', '_')}.bn")
        with torch.no_grad():
            norm.weight[:DEAD_CHANNELS] = 1e-9
            norm.bias[:DEAD_CHANNELS] = DEAD_BIAS
    write_float_tflite(network, folder / "float.tflite", folder / "log")
    seen = read_validation(dataclasses.replace(data, val=data.train), (64, 96))
    images = [image for image, _ in seen.batches(tiny.resolution)]
    return Trained(network, folder / "float.tflite", images, read_validation(data, (64, 96)))


def changed(network: Network) -> Network:
    """A copy to damage."""
    copy = Network(network.genotype)
    copy.load_state_dict(network.state_dict())
    return copy.eval()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_simulation_computes_what_the_file_computes(trained: Trained, estimator: str) -> None:
    ranges = observe_ranges(trained.network, trained.images, estimator)
    content = trained.int8(ranges)
    assert check_all_int8(content) == len(trained.network.graph)
    simulated = fake_quantize(trained.network, ranges)
    assert agreement(trained.maps(content), simulated, trained.validation) >= 0.99
    assert agreement(trained.maps(content), trained.network, trained.validation) >= 0.95


def test_a_layer_in_float_is_float_in_both(trained: Trained) -> None:
    ranges = observe_ranges(trained.network, trained.images)
    floats = float_ops_for(trained.network.graph, "stage2.0.project") | {"classifier"}
    assert floats == {"stage2.0.project", "stage2.1.expand", "stage2.1.add", "classifier"}
    content = trained.int8(ranges, floats)
    tensors = {trained.names[op] for op in floats}
    assert check_all_int8(content, tensors) == len(trained.network.graph) - len(floats)
    simulated = fake_quantize(trained.network, ranges, floats)
    assert agreement(trained.maps(content), simulated, trained.validation) >= 0.99
    for forgotten in tensors:
        with pytest.raises(InputError, match="not int8 throughout"):
            check_all_int8(content, tensors - {forgotten})
    with pytest.raises(InputError, match="not int8 throughout"):
        check_all_int8(content, {*tensors, trained.names["stem"]})  # which is int8 all the same


@pytest.mark.parametrize(("share", "kept"), [(0.9, True), (0.99, False)])
def test_a_layer_in_float_leaves_room_below_the_budget(
    trained: Trained, tmp_path: Path, share: float, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of 7.9 ms for 8 took more than 8 in the next sitting."""
    run = Run(tmp_path, RunConfig(budget_ms=8))
    run.__dict__.update(target=HostTarget())
    found = iter([FileFigures(0.5, 6.4), FileFigures(0.6, 8 * share)])
    monkeypatch.setattr(quantize, "file_runner", lambda *_: lambda content: next(found))
    ranges = observe_ranges(trained.network, trained.images)
    source = QuantizationSource(trained.network, trained.file, ranges, trained.images[:1])
    monkeypatch.setattr(fallback, "MAX_FALLBACK_LAYERS", 1)
    best, all_int8 = quantize.best_int8(run, [source], min_miou=0.55)
    assert (best.file.miou, bool(best.file.float_ops)) == ((0.6, True) if kept else (0.5, False))
    assert all_int8 == [0.5]


def test_the_bias_of_a_dead_channel_survives(trained: Trained) -> None:
    """Its weights need so small a scale that the bias, in steps of that scale, is more than int32 holds."""
    model = read_model(trained.int8(observe_ranges(trained.network, trained.images)))
    tensors = model.subgraphs[0].tensors
    for name in DEAD:
        (operator,) = [
            o for o in model.subgraphs[0].operators if tensors[o.outputs[0]].name.decode() == trained.names[name]
        ]
        bias = tensors[operator.inputs[2]]
        steps = np.frombuffer(model.buffers[bias.buffer].data, np.int32)[:DEAD_CHANNELS]
        np.testing.assert_allclose(steps * bias.quantization.scale[:DEAD_CHANNELS], DEAD_BIAS, rtol=1e-3)


def test_the_ranking_finds_a_layer_that_int8_ruins(trained: Trained) -> None:
    """One channel a hundred times as large, and its reader's weights as much smaller: the same network in float."""
    network = changed(trained.network)
    with torch.no_grad():
        norm = network.get_submodule("layers.decoder_1_depthwise.bn")
        norm.weight[0] *= 100
        norm.bias[0] *= 100
        network.get_submodule("layers.decoder_1_pointwise.conv").weight[:, 0] /= 100
    ranges = observe_ranges(network, trained.images, "minmax")
    source = QuantizationSource(network, trained.file, ranges, trained.images[:2])
    worst, left = next(iter(rank_layers(source).items()))
    assert worst in ("decoder.1.depthwise", "decoder.1.pointwise")
    assert left < 0.5 * error_of(source, frozenset())


@torch.inference_mode()
def error_of(source: QuantizationSource, float_ops: frozenset[str]) -> float:
    """The error of the logits, every op run for it."""
    simulated = fake_quantize(source.network, source.ranges, float_ops)
    return logits_error([simulated(one) for one in source.images], [source.network(one) for one in source.images])


def test_ops_that_a_layer_does_not_reach_need_not_run_again(trained: Trained) -> None:
    source = QuantizationSource(
        trained.network, trained.file, observe_ranges(trained.network, trained.images), trained.images[:2]
    )
    graph, (first, *_) = trained.network.graph, rank_layers(source)
    already = float_ops_for(graph, first)
    for float_ops in (frozenset[str](), already):
        for value, error in rank_layers(source, float_ops).items():
            assert error == pytest.approx(error_of(source, float_ops | float_ops_for(graph, value)), rel=1e-5), value


def test_names_in_the_file_follow_the_network(trained: Trained, tiny: Genotype) -> None:
    names = trained.names
    assert names.keys() == {INPUT, *(op.name for op in trained.network.graph)}
    assert "ConvBNAct_stage3_1_depthwise" in names["stage3.1.depthwise"]
    other = Network(dataclasses.replace(tiny, aspp_rates=(2,), aspp_widths=(16, 24, 32)))
    with pytest.raises(InputError, match="departs from the network at"):
        tensor_names(trained.file.read_bytes(), other.graph)


def test_ties_of_the_file_are_those_of_the_graph(trained: Trained) -> None:
    of_graph = [{trained.names[value] for value in group} for group in tied_values(trained.network.graph)]
    of_file = list(tied_tensors(trained.file.read_bytes()))
    assert sorted(map(sorted, of_graph)) == sorted(map(sorted, of_file))


def weight_grids(content: bytes, graph: Graph) -> dict[str, np.ndarray]:
    """The weight scales of each convolution of an int8 file."""
    model = read_model(content)
    tensors = model.subgraphs[0].tensors
    operators = zip(graph, model.subgraphs[0].operators, strict=True)
    return {op.name: np.array(tensors[o.inputs[1]].quantization.scale) for op, o in operators if op.has_weights}


def test_simulation_candidate_and_shipped_file_have_the_same_weight_scales(trained: Trained) -> None:
    """Dead channels with and without a bias too: no scale is 0, and none differs by more than its last digit."""
    network = changed(trained.network)
    with torch.no_grad():
        for name, bias in (("stage2.1.depthwise", 0.0), ("stage3.0.expand", 1.5)):
            norm = network.get_submodule(f"layers.{layer_name(name)}.bn")
            norm.weight[4:6] = 0
            norm.bias[4:6] = bias
    file = trained.file.with_name("dead.tflite")
    write_float_tflite(network, file, file.with_name("log"))
    names = tensor_names(file.read_bytes(), network.graph)
    ranges = observe_ranges(network, trained.images)
    shipped = int8_tflite(file, {names[value]: found for value, found in ranges.items()}, file.with_name("log"))
    of_shipped, of_candidate = (weight_grids(c, network.graph) for c in (shipped, int8_file(network, ranges)))
    simulated = fake_quantize(network, ranges)
    for op in network.graph:
        if op.has_weights:
            conv = simulated.get_submodule(f"layers.{layer_name(op.name)}.conv")
            ours = weight_scales(conv.weight, conv.bias, simulated.grid(op.inputs[0])[0]).detach().numpy()
            assert (ours > 0).all()
            np.testing.assert_allclose(of_shipped[op.name], ours, rtol=1e-6, err_msg=op.name)
            np.testing.assert_allclose(of_candidate[op.name], ours, rtol=1e-6, err_msg=op.name)


def test_float_throughout_is_the_folded_network(trained: Trained) -> None:
    ranges = observe_ranges(trained.network, trained.images)
    everything = frozenset(op.name for op in trained.network.graph)
    with torch.inference_mode():
        logits = fake_quantize(trained.network, ranges, everything)(trained.images[0])
        truth = fold_batch_norm(trained.network)(trained.images[0])
    torch.testing.assert_close(logits, truth, atol=1e-4, rtol=1e-4)


def test_a_simulated_network_gives_its_weights_and_ranges_back(trained: Trained) -> None:
    ranges = observe_ranges(trained.network, trained.images)
    simulated = fake_quantize(trained.network, ranges)
    again = fake_quantize(simulated.plain(), simulated.ranges())
    with torch.inference_mode():
        truth = trained.network(trained.images[0])
        torch.testing.assert_close(simulated.plain()(trained.images[0]), truth, atol=1e-4, rtol=1e-4)
        different = (again(trained.images[0]) != simulated(trained.images[0])).float().mean()
    assert different < 0.05
    for value, found in simulated.ranges().items():
        assert again.ranges()[value] == pytest.approx(found, abs=1e-5)


def test_training_in_int8_mends_ranges_that_are_far_too_wide(trained: Trained, folder_data: Path) -> None:
    ranges = {
        value: (8 * low, 8 * high) for value, (low, high) in observe_ranges(trained.network, trained.images).items()
    }
    simulated = fake_quantize(trained.network, ranges)

    def loss() -> float:
        with torch.inference_mode():
            batches = trained.validation.batches(trained.network.genotype.resolution)
            return float(np.mean([cross_entropy(simulated(i), m, IGNORE).item() for i, m in batches]))

    def losses(images: Tensor, masks: Tensor, step: int) -> Iterator[Tensor]:
        yield cross_entropy(simulated(images), masks, IGNORE)

    before, widths = loss(), simulated.ranges()
    crops = Crops(open_data(f"folder:{folder_data}"), (64, 96), 64, 80, 1)
    fit(simulated, losses, crops, Schedule(20, 4, 64, lr=1e-2), trained.file.with_name("qat.pt"), "test")
    assert loss() < 0.8 * before
    assert simulated.ranges() != widths
