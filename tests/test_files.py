"""Files for the runtime: random-weight models run, and have the very ops of a converted and quantized network."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import torch
from conftest import every_tap, tiny_of
from torch import nn

from compress.evaluation.op_agreement import op_agreement
from compress.evaluation.tflite_file import class_maps
from compress.latency.targets import HostTarget
from compress.latency.timing import load
from compress.tflite.conversion import Deployed, write_float_tflite, write_onnx
from compress.tflite.fallback import float_ops_for
from compress.tflite.flatbuffer import read_model
from compress.tflite.int8_file import int8_file
from compress.tflite.int8_grids import ValueRanges
from compress.tflite.op_codes import file_op_name
from compress.tflite.quantization import int8_tflite, quantize_tflite
from compress.tflite.ranges import observe_extremes, observe_ranges
from compress.tflite.reader import check_all_int8, file_ops, tensor_names
from compress.tflite.simulated_int8 import fake_quantize
from compress.tflite.writer import FLOAT32, INT8, random_weight_model
from search_spaces import SPACES, costs, graph_of
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network, layer_name
from search_spaces.ops import ARGMAX


def random_images(genotype: Genotype) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [torch.rand(2, 3, *genotype.resolution, generator=rng) for _ in range(3)]


@pytest.fixture(scope="module")
def converted(tiny: Genotype, tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path]:
    """A random network with float and int8 files beside it."""
    torch.manual_seed(0)
    network = every_tap(Network(tiny))
    observe_extremes(network.train(), random_images(tiny))  # sets BN statistics
    network.eval()
    folder = tmp_path_factory.mktemp("converted")
    write_float_tflite(network, folder / "model.float.tflite", folder / "log")
    samples = [image[None].permute(0, 2, 3, 1).numpy() for batch in random_images(tiny) for image in batch]
    (folder / "model.tflite").write_bytes(quantize_tflite(folder / "model.float.tflite", samples, folder / "log"))
    write_onnx(network, folder / "model.onnx", folder / "log")
    return network, folder


def run(model: bytes, pixels: np.ndarray) -> np.ndarray:
    interpreter = load(model, 1)
    (reads,), (makes,) = interpreter.get_input_details(), interpreter.get_output_details()
    if reads["dtype"] is np.int8:
        pixels = np.clip(np.round(pixels * 255) - 128, -128, 127)
    interpreter.set_tensor(reads["index"], pixels.astype(reads["dtype"]))
    interpreter.invoke()
    return interpreter.get_tensor(makes["index"])


def test_a_quantized_file_has_the_ops_of_the_random_weight_model(converted: tuple[Network, Path]) -> None:
    network, folder = converted
    made = (folder / "model.tflite").read_bytes()
    assert Counter(file_ops(made)) == Counter(file_ops(random_weight_model(network.graph, INT8)))
    assert check_all_int8(made) == len(network.graph)


def test_a_float_file_has_the_ops_of_the_random_weight_model(converted: tuple[Network, Path]) -> None:
    network, folder = converted
    made = (folder / "model.float.tflite").read_bytes()
    assert Counter(op.name for op in file_ops(made)) == Counter(
        op.name for op in file_ops(random_weight_model(network.graph, FLOAT32))
    )


def test_names_in_a_file_do_not_tell_where_the_code_lives(converted: tuple[Network, Path]) -> None:
    """The converter puts names of classes into the file: moving a class must not change the bytes of a network."""
    network, folder = converted
    names = tensor_names((folder / "model.float.tflite").read_bytes(), network.graph)
    assert all("compress.tflite" not in name for name in names.values())
    assert names["stem"].startswith("compress.convert.Deployed/search_spaces.network.Network_network/")


def test_files_agree_with_torch(converted: tuple[Network, Path]) -> None:
    import onnxruntime

    network, folder = converted
    pixels = np.random.default_rng(1).integers(0, 256, (1, *network.genotype.resolution, 3)).astype(np.float32) / 255
    with torch.inference_mode():
        truth = Deployed(network)(torch.from_numpy(pixels)).numpy()
    assert (run((folder / "model.float.tflite").read_bytes(), pixels) == truth).mean() > 0.999
    (onnx,) = onnxruntime.InferenceSession(str(folder / "model.onnx")).run(None, {"pixels": pixels})
    assert (onnx == truth).mean() > 0.999
    assert (run((folder / "model.tflite").read_bytes(), pixels) == truth).mean() > 0.7  # noise images, random weights


def test_a_file_written_directly_agrees_with_the_converters(converted: tuple[Network, Path]) -> None:
    """The same network, the same images: the int8 file a search scores and the one that ships."""
    network, folder = converted
    images = random_images(network.genotype)
    direct = int8_file(network, observe_extremes(network, images))
    assert check_all_int8(direct) == len(network.graph)
    shipped = (folder / "model.tflite").read_bytes()
    pixels = images[0][:1].permute(0, 2, 3, 1).numpy().round(2)
    with torch.inference_mode():
        truth = Deployed(network)(torch.from_numpy(pixels)).numpy()
    from_direct, from_shipped = ((run(model, pixels) == truth).mean() for model in (direct, shipped))
    assert from_direct > 0.85
    assert abs(from_direct - from_shipped) < 0.05


@dataclass(frozen=True)
class Shipped:
    """A network of a space whose every class is the greatest somewhere, its float file, ranges from N,3,h,w images."""

    network: Network
    file: Path
    ranges: ValueRanges
    images: list[torch.Tensor]

    def int8(self, floats: Collection[str] = ()) -> tuple[bytes, list[str]]:
        """The converter's int8 file and the tensors of what is kept in float."""
        names = tensor_names(self.file.read_bytes(), self.network.graph)
        kept = [names[op] for op in floats]
        ranges = {names[value]: found for value, found in self.ranges.items()}
        return int8_tflite(self.file, ranges, self.file.with_name("log"), kept), kept

    def maps(self, *models: bytes | nn.Module) -> list[np.ndarray]:
        """The class maps that files and modules make of one image."""
        pixels = (self.images[0] * 255).round() / 255
        with torch.inference_mode():
            return [
                run(of, pixels.permute(0, 2, 3, 1).numpy()) if isinstance(of, bytes) else of(pixels).argmax(1).numpy()
                for of in models
            ]


