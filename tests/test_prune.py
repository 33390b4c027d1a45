"""Every importance: what it cuts first, what it reads, that it reaches the target."""

from collections.abc import Iterator

import pytest
import torch
import torch_pruning as tp
from conftest import tiny_of
from hypothesis import given
from hypothesis import strategies as st
from test_network import MACS_TABLE, warmed
from torch import Tensor
from torch.nn import functional as F

from compress.pruning.channel_pruning import prune_to
from compress.pruning.importances import IMPORTANCES, MAGNITUDES, SQUARED, lost_importance, set_mean_gradients
from search_spaces.genotype import Genotype
from search_spaces.network import Network
from search_spaces.widths import prunable_widths


def test_bn_scale_leaves_what_has_no_batch_norm(tiny: Genotype) -> None:
    network = warmed(Network(tiny_of("lraspp")))
    assert isinstance(network, Network)
    target_ms = 0.7 * MACS_TABLE.predict(network.graph)
    narrow = prune_to(network, MACS_TABLE, target_ms, "bn-scale")
    assert MACS_TABLE.predict(narrow.graph) <= target_ms
    assert [stage.squeeze for stage in narrow.genotype.stages] == [stage.squeeze for stage in network.genotype.stages]


@pytest.fixture
def network(tiny: Genotype) -> Network:
    network = warmed(Network(tiny))
    assert isinstance(network, Network)
    return network


def losses(network: Network) -> Iterator[Tensor]:
    rng = torch.Generator().manual_seed(0)
    for _ in range(3):
        image = torch.rand(1, 3, 64, 96, generator=rng)
        yield F.cross_entropy(network(image), torch.randint(0, 3, (1, 32, 48), generator=rng))


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_the_target_is_reached_with_widths_of_eight(network: Network, importance: str) -> None:
    target_ms = 0.7 * MACS_TABLE.predict(network.graph)
    narrow = prune_to(network, MACS_TABLE, target_ms, importance, losses)
    assert MACS_TABLE.predict(narrow.graph) <= target_ms
    assert all(width % 8 == 0 for width in prunable_widths(narrow.genotype).values())
    with torch.inference_mode():
        assert torch.isfinite(narrow(torch.rand(1, 3, 64, 96))).all()


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_channels_that_do_nothing_are_worth_nothing(network: Network, importance: str) -> None:
    dead = [0, 3, 17, 30]
    with torch.no_grad():
        for layer in ("expand", "depthwise"):
            for parameter in network.get_submodule(f"layers.stage3_0_{layer}").parameters():
                parameter[dead] = 0
        network.get_submodule("layers.stage3_0_project.conv").weight[:, dead] = 0
    set_mean_gradients(network, losses(network), squared=SQUARED.get(importance, False))
    graph = tp.DependencyGraph().build_dependency(network, torch.rand(1, 3, 64, 64))
    conv = network.get_submodule("layers.stage3_0_expand.conv")
    scores = IMPORTANCES[importance]()(graph.get_pruning_group(conv, tp.prune_conv_out_channels, list(range(32))))
    assert scores.shape == (32,)
    assert (scores[dead] == 0).all()
    assert scores.max() > 0


@pytest.mark.parametrize("importance", MAGNITUDES)
@given(st.lists(st.floats(0, 100), min_size=4, max_size=40), st.floats(0.01, 100), st.data())
def test_what_a_group_loses_does_not_depend_on_its_scale_or_the_steps(
    importance: str, scores: list[float], scale: float, data: st.DataObject
) -> None:
    """Else a group of small or few channels would be cut to its last for the sake of the others."""
    every = torch.tensor([*scores, 1.0], dtype=torch.float64)
    first, both = sorted(data.draw(st.tuples(st.integers(0, len(scores)), st.integers(0, len(scores)))))
    once = lost_importance(importance, every, torch.arange(both))
    assert once >= 0
    assert lost_importance(importance, every * scale, torch.arange(both)) == pytest.approx(once)
    steps = (
        lost_importance(importance, every, torch.arange(first)),
        lost_importance(importance, every[first:], torch.arange(both - first)),
    )
    assert sum(steps) == pytest.approx(once)
    assert lost_importance(
        importance, every.repeat(3), torch.arange(3 * len(every)) % len(every) < both
    ) == pytest.approx(once)


@pytest.mark.parametrize("squared", [False, True])
def test_gradients_are_the_mean_over_all_losses(network: Network, squared: bool) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    set_mean_gradients(network, losses(network), squared)
    weight = network.get_submodule("layers.stage2_0_expand.conv").weight
    alone = [torch.autograd.grad(loss, weight)[0] for loss in losses(network)]
    expected = torch.stack([one.square() if squared else one for one in alone]).mean(0)
    torch.testing.assert_close(weight.grad, expected)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
