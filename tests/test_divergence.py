"""A training that diverges, and weights that are not finite, end in one line that names the stage or the file."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stage_runs import SIDE, BySize
from studies import MACS_TABLE
from torch import Tensor, nn

import compress.training.checkpoint
from compress.data.crops import Crops
from compress.data.dataset import IGNORE, open_data
from compress.files.tensors import save_network
from compress.pruning.channel_pruning import prune_to
from compress.stages.config import RunConfig
from compress.stages.distill import distill
from compress.stages.prune import prune
from compress.stages.quantize import quantize
from compress.stages.run import SEARCH, Run
from compress.stages.train import train
from compress.training.class_weights import CLASS_WEIGHTS, class_weights
from compress.training.finite import DivergedError
from compress.training.label_losses import cross_entropy
from compress.training.loop import StepLosses, fit
from compress.training.schedule import Schedule
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network


def nan_loss(loss: Tensor) -> Tensor:
    return loss * float("nan")


def nan_gradient(loss: Tensor) -> Tensor:
    """The same value; its gradient is 0 times infinity."""
    return loss + (loss * 0).sqrt()


def losses_of(network: nn.Module, broken: Callable[[Tensor], Tensor], broken_step: int) -> StepLosses:
    def losses(images: Tensor, masks: Tensor, step: int) -> Iterator[Tensor]:
        loss = cross_entropy(network(images), masks, IGNORE)
        yield broken(loss) if step == broken_step else loss

    return losses


@pytest.fixture
def crops(folder_data: Path) -> Crops:
    return Crops(open_data(f"folder:{folder_data}"), (96, 96), 64, 8, 0)


@pytest.mark.parametrize(
    ("broken", "broken_step", "said"),
    [
        (nan_loss, 2, r"train: the training diverged: the loss is not finite after step 3; give --loss"),
        (nan_gradient, 1, r"train: the training diverged: \S+ is not finite after step 2; give --loss"),
        (nan_gradient, 3, r"train: the training diverged: \S+ is not finite after step 4; give --loss"),
    ],
    ids=["loss", "weights", "last weights"],
)
def test_a_training_that_diverges_names_itself_and_the_remedy(
    tiny: Genotype,
    crops: Crops,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[Tensor], Tensor],
    broken_step: int,
    said: str,
) -> None:
    monkeypatch.setattr(compress.training.checkpoint, "CHECKPOINT_SECONDS", 0.0)
    network, saved, file = Network(tiny), list[float](), tmp_path / "c.pt"
    losses = losses_of(network, broken, broken_step)
    with pytest.raises(DivergedError, match=said) as caught:
        fit(network, losses, crops, Schedule(4, 2, 64), file, "train", save=saved.append)
    assert len(str(caught.value).splitlines()) == 1
    assert not saved
    assert not file.exists()  # going on from it would diverge again


@pytest.fixture
def run(tmp_path: Path, folder_data: Path, tiny: Genotype) -> Run:
    """A run folder with networks of random weights in place of what the stages leave."""
    config = RunConfig(budget_ms=1e-3, data=f"folder:{folder_data}", input_size=(SIDE, SIDE), preset="toy")
    run = Run(tmp_path, config)
    run.__dict__.update(target=BySize(reference_ms=1.0), table=MACS_TABLE)
    torch.manual_seed(0)
    for stage in (SEARCH, "train", "prune", "distill"):
        save_network(Network(replace(tiny, resolution=(SIDE, SIDE))), run.made(stage))
    return run


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("before", "body"),
    [(SEARCH, train), ("train", prune), ("prune", distill), ("distill", quantize)],
    ids=["train", "prune", "distill", "quantize"],
)
def test_every_stage_refuses_weights_that_are_not_finite(
    run: Run, before: str, body: Callable[[Run], None], value: float
) -> None:
    network = run.network(before)
    with torch.no_grad():
        network.get_submodule("layers.stage2_0_expand.conv").weight[0, 0, 0, 0] = value
    save_network(network, run.made(before))
    said = re.escape(str(run.made(before))) + r" .*not finite.*; delete it and run its stage again"
    with pytest.raises(InputError, match=said) as caught:
        body(run)
    assert len(str(caught.value).splitlines()) == 1


def test_an_importance_that_is_not_finite_is_named(tiny: Genotype) -> None:
    """Before, no cut was found and the user was told to ask for more milliseconds."""
    network = Network(tiny).eval()
    with torch.no_grad():
        network.get_submodule("layers.stage2_0_expand.conv").weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match=r"--importance l2: that of .* is not finite"):
        prune_to(network, MACS_TABLE, 0.5 * MACS_TABLE.predict(network.graph), "l2")


@pytest.mark.parametrize("name", CLASS_WEIGHTS)
def test_class_weights_of_masks_without_a_label_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="--data: no pixel of the training masks has a class"):
        class_weights(name, np.zeros(3, dtype=int))