# each space costs a conversion; these two have every op, gate and head between them
IN_CI = ("deeplabv3plus", "lraspp")


@pytest.fixture(
    scope="module",
    params=[pytest.param(space, marks=() if space in IN_CI else pytest.mark.slow) for space in SPACES],
)
def shipped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    torch.manual_seed(0)
    network = every_tap(Network(tiny_of(request.param)))
    images = [torch.rand(1, 3, 4, 6).repeat_interleave(16, 2).repeat_interleave(16, 3) for _ in range(8)]
    observe_extremes(network.train(), [torch.cat(images)])  # sets BN statistics
    network.eval()
    scores = next(op.name for op in network.graph if op.shape[2] == network.genotype.classes)
    with torch.no_grad():
        bias = network.get_parameter(f"layers.{layer_name(scores)}.conv.bias")
        bias -= torch.cat([network(image) for image in images]).mean((0, 2, 3))
    folder = tmp_path_factory.mktemp("shipped")
    write_float_tflite(network, folder / "float.tflite", folder / "log")
    return Shipped(network, folder / "float.tflite", observe_ranges(network, images, "minmax"), images)


def test_every_space_ships_as_it_is_written_and_simulated(shipped: Shipped) -> None:
    """The converter's file has the ops of the op list, all int8, and agrees with the file a search scores and with
    simulated int8; in float it agrees with torch. (What int8 costs a random network, whose scores hardly differ, says
    nothing.)"""
    network = shipped.network
    content, _ = shipped.int8()
    assert Counter(file_ops(content)) == Counter(file_ops(random_weight_model(network.graph)))
    assert check_all_int8(content) == len(network.graph)
    written = int8_file(network, observe_extremes(network, shipped.images))
    simulated = fake_quantize(network, shipped.ranges)
    truth, in_float, as_shipped, as_written, as_simulated = shipped.maps(
        network, shipped.file.read_bytes(), content, written, simulated
    )
    assert len(np.unique(truth)) > 1
    assert (in_float == truth).mean() > 0.999
    assert (as_shipped == as_simulated).mean() > 0.99
    assert (as_shipped == as_written).mean() > 0.98


def test_gates_fall_back_to_float_with_what_they_gate(shipped: Shipped) -> None:
    floats = float_ops_for(shipped.network.graph, "stage4.0.depthwise")
    assert floats == {f"stage4.0.depthwise{part}" for part in ("", ".sigmoid", ".gated")}
    content, kept = shipped.int8(floats)
    assert check_all_int8(content, kept) == len(shipped.network.graph) - len(floats)
    as_shipped, simulated = shipped.maps(content, fake_quantize(shipped.network, shipped.ranges, floats))
    assert (as_shipped == simulated).mean() > 0.99


def test_each_op_of_a_file_computes_what_its_simulation_does(shipped: Shipped) -> None:
    network, ranges = shipped.network, shipped.ranges
    images = [(image := (one * 255).round() / 255, to_int8(image)) for one in shipped.images[:2]]
    for floats in ((), float_ops_for(network.graph, "stage4.0.depthwise")):
        content, _ = shipped.int8(floats)
        assert op_agreement(content, fake_quantize(network, ranges, floats), images) > 0.99
    for name in ("stem", "stage2.0.depthwise"):
        low, high = ranges[name]
        other = fake_quantize(network, {**ranges, name: (low, 1.2 * high)}, floats)
        assert op_agreement(content, other, images) < 0.9


