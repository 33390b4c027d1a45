"""From a network to the files of other libraries: .tflite by litert-torch, .onnx by torch.onnx, float and int8."""

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from compress.files.atomic import replacing
from compress.files.native_output import output_to
from compress.tflite.qdq_network import QDQNetwork
from search_spaces.network import Network, fold_batch_norm

ONNX_OPSET, ONNX_IR_VERSION = 18, 8


class Deployed(nn.Module):
    """What an app runs: a network, channels last, and the argmax at its end.

    Args:
        network: The network, with its batch norm folded.
        logits: Whether the argmax is left out.
    """

    # The converter puts the full names of classes into the names of tensors. This one stays as it was when the first
    # files were made, so that a network gives the same bytes wherever the class lives.
    __module__ = "compress.convert"

    def __init__(self, network: Network, logits: bool = False) -> None:
        super().__init__()
        self.logits = logits
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """The class map.

        Args:
            pixels: N,H,W,bands in 0..1.

        Returns:
            Class indices N,h,w, or logits N,h,w,classes.
        """
        logits: Tensor = self.network(pixels.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return logits if self.logits else logits.argmax(-1)


def example_input(network: Network) -> Tensor:
    """Random pixels to trace a network with.

    Args:
        network: The network.

    Returns:
        1,H,W,bands in 0..1 at its resolution; the same each time.
    """
    genotype = network.genotype
    return torch.rand(1, *genotype.resolution, genotype.bands, generator=torch.Generator().manual_seed(0))


def write_float_tflite(network: Network, path: Path, log: Path) -> None:
    """Writes the float .tflite file of a network. It ends as the network's op list does.

    Args:
        network: The network.
        path: The file to write.
        log: The file for what the converter prints.
    """
    convert(Deployed(fold_batch_norm(network), network.genotype.logits), example_input(network), path, log)


def convert(deployed: nn.Module, example: Tensor, path: Path, log: Path) -> None:
    """Writes the float .tflite file of any module.

    Args:
        deployed: A module from pixels 1,H,W,bands to class indices 1,h,w.
        example: Its input.
        path: The file to write.
        log: The file for what the converter prints.
    """
    with replacing(path) as part, output_to(log):
        import litert_torch

        edge = litert_torch.convert(deployed.eval(), (example,))
        edge.export(str(part))


def write_onnx(network: Network, path: Path, log: Path) -> None:
    """Writes the float .onnx file of a network, with the input of the .tflite file. It ends in the class map.

    Args:
        network: The network.
        path: The file to write.
        log: The file for what the exporter prints.
    """
    _export_onnx(Deployed(fold_batch_norm(network)), path, log)


def write_int8_onnx(network: QDQNetwork, path: Path, log: Path) -> None:
    """Writes the int8 .onnx file of a network, with QDQ ops that ONNX Runtime Mobile runs too.

    Args:
        network: The network with the ranges and the weights of model.tflite.
        path: The file to write.
        log: The file for what the exporter prints.
    """
    _export_onnx(Deployed(network), path, log)


def _export_onnx(deployed: Deployed, path: Path, log: Path) -> None:
    """Writes an .onnx file that old runtimes load.

    Its opset and IR version are the lowest that the exporter writes and the graph needs. ONNX Runtime 1.15 loads it
    (onnxruntime.ai/docs/reference/compatibility.html).

    The exporter notes the source line of every op, with the folders of this machine. These notes are left out.
    """
    with replacing(path) as part:
        with output_to(log):
            torch.onnx.export(
                deployed.eval(),
                (example_input(deployed.network),),
                part,
                input_names=["pixels"],
                output_names=["class_map"],
                opset_version=ONNX_OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        model = onnx.load(part)
        strip_notes(model)
        model.ir_version = ONNX_IR_VERSION
        onnx.save(model, part, format="protobuf")


def strip_notes(model: onnx.ModelProto) -> None:
    """Empties the metadata and documentation of a model and of its parts, in place. What is computed stays.

    Args:
        model: The model.
    """
    graph = model.graph
    parts = [model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for function in model.functions:
        parts += [function, *function.node]
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
