"""A network with channels or layers that give nothing still becomes a file that runs."""

import pytest
import torch
from conftest import every_tap
from test_files import run

from compress.tflite.int8_file import int8_file
from compress.tflite.int8_grids import widen_narrow_ranges
from compress.tflite.ranges import observe_extremes, observe_ranges
from search_spaces.genotype import Genotype
from search_spaces.network import Network, fold_batch_norm, layer_name
from search_spaces.ops import CLASSIFIER


def test_a_dead_channel_does_no_harm(tiny: Genotype) -> None:
    """A channel without weights has no scale to speak of; its bias must come through all the same."""
    torch.manual_seed(0)
    network = every_tap(Network(tiny)).eval()
    stem = network.get_submodule("layers.stem")
    images = torch.rand(1, 3, *tiny.resolution)
    with torch.no_grad():
        stem.conv.weight[:4] = 0
        stem.bn.bias[:4] = 3.0
        truth = network(images).argmax(1).numpy()
    model = int8_file(network, observe_extremes(network, [images]))
    assert (run(model, images.permute(0, 2, 3, 1).numpy()) == truth).mean() > 0.85


@pytest.mark.parametrize("dead", ["stem", "stage1.0.project", "aspp.1x1", "decoder.low_level", CLASSIFIER])
def test_a_dead_layer_does_no_harm(tiny: Genotype, dead: str) -> None:
    """LiteRT aborts on a file in which an output's steps are far finer than those of the sums it comes from."""
    torch.manual_seed(0)
    network = every_tap(Network(tiny)).eval()
    layer = network.get_submodule(f"layers.{layer_name(dead)}")
    (layer.conv if dead == CLASSIFIER else layer.bn).bias.data.fill_(-100.0)  # ReLU6 leaves nothing of it
    images = torch.rand(1, 3, *tiny.resolution)
    ranges = observe_ranges(network, [images], "minmax")
    assert widen_narrow_ranges(ranges, fold_batch_norm(network)) == ranges
    for found in (ranges, observe_extremes(network, [images])):
        assert run(int8_file(network, found), images.permute(0, 2, 3, 1).numpy()).size > 0
