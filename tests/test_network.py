"""The module of an op list, the supernet's laws, and pruning's."""

import dataclasses
from functools import cache

import pytest
import torch
import torch_pruning as tp
from conftest import every_tap, random_genotype, seven_stages, tiny_of
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import MACS_TABLE, PLAIN

from compress.latency.table import Calibration, LatencyTable
from compress.stages.prune import prune_to
from nas.score import recalibrate_network
from nas.supernet import Supernet, extract, largest_networks
from search_spaces import SPACES, costs, get_space, graph_of
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network, fold_batch_norm, layer_name
from search_spaces.ops import ARGMAX, Op
from search_spaces.trials import LargestTrial, SmallestTrial
from search_spaces.widths import prunable_widths, with_widths


def warmed(network: torch.nn.Module, side: int = 64) -> torch.nn.Module:
    """BN statistics, scales and atrous kernels that are not the initial ones."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, Network):
            every_tap(module)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


spaces = pytest.mark.parametrize("space", SPACES)


@cache
def supernet_of(space: str) -> Supernet:
    torch.manual_seed(0)
    net = warmed(Supernet(*largest_networks(get_space(space), 3, (128, 128))))
    assert isinstance(net, Supernet)
    return net


@pytest.fixture
def supernet() -> Supernet:
    return supernet_of("deeplabv3plus")


@given(st.integers(0, 10**6), st.sampled_from(sorted(SPACES)))
@settings(max_examples=25, deadline=None)
def test_every_value_has_the_shape_its_op_says(seed: int, space: str) -> None:
    genotype = random_genotype(seed, side=64, space=space)
    network = Network(genotype).eval()
    shapes = {}
    original = network.run

    def spy(op: Op, values: dict[str, torch.Tensor]) -> torch.Tensor:
        out = original(op, values)
        shapes[op.name] = (*out.shape[2:], out.shape[1])
        return out

    network.run = spy  # type: ignore[assignment,method-assign]
    with torch.inference_mode():
        network(torch.rand(1, 3, *genotype.resolution))
    assert shapes == {op.name: op.shape for op in network.graph if op.kind != ARGMAX}


def test_an_atrous_kernel_starts_from_its_centre(tiny: Genotype) -> None:
    """What a rate reaches on whole images, and never in a training crop, adds nothing before it has been trained."""
    network = Network(tiny).eval()
    other = dataclasses.replace(tiny, aspp_rates=(4, 12))
    moved = Network(other).eval()
    moved.load_state_dict(network.state_dict())
    x = torch.rand(1, 3, *tiny.resolution)
    with torch.inference_mode():
        assert torch.equal(moved(x), network(x))
        assert not torch.equal(every_tap(moved)(x), network(x))


@spaces
def test_parameters_counted_are_those_of_the_folded_network(space: str) -> None:
    folded = fold_batch_norm(Network(tiny_of(space)))
    assert sum(p.numel() for p in folded.parameters()) == costs.params(folded.graph)


@spaces
def test_folding_batch_norm_changes_nothing(space: str) -> None:
    network = warmed(Network(tiny_of(space)))
    assert isinstance(network, Network)
    x = torch.rand(2, 3, *network.genotype.resolution)
    with torch.inference_mode():
        torch.testing.assert_close(fold_batch_norm(network)(x), network(x), atol=1e-4, rtol=1e-4)


@spaces
@given(st.integers(0, 10**6))
@settings(max_examples=8, deadline=None)
def test_a_subnet_in_place_equals_the_extracted_one(space: str, seed: int) -> None:
    supernet, genotype = supernet_of(space), random_genotype(seed, space=space)
    x = torch.rand(1, 3, *genotype.resolution)
    with torch.inference_mode():
        assert torch.equal(supernet(x, genotype), extract(supernet, genotype)(x))


@spaces
@pytest.mark.parametrize("trial", [SmallestTrial(), LargestTrial()])
def test_smallest_and_largest_are_inside(space: str, trial: SmallestTrial | LargestTrial) -> None:
    genotype = get_space(space).sample(trial, 3, (128, 128))
    with torch.inference_mode():
        logits = supernet_of(space)(torch.rand(1, 3, 64, 64), genotype)
    assert logits.shape == (1, 3, *(64 // genotype.head_stride,) * 2)


def test_dense_and_separable_branches_have_weights_of_their_own_and_share_what_follows() -> None:
    layers = supernet_of("deeplabv3").shared.layers
    assert {"aspp_rate3_dense", "aspp_rate3_depthwise", "aspp_rate3_pointwise"} <= layers.keys()
    one = random_genotype(3, space="deeplabv3")
    one = dataclasses.replace(one, aspp_rates=(2,), aspp_widths=(32,) * (2 + one.image_pooling))
    both = [dataclasses.replace(one, separable=separable) for separable in (True, False)]
    sliced = [supernet_of("deeplabv3").sliced(genotype)["layers.aspp_project.conv.weight"] for genotype in both]
    assert torch.equal(*sliced)


def test_a_subnet_trains_only_the_weights_it_uses(supernet: Supernet) -> None:
    genotype = get_space("deeplabv3plus").sample(SmallestTrial(), 3, (128, 128))
    supernet.train()
    supernet(torch.rand(2, 3, 64, 64), genotype).sum().backward()
    supernet.eval()
    stem = supernet.shared.get_submodule("layers.stem.conv").weight.grad
    assert stem[:8].abs().sum() > 0
    assert stem[8:].abs().sum() == 0
    supernet.zero_grad()


def test_scoring_order_changes_nothing(supernet: Supernet) -> None:
    batches = [torch.rand(2, 3, 64, 64) for _ in range(2)]
    one, other = random_genotype(1), random_genotype(2)

    def logits(genotype: Genotype) -> torch.Tensor:
        network = extract(supernet, genotype)
        recalibrate_network(network, iter(batches))
        with torch.inference_mode():
            return network(torch.ones(1, 3, 64, 64))

    first = logits(one)
    logits(other)
    assert torch.equal(logits(one), first)


@dataclasses.dataclass(frozen=True)
class BlockTable(LatencyTable):
    """A table of kernels that make 16 output channels at a time, needed or not."""

    def op_ms(self, op: Op) -> float:
        return costs.op_macs(op) / 1e6 * -(-op.shape[2] // 16) * 16 / op.shape[2]


def test_pruning_cuts_by_the_block_where_eight_channels_less_save_nothing(tiny: Genotype) -> None:
    table = BlockTable({}, {}, PLAIN, {}, Calibration(1.0, 1.0), {})
    broad = with_widths(tiny, dict.fromkeys(prunable_widths(tiny), 32))
    narrow = prune_to(Network(broad), table, table.predict(graph_of(broad)) * 0.3, "l2")
    assert table.predict(narrow.graph) <= table.predict(graph_of(broad)) * 0.3


@spaces
def test_pruning_reaches_its_target_with_widths_of_eight(space: str) -> None:
    network = warmed(Network(tiny_of(space)))
    assert isinstance(network, Network)
    before = MACS_TABLE.predict(network.graph)
    narrow = prune_to(network, MACS_TABLE, before * 0.6, "l2")
    assert MACS_TABLE.predict(narrow.graph) <= before * 0.6
    assert all(w % 8 == 0 for w in prunable_widths(narrow.genotype).values())
    assert Genotype.from_dict(narrow.genotype.to_dict()) == narrow.genotype
    x = torch.rand(1, 3, *network.genotype.resolution)
    with torch.inference_mode():
        assert narrow(x).shape == network(x).shape


@pytest.mark.parametrize(
    "genotype", [*map(tiny_of, SPACES), *(seven_stages(tiny_of(s)) for s in ("deeplabv3", "lraspp"))]
)
def test_every_width_can_be_pruned_and_no_other_changes(genotype: Genotype) -> None:
    """Eight channels fewer where the genotype says so is what torch-pruning makes of the network: all coupled layers
    fit."""
    genotype = with_widths(genotype, prunable_widths(genotype) | {"stem": 16})
    for name, width in prunable_widths(genotype).items():
        if width == 8:
            continue
        network = Network(genotype).eval()
        groups = tp.DependencyGraph().build_dependency(network, torch.rand(1, 3, 64, 64))
        conv = network.get_submodule(f"layers.{layer_name(name)}.conv")
        groups.get_pruning_group(conv, tp.prune_conv_out_channels, list(range(8))).prune()
        narrower = Network(with_widths(genotype, {**prunable_widths(genotype), name: width - 8}))
        narrower.load_state_dict(network.state_dict())


def test_pruning_channels_that_are_zero_changes_nothing(tiny: Genotype) -> None:
    network = warmed(Network(tiny))
    assert isinstance(network, Network)
    dead = slice(8, 16)  # of stage 2's first block: its expanded channels 8 to 15 never reach the projection
    with torch.no_grad():
        for layer in ("expand", "depthwise"):
            module = network.get_submodule(f"layers.stage3_0_{layer}")
            module.conv.weight[dead] = 0
            module.bn.weight[dead] = 0
            module.bn.bias[dead] = 0
        network.get_submodule("layers.stage3_0_project.conv").weight[:, dead] = 0
    graph = graph_of(tiny)
    one_cut = MACS_TABLE.predict(graph) * 0.999
    narrow = prune_to(network, MACS_TABLE, one_cut, "l2")
    assert prunable_widths(narrow.genotype)["stage3.0.expand"] == 24
    x = torch.rand(1, 3, *tiny.resolution)
    with torch.inference_mode():
        torch.testing.assert_close(narrow(x), network(x), atol=1e-5, rtol=1e-5)


def test_an_unreachable_target_is_said_in_one_line(tiny: Genotype) -> None:
    with pytest.raises(InputError, match="narrowed to the least it still takes"):
        prune_to(Network(tiny).eval(), MACS_TABLE, 1e-6, "l2")
