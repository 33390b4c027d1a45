"""The module of an op list, the supernet's laws, and pruning's."""

import dataclasses

import pytest
import torch
from conftest import random_genotype
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.prune import prune_to
from nas.score import calibrate
from nas.supernet import Supernet, extract
from search_spaces import costs, deeplabv3plus, graph_of
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.latency_table import GROUPS, LatencyTable
from search_spaces.network import Network, fold_batch_norm
from search_spaces.ops import ARGMAX, Op
from search_spaces.trials import Largest, Smallest


def warmed(network: torch.nn.Module, side: int = 64) -> torch.nn.Module:
    """BN statistics and scales that are not the initial ones."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    net = warmed(Supernet(deeplabv3plus.sample(Largest(), 3, (128, 128))))
    assert isinstance(net, Supernet)
    return net


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_every_value_has_the_shape_its_op_says(seed: int) -> None:
    genotype = random_genotype(seed, side=64)
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


def test_parameters_counted_are_those_of_the_folded_network(tiny: Genotype) -> None:
    folded = fold_batch_norm(Network(tiny))
    assert sum(p.numel() for p in folded.parameters()) == costs.params(graph_of(tiny))


def test_folding_batch_norm_changes_nothing(tiny: Genotype) -> None:
    network = warmed(Network(tiny))
    assert isinstance(network, Network)
    x = torch.rand(2, 3, *tiny.resolution)
    with torch.inference_mode():
        torch.testing.assert_close(fold_batch_norm(network)(x), network(x), atol=1e-4, rtol=1e-4)


@given(st.integers(0, 10**6))
@settings(max_examples=12, deadline=None)
def test_a_subnet_in_place_equals_the_extracted_one(supernet: Supernet, seed: int) -> None:
    genotype = random_genotype(seed)
    x = torch.rand(1, 3, *genotype.resolution)
    with torch.inference_mode():
        assert torch.equal(supernet(x, genotype), extract(supernet, genotype)(x))


@pytest.mark.parametrize("trial", [Smallest(), Largest()])
def test_smallest_and_largest_are_inside(supernet: Supernet, trial: Smallest | Largest) -> None:
    genotype = deeplabv3plus.sample(trial, 3, (128, 128))
    with torch.inference_mode():
        assert supernet(torch.rand(1, 3, 64, 64), genotype).shape == (1, 3, *(64 // genotype.head_stride,) * 2)


def test_a_subnet_trains_only_the_weights_it_uses(supernet: Supernet) -> None:
    genotype = deeplabv3plus.sample(Smallest(), 3, (128, 128))
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
        calibrate(network, iter(batches))
        with torch.inference_mode():
            return network(torch.ones(1, 3, 64, 64))

    first = logits(one)
    logits(other)
    assert torch.equal(logits(one), first)


@dataclasses.dataclass(frozen=True)
class MacsTable(LatencyTable):
    """A table on which a million MACs take a millisecond."""

    def op_ms(self, op: Op) -> float:
        return costs.op_macs(op) / 1e6


MACS_TABLE = MacsTable({}, {}, {**dict.fromkeys(GROUPS, 1.0), "intercept": 0.0}, {}, {})


def test_pruning_reaches_its_target_with_widths_of_eight(tiny: Genotype) -> None:
    network = warmed(Network(tiny))
    assert isinstance(network, Network)
    before = MACS_TABLE.predict(network.graph)
    narrow = prune_to(network, MACS_TABLE, before * 0.6)
    assert MACS_TABLE.predict(narrow.graph) <= before * 0.6
    assert all(w % 8 == 0 for w in deeplabv3plus.widths(narrow.genotype).values())
    with torch.inference_mode():
        assert narrow(torch.rand(1, 3, *tiny.resolution)).shape == network(torch.rand(1, 3, *tiny.resolution)).shape


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
    narrow = prune_to(network, MACS_TABLE, one_cut)
    assert deeplabv3plus.widths(narrow.genotype)["stage3.0.expand"] == 24
    x = torch.rand(1, 3, *tiny.resolution)
    with torch.inference_mode():
        torch.testing.assert_close(narrow(x), network(x), atol=1e-5, rtol=1e-5)


def test_an_unreachable_target_is_said_in_one_line(tiny: Genotype) -> None:
    with pytest.raises(InputError, match="narrowed to the least it still takes"):
        prune_to(Network(tiny).eval(), MACS_TABLE, 1e-6)
