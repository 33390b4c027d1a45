"""Files for the runtime: skeletons run, and hold the very ops of a converted and quantized network."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from compress.convert import Deployed, quantize_tflite, write_float_tflite, write_onnx
from compress.skeleton import FLOAT32, INT8, skeleton
from compress.target import HostTarget
from compress.tflite import check_all_int8, file_ops
from compress.timing import load
from search_spaces import graph_of
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path]:
    """A random network with float and int8 files beside it."""
    from conftest import random_genotype

    torch.manual_seed(0)
    network = Network(random_genotype(8, side=96)).eval()
    folder = tmp_path_factory.mktemp("converted")
    write_float_tflite(network, folder / "model.float.tflite", folder / "log")
    rng = np.random.default_rng(0)
    samples = [rng.random((1, *network.genotype.resolution, 3), np.float32) for _ in range(4)]
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


def test_quantized_file_has_the_skeletons_ops(converted: tuple[Network, Path]) -> None:
    network, folder = converted
    made = (folder / "model.tflite").read_bytes()
    assert Counter(file_ops(made)) == Counter(file_ops(skeleton(network.graph, INT8)))
    assert check_all_int8(made) == len(network.graph)


def test_float_file_has_the_skeletons_ops(converted: tuple[Network, Path]) -> None:
    network, folder = converted
    made = (folder / "model.float.tflite").read_bytes()
    assert Counter(op.name for op in file_ops(made)) == Counter(
        op.name for op in file_ops(skeleton(network.graph, FLOAT32))
    )


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


@pytest.mark.parametrize("precision", [INT8, FLOAT32])
def test_every_op_runs_alone(tiny: Genotype, precision: str) -> None:
    graph = graph_of(tiny)
    for op in graph:
        load(skeleton((op,), precision), 1).invoke()


def test_a_measurement_orders_networks_a_hundred_times_apart() -> None:
    from conftest import random_genotype

    small, large = (skeleton(graph_of(random_genotype(3, side))) for side in (64, 768))
    fast, slow = HostTarget().measure([small, large], seconds=0.05)
    assert slow.ms > 5 * fast.ms > 0
    assert fast.p10_ms <= fast.ms <= fast.p90_ms


def test_threads_beyond_the_machine_are_refused() -> None:
    with pytest.raises(InputError, match="--threads 9999"):
        HostTarget(9999)