def to_int8(image: torch.Tensor) -> np.ndarray:
    """An image 1,3,h,w in 0..1 as a file reads it: h,w,3."""
    return ((image[0].permute(1, 2, 0) * 255).round().numpy() - 128).astype(np.int8)


def test_what_a_search_knows_of_memory_is_so(converted: tuple[Network, Path]) -> None:
    network, folder = converted
    size = (folder / "model.tflite").stat().st_size
    assert costs.size_bytes(network.graph) == pytest.approx(size, rel=0.15)
    widest = max(int(np.prod(op.shape)) for op in network.graph if op.kind != ARGMAX)
    every = sum(int(np.prod(op.shape)) for op in network.graph)
    assert widest < costs.arena_bytes(network.graph) < every


def test_zero_points_that_are_alike_are_written_once(converted: tuple[Network, Path]) -> None:
    _, folder = converted
    content = (folder / "model.tflite").read_bytes()
    found = [t.quantization.zeroPoint for t in read_model(content).subgraphs[0].tensors if t.quantization is not None]
    per_channel = [len(zeros) for zeros in found if zeros is not None and len(zeros) > 1]
    assert len(set(per_channel)) < len(per_channel) / 2
    apart = flatbuffers.Builder()
    apart.Finish(read_model(content).Pack(apart), b"TFL3")
    assert len(content) < len(apart.Output()) - 8 * (sum(per_channel) - sum(set(per_channel)))


def test_an_image_that_a_file_cannot_read_ends_the_run(converted: tuple[Network, Path]) -> None:
    """With the interpreter lost to it, the images after it would wait for ever."""
    network, folder = converted
    right, wrong = (np.zeros((*size, 3), np.int8) for size in (network.genotype.resolution, (8, 8)))
    with pytest.raises(ValueError, match="Dimension mismatch"):
        list(class_maps((folder / "model.tflite").read_bytes(), [right, wrong, wrong, wrong], 1))


def test_int8_input_is_the_byte_less_128(converted: tuple[Network, Path]) -> None:
    _, folder = converted
    (reads,) = load((folder / "model.tflite").read_bytes(), 1).get_input_details()
    assert reads["dtype"] is np.int8
    assert reads["quantization"] == (pytest.approx(1 / 255), -128)


def test_a_float_file_is_not_taken_for_int8(converted: tuple[Network, Path]) -> None:
    _, folder = converted
    with pytest.raises(InputError, match=r"CONV_2D .* not int8 throughout"):
        check_all_int8((folder / "model.float.tflite").read_bytes())


@pytest.mark.parametrize("content", [b"", b"nonsense nonsense"])
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="TFL3"):
        file_ops(content)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("precision", [INT8, FLOAT32])
def test_every_op_runs_alone(space: str, precision: str) -> None:
    """A file of one op is that op, with its inputs and its output, and what it makes depends on what it reads."""
    for op in graph_of(tiny_of(space)):
        model = random_weight_model((op,), precision)
        (alone,) = file_ops(model)
        assert alone.name == file_op_name(op.kind)
        assert alone.in_shapes == tuple((1, *shape) for shape in op.in_shapes)
        interpreter = load(model, 1)
        reads, (makes,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert {read["dtype"] for read in reads} == {np.int8 if precision == INT8 else np.float32}
        made = []
        for seed in range(2):
            rng = np.random.default_rng(seed)
            for read in reads:
                interpreter.set_tensor(read["index"], rng.integers(-128, 128, read["shape"]).astype(read["dtype"]))
            interpreter.invoke()
            made.append(interpreter.get_tensor(makes["index"]))
        assert made[0].shape == ((1, *op.shape[:2]) if op.kind == ARGMAX else (1, *op.shape))
        assert np.isfinite(made[0]).all()
        assert not np.array_equal(*made), op


def test_a_measurement_orders_networks_a_hundred_times_apart() -> None:
    from conftest import random_genotype

    small, large = (random_weight_model(graph_of(random_genotype(3, side))) for side in (64, 768))
    fast, slow = HostTarget().measure([small, large], seconds=0.05)
    assert slow.ms > 5 * fast.ms > 0
    assert fast.p10_ms <= fast.ms <= fast.p90_ms


def test_threads_beyond_the_machine_are_refused() -> None:
    with pytest.raises(InputError, match="--threads 9999"):
        HostTarget(9999)
