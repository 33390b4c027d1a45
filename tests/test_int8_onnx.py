"""model.int8.onnx: the ranges, weights and float ops of model.tflite, and integer kernels for the rest."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import every_tap, tiny_of

from compress.tflite.conversion import write_int8_onnx
from compress.tflite.fallback import float_ops_for
from compress.tflite.int8_grids import widen_narrow_ranges
from compress.tflite.qdq_network import QDQNetwork
from compress.tflite.ranges import observe_ranges
from compress.tflite.simulated_int8 import fake_quantize
from search_spaces.network import Network, fold_batch_norm


@pytest.mark.parametrize(
    ("space", "in_float"), [("deeplabv3plus", ""), ("deeplabv3plus", "stage2.0.project"), ("lraspp", "")]
)
def test_it_computes_what_simulated_int8_computes(space: str, in_float: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = every_tap(Network(tiny_of(space))).eval()
    images = torch.rand(4, 3, *network.genotype.resolution)
    ranges = widen_narrow_ranges(observe_ranges(network, [images]), fold_batch_norm(network))
    floats = float_ops_for(network.graph, in_float) if in_float else frozenset()
    write_int8_onnx(
        QDQNetwork(network, ranges, floats, for_onnx=True).eval(), tmp_path / "model.onnx", tmp_path / "log"
    )
    simulated = fake_quantize(network, ranges, floats)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), options)
    with torch.inference_mode():
        truth = simulated(images).argmax(1).numpy()
    maps = [session.run(None, {"pixels": image[None].permute(0, 2, 3, 1).numpy()})[0][0] for image in images]
    assert (np.stack(maps) == truth).mean() > 0.98
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    convolutions = [op.name for op in network.graph if op.has_weights]
    assert kinds["QLinearConv"] == len(set(convolutions) - floats)
    assert kinds["Conv"] + kinds["FusedConv"] == len(floats.intersection(convolutions))
